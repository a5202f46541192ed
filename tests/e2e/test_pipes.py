"""Standard output that nobody reads, that is full or closed, or has a small encoding: no command fails of it.

A reader that goes away, as `| head` does, ends a command quietly and not before its work is done.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.tracked import client_of

from audiotag.cli import FINISHED, MISTAKE, UNREAD

ROOT = Path(__file__).parents[2]


def unread(*words: object) -> tuple[int, str]:
    """The exit code and the standard error of a command whose output nobody reads."""
    command = [sys.executable, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        return process.wait(timeout=120), process.stderr.read()


def test_the_list_of_spaces() -> None:
    assert unread("study/run.py", "--list") == (UNREAD, "")


@pytest.fixture
def root(folder_corpus: Callable[..., Path]) -> Path:
    return folder_corpus([("a.wav", 0, "Tür"), ("b.wav", 0, "狗"), ("c.wav", 1, "Tür"), ("d.wav", 1, "狗")])


def test_a_look_at_a_corpus(root: Path) -> None:
    assert unread("-m", "audiotag.corpus", "check", root) == (UNREAD, "")


def shell(line: str, *words: object, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run Python with some words in a line of the shell, in which they are `$RUN`."""
    line = line.replace("$RUN", shlex.join([sys.executable, *map(str, words)]))
    surroundings = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, cwd=folder, env=surroundings, timeout=120, check=False
    )


@pytest.mark.parametrize("words", [["check", "ROOT"], ["--help"]], ids=["check", "help"])
@pytest.mark.parametrize(
    ("line", "code", "lines"), [("$RUN > /dev/full", UNREAD, 1), ("$RUN >&-", FINISHED, 0), ("$RUN 2>&-", FINISHED, 0)]
)
def test_output_that_takes_nothing(root: Path, words: list[str], line: str, code: int, lines: int) -> None:
    done = shell(line, "-m", "audiotag.corpus", *(root if word == "ROOT" else word for word in words))
    assert (done.returncode, done.stderr.count(b"\n")) == (code, lines)


@pytest.mark.parametrize("line", ["$RUN 2> /dev/full", "$RUN 2>&-", "$RUN <&- >&- 2>&-"])
def test_a_mistake_that_cannot_be_told(line: str) -> None:
    assert shell(line, "-m", "audiotag.corpus", "check", "/nowhere").returncode == MISTAKE


@pytest.mark.parametrize("words", [["-m", "audiotag.corpus", "check", "x"], [ROOT / "study" / "run.py", "--list"]])
def test_a_working_folder_that_is_gone(tmp_path: Path, words: list[object]) -> None:
    (tmp_path / "gone").mkdir()
    done = shell("rmdir $PWD; $RUN", *words, folder=tmp_path / "gone")
    assert (done.returncode, done.stderr.count(b"\n")) == (MISTAKE, 1)
    assert b"working folder" in done.stderr


@pytest.mark.parametrize(
    ("variables", "encoding", "tag"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "ascii", "T\\xfcr"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1", "Tür"),
        ({"LC_ALL": "POSIX", "PYTHONUTF8": "0"}, "ascii", "T\\xfcr"),
    ],
    ids=["ascii", "latin-1", "posix"],
)
def test_tags_that_the_encoding_lacks(root: Path, variables: dict[str, str], encoding: str, tag: str) -> None:
    done = shell("$RUN", "-m", "audiotag.corpus", "check", root, **variables)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [line for line in done.stdout.decode(encoding).splitlines() if line.startswith("|")]
    assert any(tag in row for row in rows)
    assert any("\\u72d7" in row for row in rows)
    assert len({len(row) for row in rows}) == 1


@pytest.mark.slow
def test_a_report_is_written_and_in_mlflow_all_the_same(uri: str, tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "studies" / "a", ALPHAS[:2], corpus=make_corpus(**SMALL))
    code, said = unread("study/report.py", "a", "--studies", ledger.root.parent, "--tracking-uri", uri)
    assert (code, "Traceback" in said) == (UNREAD, False)
    assert (ledger.root / "report.html").is_file()
    assert [experiment.name for experiment in client_of(uri).search_experiments()].count("mixup_alpha") == 1


def test_names_of_files_that_the_locale_lacks(folder_corpus: Callable[..., Path]) -> None:
    root = folder_corpus([("ü.wav", 0, "x"), ("狗.wav", 0, ""), ("c.wav", 1, "x"), ("d.wav", 1, "")])
    done = shell("$RUN", "-m", "audiotag.corpus", "check", root, LC_ALL="POSIX", PYTHONUTF8="0")
    (line,) = [line for line in done.stdout.splitlines() if b"filename" in line]
    assert (done.returncode, b"PYTHONUTF8=1" in line) == (MISTAKE, True)


@pytest.mark.slow
def test_a_report_is_written_where_its_table_cannot_be_told(uri: str, tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL)
    ledger = make_study(tmp_path / "studies" / "a", ALPHAS[:2], corpus=corpus, tags=("Tür", "狗"))
    words = ["study/report.py", "a", "--studies", ledger.root.parent, "--tracking-uri", uri]
    done = shell("$RUN > /dev/full", *words)
    assert (done.returncode, b"Traceback" in done.stderr) == (UNREAD, False)
    assert (ledger.root / "report.html").is_file()
    done = shell("$RUN", *words, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"T\\xfcr" in done.stdout


def test_warnings_are_not_held_back_where_python_buffers_nothing() -> None:
    """Containers set PYTHONUNBUFFERED; a process that is killed then still has told what it warned of."""
    script = "import os, sys\nfrom audiotag.cli import prepare_streams\nprepare_streams()\n"
    done = shell("$RUN", "-c", script + "print('told', file=sys.stderr)\nos._exit(0)", PYTHONUNBUFFERED="1")
    assert done.stderr == b"told\n"
