"""study.tracking.tracker: the thread that keeps a copy up to date, with copies that fail, lag and recover."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.tracked import EPOCHS, client_of, epoch_result, finish, key_of, runs_of, snapshot, statuses, wait_for

from audiotag.training.epochs import PretrainingEpoch
from study.ledger.ledger import Ledger
from study.ledger.progress import Report
from study.ledger.results import study_results
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.store_check import check_store
from study.tracking.tracker import Progress, Tracker
from study.tracking.tracking_uri import TrackingError

FIRST, SECOND = (Report(0.5, 0, 0, 7, epoch_result("key0", 0, epoch)) for epoch in (0, 1))
BETWEEN_FOLDS = Report(0.5, 1)


class FakeCopy:
    """A copy that fails with `error` as long as there is one, and holds until `go`."""

    name = "the copy"

    def __init__(self, error: Exception | None = None, *, shows_epochs: bool = True) -> None:
        self.error, self.shows_epochs = error, shows_epochs
        self.updates: list[Progress] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def update(self, progress: Progress) -> None:
        self.updates.append(progress)
        self.begun.set()
        self.go.wait(30)
        if self.error is not None:
            raise self.error


def started(copy: FakeCopy | MlflowCopy, warn: Callable[[str], None]) -> Tracker:
    tracker = Tracker(copy, warn, interval=0.02)
    tracker.start()
    return tracker


def refuse(text: str) -> None:
    raise AssertionError(text)


def test_the_copy_of_a_study_follows_it(ledger: Ledger, uri: str) -> None:
    tracker = started(MlflowCopy(ledger, uri), refuse)
    tracker.started("key0", {})
    for epoch in range(EPOCHS[0]):
        tracker.reported("key0", Report(0.5, 0, 0, 7, epoch_result("key0", 0, epoch)))
    wait_for(lambda: ("fold", "key0", "0") in statuses(uri))
    finish(ledger, "key0", "key1")
    tracker.reported("key0", BETWEEN_FOLDS)
    tracker.ended("key1", None)
    assert tracker.close("finished", 30)
    assert set(statuses(uri).values()) == {"FINISHED"}
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]


def test_a_copy_that_shows_epochs_gets_them_until_their_trial_has_ended() -> None:
    copy = FakeCopy()
    tracker = started(copy, refuse)
    tracker.reported("key0", FIRST)
    wait_for(lambda: len(copy.updates) == 1)
    tracker.reported("key0", Report(0.5, 0, 0, 7, pretraining=PretrainingEpoch(0, 1.0, 1.0)))
    tracker.reported("key0", SECOND)
    wait_for(lambda: len(copy.updates) == 2)
    assert copy.updates[1].epochs == {("key0", 1, 0, 7): [FIRST.epoch, SECOND.epoch]}
    tracker.ended("key0", None)
    assert tracker.close("interrupted", 30)
    assert (copy.updates[-1].epochs, copy.updates[-1].status) == ({}, "interrupted")


def test_a_copy_is_told_which_trials_have_news() -> None:
    """None is lost that comes while an update is at work."""
    copy = FakeCopy()
    copy.go.clear()
    tracker = started(copy, refuse)
    tracker.reported("key0", FIRST)
    assert copy.begun.wait(30)
    tracker.reported("key1", FIRST)
    tracker.ended("key2", None)
    copy.go.set()
    wait_for(lambda: len(copy.updates) == 2)
    assert tracker.close("finished", 30)
    assert [update.touched for update in copy.updates] == [{"key0"}, {"key1", "key2"}, set()]


def test_a_copy_without_epochs_is_updated_after_folds() -> None:
    copy = FakeCopy(shows_epochs=False)
    tracker = started(copy, refuse)
    tracker.started("key0", {})
    assert copy.begun.wait(30)
    copy.begun.clear()
    tracker.reported("key0", FIRST)
    assert not copy.begun.wait(0.2)
    tracker.reported("key0", BETWEEN_FOLDS)
    assert copy.begun.wait(30)
    tracker.pruned("key0", "")
    assert tracker.close("finished", 30)
    assert (copy.updates[0].started, copy.updates[0].epochs) == ({"key0"}, {})


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("down\nwith details"), "the copy is not up to date (RuntimeError: down)."),
        (TrackingError("MLflow is down."), "MLflow is down."),
    ],
)
def test_an_outage_costs_one_warning_and_nothing_else(error: Exception, line: str) -> None:
    copy, said = FakeCopy(error), list[str]()
    tracker = started(copy, said.append)
    tracker.reported("key0", FIRST)
    wait_for(lambda: len(copy.updates) > 2)
    tracker.reported("key0", SECOND)
    assert said == [f"{line} Training goes on and nothing is lost; it will be tried again."]
    copy.error = None
    wait_for(lambda: len(said) == 2)
    assert said[1] == "the copy is up to date again."
    assert tracker.close("interrupted", 30)
    assert copy.updates[-1].epochs == {("key0", 1, 0, 7): [FIRST.epoch, SECOND.epoch]}


def test_a_copy_known_to_fail_is_reported_once_it_works() -> None:
    copy, said = FakeCopy(TrackingError("MLflow is down.")), list[str]()
    tracker = Tracker(copy, said.append, interval=0.02, failing=True)
    tracker.start()
    tracker.reported("key0", FIRST)
    wait_for(lambda: len(copy.updates) > 1)
    assert said == []
    copy.error = None
    wait_for(lambda: len(said) == 1)
    assert said == ["the copy is up to date again."]
    assert tracker.close("finished", 30)


def test_it_gives_up_when_its_time_is_over_and_then_reports_no_failure() -> None:
    """The study has printed its last line by then."""
    copy = FakeCopy(OSError("a folder that is no more"))
    copy.go.clear()
    threads = set(threading.enumerate())
    tracker = started(copy, refuse)
    (thread,) = set(threading.enumerate()) - threads
    tracker.ended("key0", None)
    assert copy.begun.wait(30)
    assert not tracker.close("interrupted", 0.01)
    copy.go.set()
    thread.join(30)
    assert not thread.is_alive()


def test_one_that_fails_is_not_waited_for_as_long_as_one_that_is_slow() -> None:
    """A disk that is full stays full."""
    tracker = started(FakeCopy(OSError("no space left")), lambda _: None)
    tracker.ended("key0", None)
    wait_for(lambda: tracker.failing)
    assert not tracker.close("interrupted", timeout=1e6, while_failing=0.2)
    slow = FakeCopy(None)
    slow.go.clear()
    tracker = started(slow, refuse)
    threading.Timer(0.2, slow.go.set).start()
    assert tracker.close("finished", timeout=1e6, while_failing=0.01)


@pytest.mark.slow
def test_a_server_that_comes_later_gets_all(
    ledger: Ledger,
    start_server: Callable[[], object],
    free_port: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    uri, said = f"http://127.0.0.1:{free_port}", list[str]()
    tracker = started(MlflowCopy(ledger, uri), said.append)
    tracker.reported("key0", FIRST)
    finish(ledger, "key0")
    ledger.write_results(study_results(ledger, "interrupted").to_json())
    wait_for(lambda: len(said) == 1)
    start_server()
    assert tracker.close("interrupted", 200)
    assert said[0].startswith(f"MLflow at {uri} is not up to date (Connection refused).")
    assert said[1:] == [f"MLflow at {uri} is up to date again."]
    check_store(uri)
    database = tmp_path / "server.db"
    before = snapshot(uri, database=database)
    assert len(before) == 5
    assert before["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]
    MlflowCopy(ledger, uri).update(Progress("interrupted"))
    assert snapshot(uri, database=database) == before
    study = next(run for run in runs_of(uri) if key_of(run) == ("study",))
    assert [file.path for file in client_of(uri).list_artifacts(study.info.run_id)] == ["results.json"]
    assert capfd.readouterr() == ("", "")
