"""The command line: what it takes, and a line and exit code 2 for each mistake, with nothing written."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audiotag.corpus.splits import PROTOCOLS
from search_spaces import space_names
from study import run
from study.plan.request import Request

ROWS = [("a.wav", 0, "x"), ("b.wav", 0, ""), ("c.wav", 1, "x"), ("d.wav", 1, "")]
Fails = Callable[..., str]


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command line that must end with exit code 2, one line (and warnings) and no study; return them."""
    monkeypatch.setattr(run, "catch_signals", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    studies = tmp_path / "studies"

    def call(*words: str) -> str:
        before = sorted(studies.rglob("*"))
        store = () if "--tracking-uri" in words else ("--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}")
        monkeypatch.setattr("sys.argv", ["study/run.py", *words, *store, "--studies", str(studies)])
        with pytest.raises(SystemExit) as end:
            run.main()
        assert end.value.code == 2
        assert sorted(studies.rglob("*")) == before
        assert not (tmp_path / "mlflow.db").exists()
        *warned, line = capsys.readouterr().err.splitlines()
        assert all(text.startswith(("warning: ", "problem: ")) for text in warned)
        assert line.startswith("error: ")
        return "\n".join([*warned, line])

    return call


# reference


def test_list_shows_each_question(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "catch_signals", lambda: None)
    monkeypatch.setattr("sys.argv", ["study/run.py", "--list"])
    assert run.main() == 0
    lines = capsys.readouterr().out.splitlines()
    questions, trials = lines[::2], lines[1::2]
    assert [line.split()[0] for line in questions] == space_names()
    assert all(line.endswith("?") for line in questions)
    assert trials[space_names().index("mixup_alpha")].strip() == "7 trials: alpha"
    assert all(" trials" in line for line in trials)


def test_every_option_is_a_field_of_the_request_with_the_same_default() -> None:
    arguments = vars(run.parse(["--space", "joint"]))
    assert arguments.pop("list") is False
    assert Request(**arguments) == Request(space="joint")


def test_each_protocol_can_be_asked_for() -> None:
    assert [run.parse(["--space", "joint", "--protocol", name]).protocol for name in PROTOCOLS] == list(PROTOCOLS)


# property


@pytest.mark.parametrize("sign", run.SIGNALS)
def test_a_signal_that_comes_while_ray_starts_is_kept_until_it_has(sign: signal.Signals) -> None:
    before = {number: signal.getsignal(number) for number in run.SIGNALS}
    reached: list[bool] = []
    try:
        with pytest.raises(run.Interrupted), run.hold_signals(600, "too late"):
            reached.append(os.kill(os.getpid(), sign) is None)
        assert reached
        with pytest.raises(run.Interrupted), run.hold_signals(600, "too late"):
            raise SystemExit(15)  # Ray's own handler
        with pytest.raises(run.Interrupted):  # and ours are there again
            os.kill(os.getpid(), sign)
        with run.hold_signals(600, "too late"):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


HANG = """
import ctypes
from study import run
run.GRACE = {grace}
mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
with run.hold_signals({seconds}, "too late"):
    lock(mutex)
    print("hangs", flush=True)
    lock(mutex)  # in C: no signal brings Python back
"""


@pytest.mark.parametrize(
    ("seconds", "grace", "signs", "code", "line"),
    [
        (0, 600, [], 2, "error: too late\n"),
        (600, 0, [signal.SIGINT], 130, f"{run.EARLY}\n"),
        (600, 600, [signal.SIGTERM, signal.SIGINT], 130, ""),
    ],
    ids=["time", "signal", "two signals"],
)
def test_a_start_that_hangs_in_c_ends_the_process(
    seconds: float, grace: float, signs: list[signal.Signals], code: int, line: str
) -> None:
    words = [sys.executable, "-c", HANG.format(seconds=seconds, grace=grace)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        if signs:
            assert process.stdout is not None
            assert process.stdout.readline() == "hangs\n"
        for sign in signs:
            process.send_signal(sign)
        _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (code, line)


# malformed


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "--space is missing: name a space"),
        (["--space", "mixup_alfa"], "Unknown space `mixup_alfa`: did you mean mixup_alpha"),
        (["--space", "joint", "--trials", "0"], "--trials: 0 is not allowed: it must be above 0"),
        (["--space", "joint", "--epochs", "x"], "--epochs: 'x' is not allowed: it must be a whole number"),
        (["--space", "joint", "--seed", "-1"], "--seed: -1 is not allowed: it must be 0 or more"),
        (["--space", "joint", "--repeats", "1.5"], "--repeats: '1.5' is not allowed: it must be a whole number"),
        (["--space", "joint", "--cpus-per-trial", "nan"], "--cpus-per-trial: nan is not allowed"),
        (["--space", "joint", "--cpus-per-trial", "4096"], f"is 4096, but this machine has {os.cpu_count()}"),
        (["--space", "joint", "--gpus-per-trial", "-1"], "--gpus-per-trial: -1 is not allowed: it must be 0 or more"),
        (["--space", "joint", "--protocol", "best"], "'best' is not allowed: it must be paper or nested ("),
        (["--space", "joint", "--sampler", "magic"], "--sampler: 'magic' is not allowed: it must be tpe, gp, qmc"),
        (["--space", "joint", "--scheduler", "pbt"], "'pbt' is not allowed: it must be fifo or asha ("),
        (["--space", "joint", "--sampler", "exhaustive"], "because there is no list of values of alpha, dropout"),
        (["--space", "joint", "--name", ""], "--name: an empty value is not allowed"),
        (["--space", "joint", "--zero"], "there is no option --zero ("),
        (["augmentation"], "`augmentation` belongs to no option: a space is given by --space augmentation ("),
        (["mixup_alpha-20"], "a space is given by --space, a study by --resume"),
        (["--spaec", "joint"], "there is no option --spaec: did you mean --space?"),
        (["--space", "joint", "-v"], "there is no option -v ("),
        (["--space", "joint", "--corpus", "/nowhere"], "The corpus `/nowhere` does not exist"),
        (["--space", "joint", "--name", "a" * 300], "but must be at most 100 letters"),
        (["--space", "joint", "--address", "127.0.0.1:9"], "but nothing answers there"),
        (["--space", "joint", "--name", "a", "--resume", "a"], "--name a and --resume exclude each other"),
        (["--resume", "nothing"], "There is no study `nothing`"),
        (["--space", "joint", "--resume"], "There is no unfinished study of the space `joint`"),
        (["--space", "joint", "--tracking-uri", "http://127.0.0.1:9"], "http://127.0.0.1:9 does not answer"),
        (["--space", "joint", "--tracking-uri", "ftp://x"], "must begin with sqlite:///, http:// or https://"),
        (["--space", "joint", "--tracking-uri", "sqlite:////nowhere/mlflow.db"], "there is no folder /nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(words: list[str], line: str, fails: Fails) -> None:
    assert line in fails(*words)


def test_a_working_folder_that_was_deleted(fails: Fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "working folder" in fails("--space", "joint")


def test_a_machine_without_a_loopback(tmp_path: Path) -> None:
    alone = ["unshare", "--net"]  # in a network of its own, whose loopback is down
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network cannot be made here")
    words = [sys.executable, run.__file__, "--space", "joint", "--studies", str(tmp_path / "studies")]
    done = subprocess.run([*alone, *words], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "loopback" in line
    assert not (tmp_path / "studies").exists()


def test_all_bad_audio_is_listed_in_one_report(fails: Fails, folder_corpus: Callable[..., Path]) -> None:
    root = folder_corpus([*ROWS, ("e.wav", 1, "x"), ("f.wav", 1, "")], seconds=0.2)
    (root / "audio" / "a.wav").unlink()
    (root / "audio" / "b.wav").write_text("no sound")
    torn = (root / "audio" / "e.wav").read_bytes()[:1000]
    (root / "audio" / "e.wav").write_bytes(torn)
    told = fails("--space", "joint", "--corpus", str(root)).splitlines()
    assert [line.split(": ")[0] for line in told] == ["problem"] * 3 + ["error"]
    for line, name, reason in zip(
        told, "abe", ["no such file", "it is of no known format", "it is cut off: 478 of 1600"], strict=False
    ):
        assert f"{name}.wav`" in line
        assert reason in line
    assert "Unusable audio, 3 of 6 files" in told[-1]
    assert "--skip-bad" in told[-1]


def test_clips_shorter_than_a_window_are_refused(fails: Fails, folder_corpus: Callable[..., Path]) -> None:
    root = folder_corpus(ROWS, seconds=0.01)
    assert "must be at least one window of 0.064 s" in fails("--space", "joint", "--corpus", str(root))


def test_spaces_that_cannot_be_used_are_listed_with_the_others(
    space_file: Callable[[str, str | bytes], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "n", "z"):
        space_file(name, f'"""Which {name}?"""\ndef define(trial):\n    pass\n')
    space_file("b", "import sys\nsys.exit(0)\n")
    space_file("c", b"# \xfc\n")
    space_file("o", "raise ValueError('two\\nlines')\n")
    space_file("p", "print('hello')\n")
    run.list_spaces()
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert [name for name, _ in lines] == ["a", "b", "c", "n", "o", "p", "z"] == space_names()
    assert [name for name, text in lines if text == f"Which {name}?"] == ["a", "n", "z"]
    assert all(text.startswith("(cannot be used: ") for name, text in lines if name in "bcop")


@pytest.mark.parametrize(
    ("define", "why"),
    [
        ("trial.suggest_categorical('alpha', [0.5, 0.5])", "twice"),
        ("[trial.suggest_int(name, 0, 9) for name in 'abcdefghi']", "too many to list"),
        ("1 / 0", "line 3 of mine.py"),
    ],
)
def test_a_mistake_in_a_space_is_one_line(
    define: str, why: str, fails: Fails, space_file: Callable[[str, str], Path]
) -> None:
    space_file("mine", f'"""Why?"""\ndef define(trial):\n    {define}\n')
    assert why in fails("--space", "mine")


def test_an_interruption_while_a_space_is_listed_is_one_line(
    space_file: Callable[[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "catch_signals", lambda: None)
    text = "import signal\ndef define(trial):\n    signal.raise_signal(signal.SIGINT)\n"
    space_file("mine", f'"""Why?"""\n{text}')
    store, studies = f"sqlite:///{tmp_path / 'mlflow.db'}", str(tmp_path / "studies")
    monkeypatch.setattr("sys.argv", ["run.py", "--space", "mine", "--tracking-uri", store, "--studies", studies])
    assert run.main() == 130
    assert capsys.readouterr().err == "Interrupted before training began; nothing is lost.\n"
