"""A made-up study for the tests of MLflow's copy of it, and all that a store holds of one."""

import math
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audiotag.config import TrialConfig
from audiotag.training.epochs import EpochResult
from study.ledger.ledger import Ledger
from study.ledger.results import score
from study.ledger.saved_state import pack_fold
from study.ledger.schema import FoldRecord, StudyRecord, read_record
from study.ledger.trial_folder import TrialFolder
from study.tracking.mlflow_store import load_mlflow
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.run_keys import RunKey
from study.tracking.tracker import Progress

TAGS = ("c", "door/bell (far)", "mean")
NAMES = {"c": "c", "door/bell (far)": "door_bell _far_", "mean": "mean_2"}
FOLDS = (0, 1)
EPOCHS = {0: 3, 1: 2}  # of each fold
ALPHAS = (0.0, 1.5)
FINISHED = Progress("finished")
WRITES = ("create_run", "log_batch", "log_inputs", "delete_tag", "update_run", "set_terminated")


def make_ledger(root: Path, study_id: str, alphas: tuple[float, ...] = ALPHAS, **more: Any) -> Ledger:
    corpus = {"name": "tiny", "fingerprint": "f00d", "tags": list(TAGS), "folds": list(FOLDS)}
    corpus["evaluation_targets"] = {f"e{clip}": [clip % 2, clip % 3 % 2, 1] for clip in range(40)}
    study = {"study": root.name, "id": study_id, "space": "mixup_alpha", "question": "How strong?", "varied": ["alpha"]}
    study |= {"corpus": corpus, "seed": 7, "protocol": "paper", "trials": len(alphas), "command": "python study/run.py"}
    study |= {"space_fingerprint": "0" * 16, "settings": {}, "features": [], "created": "2026-01-01T00:00:00+00:00"}
    ledger = Ledger.create(root, read_record(StudyRecord, study | {"left_out": []} | more))
    for number, alpha in enumerate(alphas):
        ledger.trial(f"key{number}").write_trial(
            number, TrialConfig.from_dict({"augmentation": "mixup", "alpha": alpha}).to_dict()
        )
    return ledger


def epoch_result(key: str, fold: int, epoch: int) -> EpochResult:
    """An epoch unlike any other; in the first there is no EER."""
    base = int(key[-1]) + fold / 10 + epoch / 100
    return EpochResult(epoch, base, base + 1, base + 2, base + 3, {"eer": base if epoch else math.nan}, 1.0)


def epoch_row(key: str, fold: int, epoch: int) -> dict[str, Any]:
    """The epoch as a fold's file has it."""
    values = epoch_result(key, fold, epoch).to_dict()
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def live(*trainings: tuple[str, int, int], seed: int = 7, status: str = "running") -> Progress:
    """Epochs of folds in progress: (trial, fold, epoch)."""
    progress = Progress(status)
    for key, fold, epoch in trainings:
        progress.epochs.setdefault((key, 1, fold, seed), []).append(epoch_result(key, fold, epoch))
    return progress


def finish_fold(folder: TrialFolder, fold: int) -> None:
    rng = np.random.default_rng((int(folder.key[-1]), fold))
    targets = (rng.random((40, 3)) < (0.5, 0.4, 1.1)).astype(np.float32)  # the last tag is always there and has no EER
    scores = rng.random(targets.shape, np.float32)
    rows = tuple(epoch_row(folder.key, fold, epoch) for epoch in range(EPOCHS[fold]))
    record = FoldRecord(fold, score(targets, scores, TAGS), 1, EPOCHS[fold], 3.5, rows, (), folder.trial)
    folder.write_fold(record, pack_fold({"held_out": scores, "evaluation": scores}, {}))


def finish(ledger: Ledger, *keys: str) -> None:
    for key in keys:
        for fold in FOLDS:
            for folder in ledger.trial(key).for_seeds(ledger.study.seeds):
                finish_fold(folder, fold)


def client_of(uri: str) -> Any:
    return load_mlflow().MlflowClient(uri)


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
    keys = {run.info.run_id: key_of(run) for run in runs}
    assert len(set(keys.values())) == len(runs), "a run is there twice"
    found = {}
    with closing(sqlite3.connect(database or uri.removeprefix("sqlite:///"))) as connection:
        rows = connection.execute("select run_uuid, key, step, value from metrics order by step, timestamp").fetchall()
    for run in runs:
        tags = dict(run.data.tags)
        if (parent := tags.pop("mlflow.parentRunId", None)) is not None:
            tags["parent"] = keys[parent]
        points: dict[str, list[tuple[int, float]]] = {}
        for _, name, step, value in (row for row in rows if row[0] == run.info.run_id):
            points.setdefault(name, []).append((step, value))
        found[key_of(run)] = {"status": run.info.status, "params": run.data.params, "tags": tags, "points": points}
        found[key_of(run)]["data"] = [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs]
    return found


def copy_to(uri: str, ledger: Ledger, progress: Progress = FINISHED) -> dict[tuple[str, ...], dict[str, Any]]:
    """What a store holds after a new process has copied a ledger into it."""
    MlflowCopy(ledger, uri).update(progress)
    return snapshot(uri, ledger.study.id)


def key_of(run: Any) -> tuple[str, ...]:
    """A run's key, without its empty parts."""
    return tuple(part for part in RunKey.from_tags(run.data.tags) if part)


def statuses(uri: str) -> dict[tuple[str, ...], str]:
    return {key_of(run): run.info.status for run in runs_of(uri)}


def without_none(values: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def registered(uri: str, name: str = "first") -> dict[str, Any]:
    """The versions of a registered model by alias; no version may lack one."""
    client = client_of(uri)
    versions = {version.version: version for version in client.search_model_versions(f"name = '{name}'")}
    aliases = client.get_registered_model(name).aliases
    assert len(versions) >= len(set(aliases.values()))
    return {alias: versions[int(number)] for alias, number in aliases.items()}


def cut_off(patch: pytest.MonkeyPatch, number: int, after: bool, names: Iterable[str] = WRITES) -> list[str]:
    """Make the n-th write to MLflow fail, before or after it arrives; return a list that grows with the writes."""
    writes: list[str] = []
    numbers = count(1)
    client = load_mlflow().MlflowClient

    def wrap(name: str) -> Callable[..., Any]:
        original = getattr(client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            writes.append(name)
            mine = next(numbers)  # several threads write
            result = original(*arguments, **named) if after or mine != number else None
            if mine == number:
                raise ConnectionError("cut off")
            return result

        return call

    for name in names:
        patch.setattr(client, name, wrap(name))
    return writes


def make_older(patch: pytest.MonkeyPatch, name: str) -> None:
    """Make a call one that the server does not know."""
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

    def refuse(*_: Any, **__: Any) -> None:
        raise load_mlflow().exceptions.MlflowException("404 Not Found", error_code=ENDPOINT_NOT_FOUND)

    patch.setattr(load_mlflow().MlflowClient, name, refuse)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
