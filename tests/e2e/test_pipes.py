"""A reader that goes away, as `| head` does, ends a command quietly and not before its work is done."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.tracked import client_of

from audiotag.cli import UNREAD

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


def test_a_look_at_a_corpus(tmp_path: Path, folder_corpus) -> None:  # type: ignore[no-untyped-def]
    root = folder_corpus([("a.wav", 0, "x"), ("b.wav", 0, ""), ("c.wav", 1, "x"), ("d.wav", 1, "")])
    assert unread("-m", "audiotag.corpus", "check", root) == (UNREAD, "")


@pytest.mark.slow
def test_a_report_is_written_and_in_mlflow_all_the_same(uri: str, tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "studies" / "a", ALPHAS[:2], corpus=make_corpus(**SMALL))
    code, said = unread("study/report.py", "a", "--studies", ledger.root.parent, "--tracking-uri", uri)
    assert (code, "Traceback" in said) == (UNREAD, False)
    assert (ledger.root / "report.html").is_file()
    assert [experiment.name for experiment in client_of(uri).search_experiments()].count("mixup_alpha") == 1
