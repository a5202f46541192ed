"""study.cli: warnings and unexpected errors hold no password."""

import sys
import warnings

import pytest

from study.cli import run_command

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
