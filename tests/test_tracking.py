"""study.tracking against real stores: SQLite files, and one tracking server."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audiotag.config import TrialConfig
from study import tracker, tracking
from study.ledger import Ledger, TrialFolder
from study.projection import Live, Projection, metric_names, trial_name
from study.results import fold_eers, study_results
from study.tracker import Tracker
from study.tracking import TrackingError, check_server, default_uri

TAGS = ("c", "door/bell (far)", "mean")
NAMES = {"c": "c", "door/bell (far)": "door_bell _far_", "mean": "mean_2"}
FOLDS = (0, 1)
EPOCHS = {0: 3, 1: 2}  # of each fold
ALPHAS = (0.0, 1.5)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in it: making one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    tracking.load_mlflow().MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    """A tracking store of the test's own."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return default_uri(tmp_path)


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A study with two trials that have not begun, of two folds each, with an evaluation split."""
    return make_ledger(tmp_path / "studies" / "first", "a" * 32)


def make_ledger(root: Path, study_id: str, alphas: tuple[float, ...] = ALPHAS) -> Ledger:
    corpus = {"name": "tiny", "fingerprint": "f00d", "tags": list(TAGS), "folds": list(FOLDS)}
    corpus["evaluation_targets"] = {f"e{clip}": [clip % 2, clip % 3 % 2, 1] for clip in range(40)}
    study = {"study": root.name, "id": study_id, "space": "mixup_alpha", "question": "How strong?", "varied": ["alpha"]}
    study |= {"corpus": corpus, "seed": 7, "protocol": "paper", "trials": len(alphas), "command": "python study/run.py"}
    ledger = Ledger.create(root, study)
    for number, alpha in enumerate(alphas):
        ledger.trial(f"key{number}").write_trial(number, TrialConfig("mixup", alpha).to_dict())
    return ledger


def epoch_result(key: str, fold: int, epoch: int) -> dict[str, Any]:
    """What EpochResult holds, different for each; the mean EER is missing in the first epoch."""
    base = int(key[-1]) + fold / 10 + epoch / 100
    values = {name: base + place for place, name in enumerate(tracking.CURVES.values())}
    return {"epoch": epoch, **values, "val_eer_mean": base if epoch else None, "seconds": 1.0}


def finish_fold(folder: TrialFolder, fold: int) -> None:
    rng = np.random.default_rng((int(folder.key[-1]), fold))
    targets = (rng.random((40, 3)) < (0.5, 0.4, 1.1)).astype(np.float32)  # the last tag is always there and has no EER
    scores = rng.random(targets.shape, np.float32)
    record = {"fold": fold, **fold_eers(targets, scores, TAGS), "best_epoch": 1, "epochs": EPOCHS[fold], "seconds": 3.5}
    record["history"] = [epoch_result(folder.key, fold, epoch) for epoch in range(EPOCHS[fold])]
    folder.write_fold(fold, record, {"held_out": scores, "evaluation": scores}, {})


def finish(ledger: Ledger, *keys: str) -> None:
    for key in keys:
        for fold in FOLDS:
            finish_fold(ledger.trial(key), fold)


def client_of(uri: str) -> Any:
    return tracking.load_mlflow().MlflowClient(uri)


def runs_of(uri: str, study_id: str = "a" * 32) -> list[Any]:
    """All active runs of a study."""
    client = client_of(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`audiotag.study_id` = '{study_id}'"))


def snapshot(uri: str, study_id: str = "a" * 32, database: Path | None = None) -> dict[tuple[str, ...], dict[str, Any]]:
    """All that a store holds of a study, by level, trial and fold, without ids and times; no run may be there twice.

    The points of all metrics come from the database itself, where each of them shows.
    """
    runs = runs_of(uri, study_id)
    places = {run.info.run_id: place_of(run) for run in runs}
    assert len(set(places.values())) == len(runs), "a run is there twice"
    found = {}
    with closing(sqlite3.connect(database or tracking._database(uri))) as connection:
        rows = connection.execute("select run_uuid, key, step, value from metrics order by step, timestamp").fetchall()
    for run in runs:
        tags = dict(run.data.tags)
        if (parent := tags.pop("mlflow.parentRunId", None)) is not None:
            tags["parent"] = places[parent]
        points: dict[str, list[tuple[int, float]]] = {}
        for _, name, step, value in (row for row in rows if row[0] == run.info.run_id):
            points.setdefault(name, []).append((step, value))
        found[place_of(run)] = {"status": run.info.status, "params": run.data.params, "tags": tags, "points": points}
    return found


def place_of(run: Any) -> tuple[str, ...]:
    return tuple(
        run.data.tags[f"audiotag.{part}"] for part in ("level", "trial", "fold") if f"audiotag.{part}" in run.data.tags
    )


def statuses(uri: str) -> dict[tuple[str, ...], str]:
    return {place: run["status"] for place, run in snapshot(uri).items()}


def without_none(values: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


# What a finished study looks like


def test_finished_study_holds_what_the_results_say(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    results = study_results(ledger, "finished")
    ledger.write_results(results)
    Projection(ledger, uri).update({}, "finished")
    store = snapshot(uri)
    assert len(store) == 1 + 2 + 4
    assert {run["status"] for run in store.values()} == {"FINISHED"}
    for trial in results["trials"]:
        run = store["trial", trial["key"]]
        assert run["params"] == {name: str(value) for name, value in trial["params"].items()}
        wanted = {f"eer/{NAMES[tag]}": value for tag, value in trial["eer"].items()}
        wanted |= {f"eval/{NAMES[tag]}": value for tag, value in trial["eval_eer"].items()}
        wanted |= {"eer/mean": trial["eer_mean"], "eval/mean": trial["eval_eer_mean"]}
        wanted |= {"eer/var_classes": trial["eer_var_classes"], "eer/var_folds": trial["eer_var_folds"]}
        wanted |= {"eval/var_classes": trial["eval_eer_var_classes"]}
        points = {name: points for name, points in run["points"].items() if name not in tracking.CURVES}
        assert points == {name: [(0, value)] for name, value in without_none(wanted).items()}
        assert "eer/mean_2" not in points  # this tag has no EER
        for fold in trial["folds"]:
            points = store["fold", trial["key"], str(fold["fold"])]["points"]
            assert points["eer/mean"] == [(0, fold["eer_mean"])]
            assert points["eer/c"] == [(0, fold["eer"]["c"])]
            assert [points[name][0][1] for name in ("best_epoch", "epochs", "seconds")] == [
                1,
                EPOCHS[fold["fold"]],
                3.5,
            ]
    best = min(trial["eer_mean"] for trial in results["trials"])
    study = store["study",]["points"]
    assert study == {"best/eer_mean": [(0, best)], "trials/finished": [(0, 2)], "trials/failed": [(0, 0)]}


def test_runs_are_named_tagged_nested_and_described(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    Projection(ledger, uri).update({}, "finished")
    store = snapshot(uri)
    shared = {"audiotag.study": "first", "audiotag.study_id": "a" * 32, "audiotag.corpus": "tiny"}
    trial = {"audiotag.level": "trial", "audiotag.trial": "key1", "mlflow.runName": "alpha 1.5", "parent": ("study",)}
    fold = {"audiotag.level": "fold", "audiotag.trial": "key1", "audiotag.fold": "0", "mlflow.runName": "fold 0"}
    for place, tags in {("trial", "key1"): trial, ("fold", "key1", "0"): fold | {"parent": ("trial", "key1")}}.items():
        assert len(store[place]["tags"].pop("mlflow.note.content")) > 20
        assert store[place]["tags"] == shared | tags
    assert store["study",]["tags"]["mlflow.runName"] == "first"
    assert "The best is alpha" in store["study",]["tags"]["mlflow.note.content"]
    assert store["study",]["params"] == {
        "corpus": "tiny",
        "corpus_fingerprint": "f00d",
        "protocol": "paper",
        "seed": "7",
        "space": "mixup_alpha",
        "trials": "2",
        "folds": "2",
    }
    assert store["fold", "key1", "1"]["params"] == store["trial", "key1"]["params"] | {"fold": "1"}
    experiment = client_of(uri).get_experiment_by_name("mixup_alpha")
    assert experiment.tags["mlflow.note.content"] == "How strong?"


def test_curves_of_folds_and_their_mean_over_the_folds_that_have_the_epoch(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0")
    Projection(ledger, uri).update({}, "finished")
    store = snapshot(uri)
    fold = store["fold", "key0", "0"]["points"]
    assert fold["train/loss"] == [(0, 0.0), (1, 0.01), (2, 0.02)]
    assert [step for step, _ in fold["val/eer_mean"]] == [1, 2]  # None is left out
    trial = store["trial", "key0"]["points"]
    assert trial["train/loss"] == [(0, pytest.approx(0.05)), (1, pytest.approx(0.06)), (2, 0.02)]
    assert [step for step, _ in trial["val/eer_mean"]] == [1, 2]


def test_artifacts_are_stored_beside_the_database(ledger: Ledger, uri: str, tmp_path: Path) -> None:
    (ledger.root / "table.md").write_text("| a |")
    Projection(ledger, uri).update({}, "interrupted")
    run = next(run for run in runs_of(uri) if run.data.tags["audiotag.level"] == "study")
    assert [file.path for file in client_of(uri).list_artifacts(run.info.run_id)] == ["table.md"]
    assert run.info.artifact_uri.startswith((tmp_path / "mlartifacts" / "mixup_alpha").as_uri())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlartifacts", "mlflow.db", "studies"]


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
    monkeypatch.setattr("study.ledger.read_json", read.append)
    writes = cut_off(monkeypatch, -1, after=True)
    projection.update({}, "running")
    assert (read, writes) == ([], [])


# A study in progress


def test_each_epoch_once_live_then_recorded(ledger: Ledger, uri: str) -> None:
    projection = Projection(ledger, uri)
    first, second = (epoch_result("key0", 0, epoch) for epoch in (0, 1))
    projection.update({("key0", 0): [first]}, "running")
    assert statuses(uri) == {
        ("study",): "RUNNING",
        ("trial", "key0"): "RUNNING",
        ("trial", "key1"): "RUNNING",
        ("fold", "key0", "0"): "RUNNING",
    }
    projection.update({("key0", 0): [first, second]}, "running")
    Projection(ledger, uri).update({("key0", 0): [second]}, "running")  # of another process
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01)]
    finish_fold(ledger.trial("key0"), 0)
    projection.update({("key0", 0): [second]}, "running")
    points = snapshot(uri)["fold", "key0", "0"]
    assert points["status"] == "FINISHED"
    assert points["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]


def test_nan_is_left_out(ledger: Ledger, uri: str) -> None:
    Projection(ledger, uri).update(
        {("key0", 0): [epoch_result("key0", 0, 0) | {"val_eer_mean": float("nan")}]}, "running"
    )
    assert "val/eer_mean" not in snapshot(uri)["fold", "key0", "0"]["points"]


@pytest.mark.parametrize("same_process", [True, False])
def test_interrupted_then_resumed_then_finished(ledger: Ledger, uri: str, same_process: bool) -> None:
    projection = Projection(ledger, uri)
    finish_fold(ledger.trial("key0"), 0)
    projection.update({("key0", 1): [epoch_result("key0", 1, 0)]}, "running")
    projection.update({}, "interrupted")
    finished, killed = {("fold", "key0", "0"): "FINISHED"}, [("study",), ("trial", "key0"), ("trial", "key1")]
    killed += [("fold", "key0", "1")]
    assert statuses(uri) == finished | dict.fromkeys(killed, "KILLED")
    projection = projection if same_process else Projection(ledger, uri)
    projection.update({}, "running")
    assert statuses(uri) == finished | dict.fromkeys(killed, "RUNNING")
    finish_fold(ledger.trial("key0"), 1)
    finish(ledger, "key1")
    projection.update({}, "finished")
    assert set(statuses(uri).values()) == {"FINISHED"}


def test_failed_trial_says_why_and_may_be_mended(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key1")
    finish_fold(ledger.trial("key0"), 0)
    projection = Projection(ledger, uri)
    projection.update({("key0", 1): [epoch_result("key0", 1, 0)]}, "running")
    ledger.trial("key0").write_failure("the loss is not finite")
    projection.update({}, "finished")
    store = snapshot(uri)
    failed = {place for place, run in store.items() if run["status"] == "FAILED"}
    assert failed == {("trial", "key0"), ("fold", "key0", "1")}
    assert store["trial", "key0"]["tags"]["audiotag.failure"] == "the loss is not finite"
    assert "the loss is not finite" in store["trial", "key0"]["tags"]["mlflow.note.content"]
    assert "eer/mean" not in store["trial", "key0"]["points"]
    assert store["study",]["points"]["trials/failed"] == [(0, 1)]
    (ledger.trial("key0").path / "failed.json").unlink()
    finish_fold(ledger.trial("key0"), 1)
    Projection(ledger, uri).update({}, "finished")
    mended = snapshot(uri)
    assert {run["status"] for run in mended.values()} == {"FINISHED"}
    assert "audiotag.failure" not in mended["trial", "key0"]["tags"]


def test_damaged_fold_of_a_finished_one_waits_for_the_ledger(ledger: Ledger, uri: str) -> None:
    finish_fold(ledger.trial("key0"), 0)
    Projection(ledger, uri).update({}, "running")
    (ledger.trial("key0").path / "fold_0.json").unlink()
    finish_fold(ledger.trial("key0"), 1)
    projection = Projection(ledger, uri)
    projection.update({}, "running")
    assert statuses(uri)["trial", "key0"] == "RUNNING"
    finish_fold(ledger.trial("key0"), 0)
    projection.update({}, "running")
    assert statuses(uri)["trial", "key0"] == "FINISHED"


def test_two_studies_of_one_name_are_kept_apart(ledger: Ledger, uri: str, tmp_path: Path) -> None:
    twin = make_ledger(tmp_path / "elsewhere" / "first", "b" * 32)
    for one in (ledger, twin):
        Projection(one, uri).update({}, "running")
    finish(twin, "key0")
    Projection(twin, uri).update({}, "running")
    assert len(snapshot(uri)) == 3
    assert len(snapshot(uri, "b" * 32)) == 5


def test_deleted_experiment_is_named(ledger: Ledger, uri: str) -> None:
    client = client_of(uri)
    client.delete_experiment(client.create_experiment("mixup_alpha"))
    with pytest.raises(TrackingError, match=r"experiment `mixup_alpha` .* was deleted: .*mlflow experiments restore"):
        Projection(ledger, uri).update({}, "running")


# The thread


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "INTERVAL", 0.05)


@pytest.mark.usefixtures("_hasty")
def test_tracker_follows_a_study(ledger: Ledger, uri: str) -> None:
    said: list[str] = []
    tracker = Tracker(ledger, uri, said.append)
    tracker.start()
    tracker.started("key0", {})
    for epoch in range(EPOCHS[0]):
        tracker.reported("key0", epoch_result("key0", 0, epoch) | {"fold": 0, "folds_done": 0})
    wait_for(lambda: ("fold", "key0", "0") in statuses(uri))
    finish(ledger, "key0", "key1")
    tracker.reported("key0", {"folds_done": 2})
    tracker.ended("key1", None)
    assert tracker.close("finished", 30)
    assert said == []
    assert set(statuses(uri).values()) == {"FINISHED"}
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]
    assert tracker._live == {}


@pytest.mark.usefixtures("_hasty")
def test_tracker_warns_once_and_catches_up(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls, up = Projection.update, [], threading.Event()

    def update(self: Projection, live: Live, study_status: str) -> None:
        calls.append(live)
        if not up.is_set():
            raise RuntimeError("down\nwith details")
        original(self, live, study_status)

    monkeypatch.setattr(Projection, "update", update)
    said: list[str] = []
    tracker = Tracker(ledger, uri, said.append)
    tracker.start()
    tracker.epoch("key0", 0, epoch_result("key0", 0, 0))
    wait_for(lambda: len(calls) > 2)
    tracker.epoch("key0", 0, epoch_result("key0", 0, 1))
    assert said == ["MLflow: RuntimeError: down Training goes on and nothing is lost; it will be tried again."]
    up.set()
    wait_for(lambda: len(said) == 2)
    assert said[1] == f"MLflow at {uri} is up to date again."
    assert tracker.close("interrupted", 30)
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01)]


@pytest.mark.usefixtures("_hasty")
def test_tracker_gives_up_when_its_time_is_over(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Projection, "update", lambda *_: time.sleep(0.05) or 1 / 0)
    tracker = Tracker(ledger, "sqlite:////nowhere/mlflow.db", lambda _: None)
    tracker.start()
    began = time.monotonic()
    assert not tracker.close("finished", 0.3)
    assert time.monotonic() - began < 2
    tracker._thread.join(5)
    assert not tracker._thread.is_alive()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


# Names


def test_metric_names_keep_plain_tags() -> None:
    assert metric_names(["c", "Tür auf", "b-1.x:y"]) == {"c": "c", "Tür auf": "Tür auf", "b-1.x:y": "b-1.x:y"}


def test_metric_names_are_distinct_and_accepted(uri: str) -> None:
    tags = [
        "a?",
        "a!",
        "a_",
        "a__2",
        "mean",
        "mean_2",
        "var_folds",
        ".",
        "..",
        "",
        "x/../y",
        "x" * 900,
        "x" * 901,
        "\n",
    ]
    names = metric_names(tags)
    assert len(set(names.values())) == len(tags)
    assert not set(names.values()) & {"mean", "var_folds", "var_classes"}
    client = client_of(uri)
    run = client.create_run("0")
    for name in names.values():
        client.log_metric(run.info.run_id, f"eer/{name}", 0.5)


@pytest.mark.parametrize(
    ("config", "varied", "name"),
    [
        (TrialConfig("mixup", 1.5), ["alpha"], "alpha 1.5"),
        (TrialConfig("mixup", 0.123456, 0.0), ["augmentation", "alpha", "dropout"], "mixup, alpha 0.123, dropout 0"),
        (TrialConfig("sample_pairing"), ["augmentation", "alpha"], "sample_pairing"),
        (TrialConfig(gru_units=1024), ["gru_units"], "gru_units 1024"),
        (TrialConfig(), [], ""),
    ],
)
def test_trial_names(config: TrialConfig, varied: list[str], name: str) -> None:
    assert trial_name(config.to_dict(), varied) == name


# Where to track


def test_default_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert default_uri(Path("/50% or?/ä")) == "sqlite:////50%25 or%3F/ä/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert default_uri(tmp_path) == "http://there:5000"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///{tmp}/none/mlflow.db", r"mlflow\.db cannot be used \(there is no folder .*/none\): choose another"),
        ("sqlite:///{tmp}/file/mlflow.db", r"cannot be used \(there is no folder"),
        ("sqlite:///{tmp}/file", r"cannot be used \(it is something else than an SQLite database\)"),
        ("sqlite:///{tmp}", r"cannot be used \(it is something else"),
        ("sqlite://", r"'sqlite://', but must name a file"),
        ("sqlite:///:memory:", r"but must name a file"),
        (
            "postgresql://me:secret@there/db",
            r"'postgresql://there/db', but must begin with sqlite:///, http:// or https://",
        ),
        ("./mlruns", r"'./mlruns', but must begin with"),
        ("http://127.0.0.1:{port}", r"http://127.0.0.1:\d+ does not answer as an MLflow server \(Connection refused\)"),
    ],
)
def test_check_refuses(uri: str, message: str, tmp_path: Path, free_port: int) -> None:
    (tmp_path / "file").write_text("no database, but some text")
    with pytest.raises(TrackingError, match=message) as caught:
        check_server(uri.format(tmp=tmp_path, port=free_port))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_check_of_a_database_is_quick_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from study.tracking import check_server; check_server(sys.argv[1]); print('mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, default_uri(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start_server(empty_store: Path, tmp_path: Path, free_port: int) -> Iterator[Callable[[], None]]:
    """Starts a tracking server on `free_port`; it is stopped after the test."""
    shutil.copy(empty_store, tmp_path / "server.db")
    servers: list[subprocess.Popen] = []

    def start() -> None:
        where = ["--port", str(free_port), "--artifacts-destination", str(tmp_path / "artifacts")]
        store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", *where, *store]
        environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # twice as quick
        with (tmp_path / "server.log").open("wb") as log:
            process = {"stdout": log, "stderr": log, "start_new_session": True, "cwd": tmp_path}
            servers.append(subprocess.Popen(command, env=os.environ | environment, **process))

    yield start
    for server in servers:
        os.killpg(server.pid, 15)
        server.wait(20)


@pytest.mark.slow
@pytest.mark.usefixtures("_hasty")
def test_server_that_comes_later(
    ledger: Ledger, start_server: Callable[[], None], free_port: int, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    uri, said = f"http://127.0.0.1:{free_port}", []
    tracker = Tracker(ledger, uri, said.append)
    tracker.start()
    tracker.epoch("key0", 0, epoch_result("key0", 0, 0))
    finish(ledger, "key0")
    ledger.write_results(study_results(ledger, "interrupted"))
    wait_for(lambda: len(said) == 1)
    start_server()
    assert tracker.close("interrupted", 200)
    assert said[0].startswith(f"MLflow at {uri} is not up to date (Connection refused).")
    assert said[1:] == [f"MLflow at {uri} is up to date again."]
    check_server(uri)
    database = tmp_path / "server.db"
    before = snapshot(uri, database=database)
    assert len(before) == 5
    assert before["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]
    Projection(ledger, uri).update({}, "interrupted")
    assert snapshot(uri, database=database) == before
    study = next(run for run in runs_of(uri) if run.data.tags["audiotag.level"] == "study")
    assert [file.path for file in client_of(uri).list_artifacts(study.info.run_id)] == ["results.json"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_server_that_is_something_else(tmp_path: Path, free_port: int) -> None:
    command = [sys.executable, "-m", "http.server", str(free_port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as server:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", free_port)) == 0)
        with pytest.raises(TrackingError, match="does not answer as an MLflow server"):
            check_server(f"http://127.0.0.1:{free_port}")
        server.terminate()
