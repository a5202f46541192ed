"""Ray Tune's events in the study's words, and the scheduler's decisions in Tune's."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.made_up import SMALL, make_corpus, make_study
from helpers.small_study import fold_record
from helpers.small_trial import PARAMETERS, make_context
from ray import tune
from ray.exceptions import OutOfMemoryError

from audiotag.training.epochs import EpochResult
from search_spaces import SpaceError, load_space
from study.ledger.context import StudyContext
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import Ledger, trial_folder
from study.ledger.progress import Report
from study.ledger.pruning import read_passed, write_pruned
from study.ledger.saved_state import pack_fold
from study.search.asha import Rungs
from study.search.searcher import make_searcher
from study.search.space import scan_space
from study.tuning.crew import Crew
from study.tuning.failures import LowMemory, RunAgain, UnfitNode
from study.tuning.faults import RESTARTS, Faults
from study.tuning.features import StudyFeatures
from study.tuning.scheduler import FoldScheduler
from study.tuning.tune import Relay, find_cause, run_trials

FAILED = Report(1.0, failed="the loss is not finite")
CONTEXT = make_context()
KEY = CONTEXT.key_of(PARAMETERS)


class Notebook:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def __getattr__(self, event: str) -> Any:
        return lambda *arguments: self.events.append((event, *arguments))


def relay_to(root: Path, *listeners: Any, context: StudyContext = CONTEXT) -> Relay:
    """The relay of a study in this folder, on nodes of which none has died."""
    return Relay(list(listeners), Ledger(root, context.study), Faults(list))


def trial_of(report: Report, parameters: dict[str, Any] = PARAMETERS) -> Any:
    """What Ray Tune knows of a trial."""
    files = {"error_file": None, "pickled_error_file": None}
    return SimpleNamespace(config=parameters, last_result=report.to_dict(), max_failures=-1, **files)


def test_listeners_hear_of_each_event_of_a_trial(tmp_path: Path) -> None:
    notebook, report, trial = Notebook(), Report(0.3, 1), trial_of(Report(0.3, 1))
    relay = relay_to(tmp_path, notebook)
    relay.on_trial_start(0, [], trial)
    relay.on_trial_recover(0, [], trial)
    relay.on_trial_result(0, [], trial, report.to_dict())
    relay.on_trial_complete(0, [], trial_of(FAILED))
    relay.on_trial_complete(0, [], trial)
    record = write_pruned(trial_folder(tmp_path, _made(tmp_path, KEY)), 1, 0.3, 0.2)
    relay.on_trial_complete(0, [], trial)
    assert [event for event, *_ in notebook.events] == ["started", "broke_off", "reported", "ended", "ended", "pruned"]
    assert {event[1] for event in notebook.events} == {KEY}
    outcomes = [event[2] for event in notebook.events]
    config = CONTEXT.config(PARAMETERS)
    assert [outcomes[0], *outcomes[2:]] == [config.to_dict(), report, FAILED.failed, None, record.reason]


def test_a_trial_that_breaks_off_too_often_is_failed_in_the_ledger_and_started_once_more_to_say_so(
    tmp_path: Path,
) -> None:
    notebook, trial = Notebook(), trial_of(Report(0.3))
    relay = relay_to(tmp_path, notebook)
    for _ in range(RESTARTS):
        relay.on_trial_recover(0, [], trial)
    assert trial_folder(tmp_path, KEY).read_failure() is None
    assert trial.max_failures == -1
    relay.on_trial_recover(0, [], trial)
    reason = trial_folder(tmp_path, KEY).read_failure()
    assert "it broke off 4 times, the last time because of Ray" in (reason or "")
    assert trial.max_failures == 0
    assert [event for event, *_ in notebook.events] == ["started", *["broke_off"] * RESTARTS]
    relay.on_trial_error(0, [], trial)  # it could not even say so
    assert notebook.events[-1] == ("ended", KEY, reason)


def test_a_worker_that_does_not_start_costs_the_run_and_at_last_its_trial(tmp_path: Path) -> None:
    """Tune takes that for the end of the trial."""
    notebook, trial = Notebook(), trial_of(Report(0.3))
    relay = relay_to(tmp_path, notebook)
    for _ in range(RESTARTS):
        with pytest.raises(RunAgain, match="a worker did not start because"):
            relay.on_trial_error(0, [], trial)
    relay.on_trial_error(0, [], trial)
    assert [event for event, *_ in notebook.events] == ["started", "ended"], "it was not told as started before"
    assert notebook.events[-1][2] == trial_folder(tmp_path, KEY).read_failure()


def test_a_trial_that_broke_off_for_good_in_a_later_partition_keeps_its_result(tmp_path: Path) -> None:
    context = make_context(partitions=2)
    folder = trial_folder(tmp_path, _made(tmp_path, context.key_of(PARAMETERS)))
    for fold in context.study.folds:
        folder.write_fold(fold_record(folder, fold, 0.1, 0.2), pack_fold({}, {}))
    relay = relay_to(tmp_path, context=context)
    for _ in range(RESTARTS + 1):
        relay.on_trial_recover(0, [], trial_of(Report(0.3)))
    assert folder.read_failure() is None
    assert "4 times" in (folder.for_partition(2).read_failure() or "")


def test_an_epoch_is_progress_and_a_fold_that_was_there_before_is_not(tmp_path: Path) -> None:
    relay, epoch = relay_to(tmp_path), EpochResult(0, 0.5, 0.9, 0.5, 0.9, {"eer": 0.25}, 1.0)
    for report, progress in ((Report(0.3, 1), False), (Report(0.3, 1, 1, 0, epoch), True), (Report(0.3, 2), True)):
        relay.on_trial_result(0, [], trial_of(report), report.to_dict())
        assert relay.progress == progress


@pytest.mark.parametrize("event", ["on_trial_recover", "on_trial_error"])
def test_low_memory_ends_the_run_and_is_no_failure_of_the_trial(tmp_path: Path, event: str) -> None:
    notebook, trial = Notebook(), trial_of(Report(0.3))
    trial.error_file = tmp_path / "error.txt"
    trial.error_file.write_text(
        "Failure # 4 (occurred at 2026-01-01)\n1 worker was killed: the node is low on memory\n"
    )
    with pytest.raises(LowMemory):
        getattr(relay_to(tmp_path, notebook), event)(0, [], trial)
    assert notebook.events == []
    assert trial_folder(tmp_path, KEY).read_failure() is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemoryError("the node is low on memory"), LowMemory),  # a worker that trains: Tune has no case for it
        (LowMemory("the node is low on memory"), LowMemory),
        (UnfitNode(("a",), "no torch there"), UnfitNode),
        (LedgerError("the disk is full"), LedgerError),
        (ZeroDivisionError("a bug"), RuntimeError),
    ],
)
def test_an_exception_that_ends_the_run_is_one_of_ours_where_its_reason_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def fit(tuner: tune.Tuner) -> None:
        raise RuntimeError("Tune ends") from error

    monkeypatch.setattr(tune.Tuner, "fit", fit)
    monkeypatch.setattr("study.tuning.tune.start_writer", lambda ledger: None)
    monkeypatch.setattr(tune, "with_parameters", lambda trainable, **shared: trainable)
    ledger = make_study(tmp_path / "s", [], corpus=make_corpus(**SMALL), with_clips=False)
    context = make_context()
    searcher = make_searcher(scan_space(load_space("mixup_alpha")), ledger, context)
    crew, faults = Crew({"cpu": 1.0, "gpu": 0.0}), Faults(list)
    with pytest.raises(kind) as caught:
        run_trials(
            searcher,
            ledger,
            None,
            StudyFeatures({}),
            trials=1,
            slots=1,
            crew=crew,
            listeners=[],
            faults=faults,
        )
    assert (caught.value.__cause__ is error) == (kind is RuntimeError)


def test_a_listener_that_raises_and_a_workers_warnings_become_warnings(tmp_path: Path) -> None:
    class Broken(Notebook):
        def reported(self, key: str, report: Report) -> None:
            raise ZeroDivisionError

    notebook = Notebook()
    relay, report = relay_to(tmp_path, Broken(), notebook), Report(0.3, warnings=("a damaged file",))
    with (
        pytest.warns(RuntimeWarning, match=r"Broken\.reported: ZeroDivisionError"),
        pytest.warns(LedgerWarning, match="a damaged file"),
    ):
        relay.on_trial_result(0, [], trial_of(report), report.to_dict())
    assert len(notebook.events) == 1


def test_a_trial_that_cannot_write_ends_the_study(tmp_path: Path) -> None:
    halted = Report(1.0, halted="the disk is full")
    with pytest.raises(LedgerError, match="the disk is full"):
        relay_to(tmp_path).on_trial_result(0, [], trial_of(halted), halted.to_dict())


def test_the_scheduler_stops_a_trial_at_the_end_of_a_fold_only(tmp_path: Path) -> None:
    corpus = make_corpus(groups=6, clips=4, tags=2, folds=2)
    ledger = make_study(tmp_path / "s", [], corpus=corpus, with_clips=False, scheduler="asha")
    context = make_context()
    trials = [trial_of(FAILED, {"dropout": dropout}) for dropout in (0.0, 0.1, 0.2, 0.3, 0.4)]
    keys = [_made(ledger.root, context.key_of(trial.config)) for trial in trials]
    scheduler = FoldScheduler(Rungs(ledger), context)

    def decide(number: int, report: Report) -> str:
        return scheduler.on_trial_result(None, trials[number], report.to_dict())

    assert [decide(number, Report(mean, 1)) for number, mean in enumerate((0.2, 0.3, 0.4))] == ["CONTINUE"] * 3
    assert read_passed(ledger.trial(keys[0])) == (1,)
    assert decide(3, Report(0.9, 1, fold=1, seed=5)) == "CONTINUE"
    assert decide(3, Report(0.9, 1)) == "STOP"
    scheduler.on_trial_complete(None, trials[0], FAILED.to_dict())
    scheduler.on_trial_error(None, trials[1])
    assert decide(4, Report(0.9, 1)) == "CONTINUE"  # two others are left


def _made(root: Path, key: str) -> str:
    """The key of a trial whose folder there is now."""
    trial_folder(root, key).write_trial(0, {})
    return key


def test_the_reason_is_found_under_the_exceptions_of_tune() -> None:
    ours, bug = SpaceError("define cannot be run"), ValueError("a bug")
    for reason, found in ((ours, ours), (bug, None)):
        outer = RuntimeError("Tune's")
        outer.__cause__ = KeyError("another of Tune's")
        outer.__cause__.__context__ = reason
        assert find_cause(outer, LedgerError, SpaceError) is found
