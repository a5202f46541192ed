"""The command line of a confirmation: its mistakes, and what it writes into the report of the study."""

import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results

import study.report
import study.session
from audiotag.cli import FINISHED, INTERRUPTED, MISTAKE
from study import confirm
from study.ledger.ledger import Ledger
from study.plan.request import Request


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return make_study(
        tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), gains=[0.0, 2.0], tracking_uri="sqlite:////own.db"
    )


def main(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["study/confirm.py", *words, "--studies", str(ledger.root.parent)])
    monkeypatch.setattr(confirm, "catch_signals", lambda: None)
    try:
        return confirm.main()
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize(
    ("name", "line"),
    [("r", "There is no study `r` in"), ("best", "The study `best` chose its own baseline")],
)
def test_a_mistake_takes_one_line(
    name: str, line: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_study(ledger.root.with_name("best"), ALPHAS[:2], corpus=make_corpus(**SMALL), gains=[2.0, 0.0])
    store = f"sqlite:///{ledger.root.parent / 'm.db'}"
    assert main(ledger, monkeypatch, name, "--tracking-uri", store) == MISTAKE
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert line in said[0]
    assert sorted(path.name for path in ledger.root.parent.iterdir()) == ["best", "s"]


@pytest.mark.parametrize(("begun", "resume", "uri"), [(False, None, "sqlite:////own.db"), (True, "s-confirmed", None)])
def test_it_is_begun_in_the_store_of_the_study_or_continued(
    begun: bool, resume: str | None, uri: str | None, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def run(request: Request, *_: Any) -> int:
        asked.append(request)
        return INTERRUPTED

    if begun:
        make_study(ledger.root.with_name("s-confirmed"), ALPHAS[:2], corpus=make_corpus(**SMALL))
    monkeypatch.setattr(study.session, "run_session", run)
    assert main(ledger, monkeypatch, "s", "--cpus-per-trial", "0.5", "--trust-code") == INTERRUPTED
    (request,) = asked
    assert (request.resume, request.tracking_uri) == (resume, uri)
    assert (request.cpus_per_trial, request.trust_code, request.studies) == (0.5, True, ledger.root.parent)


def test_a_finished_one_is_written_into_the_report_of_the_study(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_results(ledger)
    views: list[tuple[Any, ...]] = []
    monkeypatch.setattr(study.session, "run_session", lambda *_: FINISHED)
    monkeypatch.setattr(study.report, "rebuild_views", lambda *given: views.append(given[1:]))
    monkeypatch.setattr("study.reporting.conclusion.confirmation_in_words", lambda _: "To quote: .1")
    assert main(ledger, monkeypatch, "s") == FINISHED
    assert views == [("sqlite:////own.db", "finished", False)]
    assert "To quote: .1" in (ledger.root / "table.md").read_text()
    assert "\nTo quote: .1\nIt is now in the report of s: " in capsys.readouterr().out


def test_the_line_after_an_interruption_names_the_command() -> None:
    from study.session import resume_command

    assert resume_command(Path("/x/s-confirmed"), Request(cpus_per_trial=0.5), True) == (
        "python study/confirm.py s --cpus-per-trial 0.5"
    )
