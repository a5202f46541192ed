"""study.tracking.mlflow_sync stopped anywhere, answered late, or started again: nothing is in the store twice."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.tracked import (
    FOLDS,
    client_of,
    epoch_result,
    finish,
    finish_fold,
    make_ledger,
    place_of,
    runs_of,
    snapshot,
)

from study.ledger.ledger import Ledger
from study.tracking import mlflow_store as tracking
from study.tracking.mlflow_store import TrackingError, default_uri
from study.tracking.mlflow_sync import Projection

# Idempotence


def test_second_update_changes_nothing(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    projection = Projection(ledger, uri)
    projection.update({}, "finished")
    before = snapshot(uri)
    projection.update({}, "finished")
    Projection(ledger, uri).update({}, "finished")
    assert snapshot(uri) == before


def test_rebuilding_into_an_empty_store_gives_the_same(
    ledger: Ledger, uri: str, empty_store: Path, tmp_path: Path
) -> None:
    step_by_step = Projection(ledger, uri)
    for key in ("key0", "key1"):
        for fold in FOLDS:
            step_by_step.update({(key, fold): [epoch_result(key, fold, 0)]}, "running")
            finish_fold(ledger.trial(key), fold)
    step_by_step.update({}, "finished")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(empty_store, other / "mlflow.db")
    Projection(ledger, default_uri(other)).update({}, "finished")
    assert snapshot(default_uri(other)) == snapshot(uri)


def test_stopping_at_any_write_leaves_nothing_twice(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at the n-th write, for each n, and continued.

    Where n is odd, its answer is lost and the same process goes on; else it never arrives and another process goes on.
    """
    whole = make_ledger(tmp_path / "studies" / "whole", f"{0:032}", (1.5,))
    finish(whole, "key0")
    Projection(whole, uri).update({}, "finished")
    wanted = [comparable(run) for run in snapshot(uri, f"{0:032}").values()]
    for number in range(1, 100):
        after = same_process = number % 2 == 1
        ledger = make_ledger(tmp_path / "studies" / f"n{number}", f"{number:032}", (1.5,))
        finish_fold(ledger.trial("key0"), 0)
        projection = Projection(ledger, uri)
        with monkeypatch.context() as patch:
            writes = cut_off(patch, number, after)
            live = {("key0", 1): [epoch_result("key0", 1, 0)]}
            stopped = attempt(lambda projection=projection, live=live: projection.update(live, "running"))
            finish_fold(ledger.trial("key0"), 1)
            if not stopped:
                stopped = attempt(lambda projection=projection: projection.update({}, "finished"))
        projection = projection if same_process else Projection(ledger, uri)
        projection.update({}, "finished")
        found = [comparable(run) for run in snapshot(uri, f"{number:032}").values()]
        assert sorted(found, key=str) == sorted(wanted, key=str), f"stopped at write {number}"
        if not stopped:
            assert len(writes) > 12
            return
    raise AssertionError("the projection never ended")


def comparable(run: dict[str, Any]) -> dict[str, Any]:
    own = ("audiotag.study", "audiotag.study_id", "mlflow.note.content", "mlflow.runName")
    tags = {name: value for name, value in run["tags"].items() if name not in own}
    return run | {"tags": tags, "points": {name: sorted(points) for name, points in run["points"].items()}}


def attempt(act: Callable[[], None]) -> bool:
    """Whether an act was cut off."""
    try:
        act()
    except TrackingError:
        return True
    return False


def cut_off(patch: pytest.MonkeyPatch, number: int, after: bool) -> list[str]:
    """Makes the n-th write to MLflow fail, and only that; returns a list that grows with the writes."""
    writes: list[str] = []
    client = tracking.load_mlflow().MlflowClient

    def wrap(name: str) -> Callable[..., Any]:
        original = getattr(client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            writes.append(name)
            result = original(*arguments, **named) if after or len(writes) != number else None
            if len(writes) == number:
                raise ConnectionError("cut off")
            return result

        return call

    for name in ("create_run", "log_batch", "set_tag", "update_run", "set_terminated"):
        patch.setattr(client, name, wrap(name))
    return writes


def test_metrics_that_arrive_after_all_are_not_twice(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is given up, the store is looked at, and only then does the server carry the call out."""
    finish(ledger, "key0")
    client, late = tracking.load_mlflow().MlflowClient, []
    original = client.log_batch

    def log_batch(self: Any, run_id: str, metrics: Any = (), **others: Any) -> None:
        if metrics and not late:
            late.append((run_id, metrics))
            raise TimeoutError("timed out")
        if len(late) == 1:
            original(self, *late[0])
            late.append(None)
        original(self, run_id, metrics, **others)

    monkeypatch.setattr(client, "log_batch", log_batch)
    projection = Projection(ledger, uri)
    with pytest.raises(TrackingError, match=r"is not up to date \(timed out\)"):
        projection.update({}, "running")
    time.sleep(0.01)
    projection.update({}, "running")
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]


def test_late_answer_that_made_a_run_twice_is_mended(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    Projection(ledger, uri).update({}, "finished")
    before, client = snapshot(uri), client_of(uri)
    for run in runs_of(uri):
        client.create_run(run.info.experiment_id, tags=run.data.tags)
    Projection(ledger, uri).update({}, "finished")
    assert snapshot(uri) == before


@pytest.mark.parametrize("deleted", [("study",), ("trial", "key0"), ("fold", "key1", "1")], ids=str)
def test_deleted_runs_are_made_again(ledger: Ledger, uri: str, deleted: tuple[str, ...]) -> None:
    finish(ledger, "key0", "key1")
    Projection(ledger, uri).update({}, "finished")
    before = snapshot(uri)
    run = next(run for run in runs_of(uri) if place_of(run) == deleted)
    client_of(uri).delete_run(run.info.run_id)
    Projection(ledger, uri).update({}, "finished")
    assert snapshot(uri) == before


def test_more_runs_than_a_page(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PAGE", 2)
    finish(ledger, "key0", "key1")
    for _ in range(2):
        Projection(ledger, uri).update({}, "finished")
    assert len(snapshot(uri)) == 7


def test_complete_trials_are_not_looked_at_again(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(ledger, "key0", "key1")
    projection = Projection(ledger, uri)
    projection.update({}, "running")
    read: list[Path] = []
    monkeypatch.setattr("study.ledger.ledger.read_json", read.append)
    writes = cut_off(monkeypatch, -1, after=True)
    projection.update({}, "running")
    assert (read, writes) == ([], [])
