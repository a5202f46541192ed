"""study.cli: what is printed holds no password, and paths and commands can be pasted."""

import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rich.console import Console

from study import PROJECT
from study.cli import from_here, pasteable, run_command, say, uri_from_here

URI = "http://me:hush@there"


@pytest.fixture(autouse=True)
def _hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the hooks back that a command sets."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def test_a_warning_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        warnings.warn(f"see {URI}", RuntimeWarning, stacklevel=1)
        return 0

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run_command(command) == 0
    assert capsys.readouterr().err == "warning: see http://there\n"


def test_an_unexpected_error_shows_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        try:
            raise OSError(URI)
        except OSError as error:
            raise RuntimeError(URI) from error

    with pytest.raises(RuntimeError) as caught:
        run_command(command)
    sys.excepthook(caught.type, caught.value, caught.tb)
    said = capsys.readouterr().err
    assert said.count("http://there") == 2
    assert "hush" not in said


def test_paths_are_relative_where_that_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    monkeypatch.chdir(tmp_path / "a")
    assert from_here(tmp_path / "a" / "report.html") == "report.html"
    assert from_here(Path("b")) == "b"
    assert from_here(Path("/")) == "/"
    assert Path(from_here(Path("../link/../b"))).samefile(tmp_path / "a" / "b")
    assert uri_from_here(f"sqlite:///{tmp_path / 'a' / 'mlflow.db'}") == "sqlite:///mlflow.db"
    for uri in (f"sqlite+pysqlite:///{tmp_path / 'a' / 'x%25.db'}", "http://there:5000", "sqlite:///mlflow.db"):
        assert uri_from_here(uri) == uri


@pytest.mark.parametrize("place", ["here", "elsewhere"])
@pytest.mark.parametrize("activated", [True, False])
def test_a_printed_command_works_where_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, activated: bool
) -> None:
    monkeypatch.chdir(PROJECT if place == "here" else tmp_path)
    if not activated:
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
    command = pasteable(shlex.join(["python", "study/tag.py", "--studies", str(tmp_path / "my studies"), "--help"]))
    assert command.startswith("python ") == activated
    assert ("--studies 'my studies'" in command) == (place == "elsewhere")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: study/tag.py")


def test_prose_breaks_between_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = "- " + " ".join(["word"] * 30)
    for width in (20, 37):
        say(Console(width=width, force_terminal=True, color_system=None), text, indent=2)
        first, *lines = capsys.readouterr().out.splitlines()
        assert first.startswith("- word")
        assert all(line.startswith("  word") for line in lines)
        assert set(" ".join([first[2:], *lines]).split()) == {"word"}
    say(Console(width=20), text, indent=2)
    assert capsys.readouterr().out == f"{text}\n"
