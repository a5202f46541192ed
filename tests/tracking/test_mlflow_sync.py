"""study.tracking.mlflow_sync against real stores: what they hold of a finished study and of one in progress, once."""

import shutil
from pathlib import Path

import pytest
from helpers.tracked import (
    EPOCHS,
    NAMES,
    client_of,
    epoch_result,
    finish,
    finish_fold,
    make_ledger,
    runs_of,
    snapshot,
    statuses,
    without_none,
)

from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.tracking import mlflow_store as tracking
from study.tracking.mlflow_store import TrackingError
from study.tracking.mlflow_sync import Projection

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
    assert store["fold", "key1", "1"]["params"] == {"alpha": "1.5", "fold": "1"}  # what the space varies
    experiment = client_of(uri).get_experiment_by_name("mixup_alpha")
    assert experiment.tags["mlflow.note.content"].startswith("How strong?\n\n")
    assert "columns `alpha` and" in experiment.tags["mlflow.note.content"]


def test_runs_name_their_corpus_once(ledger: Ledger, uri: str) -> None:
    finish(ledger, "key0", "key1")
    for _ in range(2):
        Projection(ledger, uri).update({}, "finished")
    for run in runs_of(uri):
        there = [entry.dataset for entry in run.inputs.dataset_inputs]
        level = run.data.tags["audiotag.level"]
        assert [(dataset.name, dataset.digest) for dataset in there] == [("tiny", "f00d")] * (level != "fold")


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
    (ledger.root / "figures").mkdir()
    (ledger.root / "figures" / "importance.svg").write_text("<svg/>")
    Projection(ledger, uri).update({}, "interrupted")
    run = next(run for run in runs_of(uri) if run.data.tags["audiotag.level"] == "study")
    assert [file.path for file in client_of(uri).list_artifacts(run.info.run_id)] == ["figures", "table.md"]
    inside = client_of(uri).list_artifacts(run.info.run_id, "figures")
    assert [file.path for file in inside] == ["figures/importance.svg"]
    assert run.info.artifact_uri.startswith((tmp_path / "mlartifacts" / "mixup_alpha").as_uri())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlartifacts", "mlflow.db", "studies"]


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


def test_of_equal_trials_the_first_is_the_best_as_in_the_tables(tmp_path: Path, uri: str) -> None:
    ledger = make_ledger(tmp_path / "equal", "a" * 32, alphas=(1.5, 0.0))  # by name the second would come first
    finish(ledger, "key0")
    for path in ledger.trial("key0").path.glob("fold_*"):
        shutil.copy(path, ledger.trial("key1").path)
    Projection(ledger, uri).update({}, "finished")
    assert "The best is alpha 1.5:" in snapshot(uri)["study",]["tags"]["mlflow.note.content"]


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
