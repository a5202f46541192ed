"""A study with several seeds in MLflow and its registry."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.made_up import with_results
from helpers.tracked import FOLDS, client_of, epoch_result, finish, finish_fold, make_ledger, runs_of, snapshot
from tracking.test_model_registry import _small_model, registered

from audiotag.features.log_mel import LogMel
from study.ledger.ledger import Ledger
from study.tracking import model_registry as registry
from study.tracking.mlflow_sync import Projection

SEEDS = (7, 8, 9)  # of tracked studies, whose own seed is 7


@pytest.fixture
def repeated(tmp_path: Path) -> Ledger:
    return make_ledger(tmp_path / "studies" / "first", "a" * 32, (1.5,), repeats=3)


def test_mlflow_has_a_run_for_each_fold_and_seed(repeated: Ledger, uri: str) -> None:
    finish(repeated, "key0")
    (trial,) = with_results(repeated).trials
    for _ in range(2):  # the second adds nothing
        Projection(repeated, uri).update({}, "finished")
    store = snapshot(uri)
    assert set(store) == {("study",), ("trial", "key0")} | {
        ("fold", "key0", str(fold), str(seed)) for fold in FOLDS for seed in SEEDS
    }
    assert {run["status"] for run in store.values()} == {"FINISHED"}
    assert store["study",]["params"]["repeats"] == "3"
    points = store["trial", "key0"]["points"]
    assert points["eer/mean"] == [(0, trial.figures["eer"].mean)]
    assert points["eer/sd_seeds"] == [(0, trial.figures["eer"].sd_seeds)]
    assert points["train/loss"][0] == (0, pytest.approx(0.05))
    fold = store["fold", "key0", "1", "8"]
    assert fold["params"] == {"alpha": "1.5", "fold": "1", "seed": "8"}
    assert fold["tags"]["mlflow.runName"] == "fold 1 with seed 8"
    assert fold["points"]["train/loss"] == [(0, 0.1), (1, pytest.approx(0.11))]
    own = trial.folds[1].repeats[1]
    assert fold["points"]["eer/mean"] == [(0, own.figures["eer"].mean)]


def test_live_epochs_reach_the_run_of_their_seed_once(repeated: Ledger, uri: str) -> None:
    first, second, third = repeated.trial("key0").for_seeds(list(SEEDS))
    live = [epoch_result("key0", 0, epoch) | {"seed": 7} for epoch in range(3)]
    projection = Projection(repeated, uri)
    projection.update({("key0", 0): live[:2]}, "running")
    finish_fold(first, 0)
    projection.update({("key0", 0): [live[2], epoch_result("key0", 0, 0) | {"seed": 8}]}, "running")
    store = snapshot(uri)
    statuses = {place[3]: run["status"] for place, run in store.items() if place[0] == "fold"}
    assert statuses == {"7": "FINISHED", "8": "RUNNING"}
    for part in (second, third):
        finish_fold(part, 0)
    for part in (first, second, third):
        finish_fold(part, 1)
    Projection(repeated, uri).update({}, "finished")
    for place, run in snapshot(uri).items():
        if place[0] == "fold":
            assert [step for step, _ in run["points"]["val/loss"]] == list(range(3 if place[2] == "0" else 2))


def test_the_best_trials_models_of_every_seed_are_registered(
    repeated: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "save_model", _small_model)
    corpus = replace(repeated.study.corpus, clip_seconds=4.0)
    repeated.update_study(features=(LogMel().to_dict(),), corpus=corpus)
    finish(repeated, "key0")
    for _ in range(2):
        Projection(repeated, uri).update({}, "finished")
    there = registered(uri)
    names = {f"fold_{fold}{tail}" for fold in FOLDS for tail in ("", "_seed_8", "_seed_9")}
    assert (set(there["aliases"]), there["versions"], there["logged"]) == (names, 6, 6)
    runs = {run.info.run_id: run.data.tags for run in runs_of(uri)}
    for alias, version in there["aliases"].items():
        tags = runs[version.run_id]
        assert alias == f"fold_{tags['audiotag.fold']}" + (
            f"_seed_{seed}" if (seed := tags["audiotag.seed"]) != "7" else ""
        )
    (model,) = client_of(uri).search_registered_models()
    assert "once with each of seeds 7 to 9" in model.description
