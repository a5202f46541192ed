"""The end of a session, and the commands that it names."""

import io
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from rich.console import Console

import study.session
from study.ledger.ledger import Ledger
from study.plan.request import Request
from study.reporting.terminal_table import look_commands, password_notes, show_next
from study.session import Session, check_tracking, resume_command
from study.tracking.tracker import Progress, Tracker
from study.tracking.tracking_uri import StoreUnavailableError, TrackingError


def test_the_command_that_continues_a_study_repeats_what_the_study_does_not_keep() -> None:
    kept = Request(space="joint", trials=3, seed=1, repeats=2)
    assert resume_command(Path("studies/s"), kept) == "python study/run.py --resume s"
    request = Request(space="joint", cpus_per_trial=0.5, cache=Path("my cache"), studies=Path("other"))
    assert resume_command(Path("other/s"), request) == (
        "python study/run.py --resume s --studies other --cpus-per-trial 0.5 --cache 'my cache'"
    )


class BlockedCopy:
    """A copy that holds in its update until `go`."""

    name, shows_epochs = "the copy", False

    def __init__(self, ready: Callable[[], bool] = lambda: False) -> None:
        self.ready, self.go, self.updated = ready, Event(), False

    def update(self, progress: Progress) -> None:
        while not (self.ready() or self.go.wait(0.01)):
            pass
        self.updated = True


class Ending(Session):
    """The end of a session without its plan."""

    def __init__(self, request: Request) -> None:
        self.text = io.StringIO()
        super().__init__(None, request, "sqlite:///x", Console(file=self.text, width=200))  # type: ignore[arg-type]

    def close(self, ledger: Ledger, mlflow: BlockedCopy, status: str = "finished") -> str:
        trackers = [Tracker(copy, refuse, 0.01) for copy in (mlflow, BlockedCopy(lambda: True))]
        for tracker in trackers:
            tracker.start()
        try:
            self._close(ledger, *trackers, status)
        finally:
            mlflow.go.set()
        return self.text.getvalue()


def refuse(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A study that has ended, of which no report is drawn."""
    monkeypatch.setattr(study.session, "write_results", with_results)
    return make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL))


def test_the_table_is_there_before_mlflow_has_all(ended: Ledger) -> None:
    session = Ending(Request(space="joint"))
    copy = BlockedCopy(lambda: "Avg" in session.text.getvalue())
    assert "behind" not in session.close(ended, copy)
    assert copy.updated


def test_a_slow_mlflow_is_waited_for_with_a_line_and_left_behind(
    ended: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.session, "UNNOTICED", 0.01)
    monkeypatch.setattr(study.session, "CATCH_UP", {"finished": 0.02, "interrupted": 0.02})
    said = Ending(Request(space="joint", tracking_uri="http://me:hush@there")).close(ended, BlockedCopy())
    assert said.index("Avg") < said.index("Waiting for MLflow") < said.index("MLflow is behind")
    assert "study/report.py s --tracking-uri http://there" in said
    assert "hush" not in said


def test_ctrl_c_ends_the_wait_for_mlflow(ended: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def wait(self: Tracker, timeout: float) -> bool:
        waits.append(timeout)
        if len(waits) == 4:  # after those of optuna.db
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(Tracker, "wait", wait)
    session = Ending(Request(space="joint"))
    session.close(ended, BlockedCopy())  # the study is finished: nothing is interrupted
    assert "Avg" in session.text.getvalue()
    assert "MLflow is behind" in session.text.getvalue()


@pytest.mark.parametrize("resume", [None, "s", ""])
def test_only_a_new_study_needs_mlflow(resume: str | None, free_port: int) -> None:
    console = Console(file=io.StringIO(), width=400)
    request = Request(space="joint", resume=resume)
    uri = f"http://me:hush@127.0.0.1:{free_port}"
    if resume is None:
        with pytest.raises(StoreUnavailableError):
            check_tracking(request, uri, console)
        return
    assert not check_tracking(request, uri, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert len(said.splitlines()) == 1
    assert "hush" not in said
    with pytest.raises(TrackingError):  # a mistake, whatever it is for
        check_tracking(request, "ftp://there", console)


def test_a_password_is_in_no_command(ended: Ledger) -> None:
    request = Request(space="joint", tracking_uri="http://me:hush@there:5000/?token=hush")
    assert resume_command(ended.root, request).endswith("--tracking-uri 'http://there:5000/?token=***'")
    console = Console(file=io.StringIO(), width=200)
    with_results(ended)
    assert request.tracking_uri is not None
    show_next(ended.root, Path("studies"), request.tracking_uri, request.tracking_uri, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "hush" not in said
    assert said.count("MLFLOW_TRACKING_PASSWORD") == 1
    assert f"study/listen.py {ended.root.name}" in said
    assert password_notes("http://there:5000") == password_notes(None) == []


@pytest.mark.parametrize(
    ("uri", "lines"),
    [
        ("sqlite:////x/mlflow.db", ["mlflow ui --backend-store-uri sqlite:////x/mlflow.db", "then open LINK"]),
        ("http://me:hush@there:5000", ["open LINK"]),
    ],
)
def test_the_link_to_the_trials_stands_after_the_command_that_it_needs(uri: str, lines: list[str]) -> None:
    assert look_commands(uri, "LINK") == lines
    assert look_commands(uri, None) == lines[:-1]
