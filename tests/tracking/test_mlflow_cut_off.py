"""study.tracking.mlflow_sync cut off, repeated or answered late: nothing is in a store twice, nothing missing."""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.tracked import (
    FOLDS,
    client_of,
    copy_to,
    cut_off,
    finish,
    finish_fold,
    key_of,
    live,
    make_ledger,
    runs_of,
    snapshot,
    statuses,
)

from study.ledger.ledger import Ledger
from study.tracking import mlflow_store, mlflow_sync
from study.tracking.mlflow_store import load_mlflow
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.tracker import Progress
from study.tracking.tracking_uri import TrackingError

FINISHED = Progress("finished")


def test_a_second_update_changes_nothing_and_reads_no_trial_that_has_ended(
    ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(ledger, "key0", "key1")
    copy = MlflowCopy(ledger, uri)
    copy.update(Progress())
    with monkeypatch.context() as patch:
        writes = cut_off(patch, -1, after=True)
        patch.setattr(mlflow_sync, "trial_result", None)
        copy.update(Progress())
    assert writes == []
    copy.update(FINISHED)
    before = snapshot(uri)
    copy.update(FINISHED)
    assert copy_to(uri, ledger) == snapshot(uri) == before


def test_only_trials_with_news_are_looked_at_while_a_study_runs(
    ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, asked = MlflowCopy(ledger, uri), list[str]()
    monkeypatch.setattr(mlflow_sync, "trial_result", lambda _, folder: asked.append(folder.key))

    def look(progress: Progress) -> list[str]:
        asked.clear()
        attempt(copy, progress)
        return sorted(asked)

    assert look(Progress(touched={"key1"})) == ["key0", "key1"]  # the store is new
    assert look(Progress(touched={"key1", "absent"})) == ["key1"]
    with monkeypatch.context() as patch:
        cut_off(patch, 1, after=False)
        assert look(replace(live(("key0", 0, 0)), touched={"key0"})) == ["key0"]
    assert look(Progress(touched=set())) == ["key0", "key1"]  # nobody knows what arrived
    assert look(Progress(touched=set())) == []
    assert look(Progress()) == ["key0", "key1"]
    assert look(Progress("interrupted", touched=set())) == ["key0", "key1"]


def test_an_empty_store_gets_the_same(ledger: Ledger, uri: str, empty_store: Path, tmp_path: Path) -> None:
    step_by_step = MlflowCopy(ledger, uri)
    for key in ("key0", "key1"):
        for fold in FOLDS:
            step_by_step.update(live((key, fold, 0)))
            finish_fold(ledger.trial(key), fold)
    step_by_step.update(FINISHED)
    other = shutil.copy(empty_store, tmp_path / "other.db")
    assert copy_to(f"sqlite:///{other}", ledger) == snapshot(uri)


@pytest.mark.slow
@pytest.mark.parametrize(("alphas", "step"), [((1.5,), 1), ((1.5, 0.0, 0.5), 7)], ids=["one trial", "side by side"])
def test_an_update_killed_at_any_write_leaves_nothing_twice(
    alphas: tuple[float, ...], step: int, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the n-th write, for each n, and continued; several trials are written side by side, as to a server.

    Where n is odd, its answer is lost and the same process goes on; else it never arrives and another process goes on.
    """
    keys = [f"key{number}" for number in range(len(alphas))]
    whole = make_ledger(tmp_path / "studies" / "whole", f"{0:032}", alphas)
    finish(whole, *keys)
    wanted = [comparable(run) for run in copy_to(uri, whole).values()]
    monkeypatch.setattr(mlflow_store, "count_writers", lambda uri: len(alphas))
    for number in range(1, 200, step):
        after = same_process = number % 2 == 1
        ledger = make_ledger(tmp_path / "studies" / f"n{number}", f"{number:032}", alphas)
        finish_fold(ledger.trial("key0"), 0)
        copy = MlflowCopy(ledger, uri)
        with monkeypatch.context() as patch:
            writes = cut_off(patch, number, after)
            killed = attempt(copy, live(*((key, 1, 0) for key in keys)))
            finish_fold(ledger.trial("key0"), 1)
            finish(ledger, *keys[1:])
            killed = killed or attempt(copy, FINISHED)
        copy = copy if same_process else MlflowCopy(ledger, uri)
        copy.update(FINISHED)
        found = [comparable(run) for run in snapshot(uri, ledger.study.id).values()]
        assert sorted(found, key=str) == sorted(wanted, key=str), f"killed at write {number}"
        if not killed:
            assert len(writes) > 12
            return
    raise AssertionError("the update never ended")


def comparable(run: dict[str, Any]) -> dict[str, Any]:
    own = ("audiotag.study", "audiotag.study_id", "mlflow.note.content", "mlflow.runName")
    tags = {name: value for name, value in run["tags"].items() if name not in own}
    return run | {"tags": tags, "points": {name: sorted(points) for name, points in run["points"].items()}}


def attempt(copy: MlflowCopy, progress: Progress) -> bool:
    """Whether an update was cut off."""
    try:
        copy.update(progress)
    except TrackingError as error:
        if "cut off" in str(error):
            return True
        raise
    return False


def test_metrics_that_arrive_after_all_are_not_twice(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is given up, the store is looked at, and only then does the server carry the call out."""
    finish(ledger, "key0")
    client, late = load_mlflow().MlflowClient, []
    original = client.log_batch

    def log_batch(self: Any, run_id: str, metrics: Any = (), *others: Any, **named: Any) -> None:
        if metrics and not late:
            late.append((run_id, metrics, *others))
            raise TimeoutError("timed out")
        if len(late) == 1:
            original(self, *late[0])
            late.append(None)
        original(self, run_id, metrics, *others, **named)

    monkeypatch.setattr(client, "log_batch", log_batch)
    copy = MlflowCopy(ledger, uri)
    with pytest.raises(TrackingError, match=r"is not up to date \(timed out\)"):
        copy.update(Progress())
    time.sleep(0.01)
    copy.update(Progress())
    points = snapshot(uri)["fold", "key0", "0"]["points"]
    assert points["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]
    assert len(points["eer/mean"]) == 1


@pytest.mark.parametrize(("page", "began"), [(2, 1), (500, -1)], ids=["later", "earlier"])
def test_runs_that_are_there_twice_are_mended(
    page: int, began: int, ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer was lost, and the run was made again: the finished one is kept, whichever was begun first."""
    monkeypatch.setattr(mlflow_store, "PAGE", page)
    finish(ledger, "key0", "key1")
    before, client = copy_to(uri, ledger), client_of(uri)
    ids = {run.info.run_id for run in runs_of(uri)}
    for run in runs_of(uri):
        client.create_run(run.info.experiment_id, run.info.start_time + began, run.data.tags)
    assert copy_to(uri, ledger) == before
    assert {run.info.run_id for run in runs_of(uri)} == ids


def test_runs_that_are_made_after_all_are_not_twice(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are given up, the store is looked at, and only then does the server make their runs."""
    client, late = load_mlflow().MlflowClient, []
    original, down = client.create_run, True

    def create_run(self: Any, experiment: str, start: int, tags: dict[str, str]) -> Any:
        if down:
            late.append((self, experiment, start, tags))
            raise TimeoutError("timed out")
        return original(self, experiment, start, tags)

    monkeypatch.setattr(client, "create_run", create_run)
    copy = MlflowCopy(ledger, uri)
    with pytest.raises(TrackingError):
        copy.update(Progress())
    down = False
    copy.update(live(("key0", 0, 0)))
    for call in late:
        original(*call)
    finish(ledger, "key0", "key1")
    copy.update(FINISHED)
    assert len(late) == 1
    assert set(statuses(uri).values()) == {"FINISHED"}
    assert snapshot(uri) == copy_to(uri, ledger)  # which refuses a run that is there twice


@pytest.mark.parametrize("deleted", [("study",), ("trial", "key0"), ("fold", "key1", "1")], ids=str)
def test_deleted_runs_are_made_again(ledger: Ledger, uri: str, deleted: tuple[str, ...]) -> None:
    finish(ledger, "key0", "key1")
    before = copy_to(uri, ledger)
    run = next(run for run in runs_of(uri) if key_of(run) == deleted)
    client_of(uri).delete_run(run.info.run_id)
    assert copy_to(uri, ledger) == before
