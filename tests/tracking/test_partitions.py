"""MLflow's copy of a study with several partitions, and of one that gets more of them."""

from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import ALPHAS, SMALL, divide_anew, finish_fold, make_corpus, make_study
from helpers.tracked import copy_to, registered, statuses

from study.ledger.ledger import Ledger
from study.ledger.partitions import record_partitions
from study.ledger.results import study_results
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.tracker import Progress

CORPUS = make_corpus(**SMALL)
FOLDS = range(3)


def make(root: Path, partitions: int = 2, **changes: Any) -> Ledger:
    return make_study(root, ALPHAS[:2], corpus=CORPUS, epochs=2, partitions=partitions, id="a" * 32, **changes)


def grow(ledger: Ledger, partitions: int) -> None:
    drawn = [divide_anew(CORPUS, number) for number in range(2, partitions + 1)]
    ledger.update_study(drawn=record_partitions(drawn, ledger.study.seed))


def train(ledger: Ledger, number: int, partition: int, *folds: int) -> None:
    for fold in folds:
        finish_fold(ledger, f"key{number:04}", number, fold, CORPUS, ledger.study.tags, 2, 0.1, 0, None, partition)


def test_each_fold_of_each_partition_has_a_run(tmp_path: Path, uri: str) -> None:
    ledger = make(tmp_path / "s")
    store, results = copy_to(uri, ledger), study_results(ledger, "finished")
    assert len(store) == 1 + 2 + 2 * 2 * 3
    assert {run["status"] for run in store.values()} == {"FINISHED"}
    assert store["study",]["tags"]["audiotag.partitions"] == "2"
    for trial in results.trials:
        points = store["trial", trial.key]["points"]
        assert trial.over_partitions is not None
        assert points["eer/mean"] == [(0, trial.figures["eer"].mean)]
        assert points["partitions/eer_mean"] == [(0, trial.over_partitions.figures["eer"].mean)]
        assert points["partitions/ap_mean"] == [(0, trial.over_partitions.figures["ap"].mean)]
        name = f"alpha {trial.params['alpha']:g}"
        for fold in trial.partitions[0].folds:
            run = store["fold", trial.key, str(fold.fold), "2"]
            assert run["points"]["eer/mean"] == [(0, fold.figures["eer"].mean)]
            assert run["tags"]["mlflow.runName"] == f"{name}, fold {fold.fold} of partition 2"
            assert (run["tags"]["audiotag.partition"], run["params"]["partition"]) == ("2", "2")
            assert run["tags"]["parent"] == ("trial", trial.key)
    assert copy_to(uri, Ledger.open(ledger.root)) == store


def test_seeds_of_partitions_have_runs_of_their_own(tmp_path: Path, uri: str) -> None:
    store = copy_to(uri, make(tmp_path / "s", repeats=2))
    assert len([key for key in store if key[0] == "fold"]) == 2 * 2 * 3 * 2
    assert store["fold", "key0001", "0", "1", "2"]["tags"]["mlflow.runName"].endswith(
        ", fold 0 of partition 2 with seed 1"
    )


@pytest.mark.parametrize("same_process", [True, False])
def test_a_finished_study_that_gets_partitions_goes_on_and_ends_as_one_that_had_them(
    tmp_path: Path, uri: str, empty_store: Path, same_process: bool
) -> None:
    ledger = make(tmp_path / "s", partitions=1)
    before = copy_to(uri, ledger)
    for partition in (2, 3):
        grow(ledger, partition)
        copy = MlflowCopy(ledger, uri)
        train(ledger, 0, partition, 0, 1)
        copy.update(Progress())
        assert statuses(uri)["trial", "key0000"] == statuses(uri)["trial", "key0001"] == "RUNNING"
        copy.update(Progress("interrupted"))
        assert statuses(uri)["trial", "key0000"] == "KILLED"
        copy = copy if same_process else MlflowCopy(ledger, uri)
        train(ledger, 0, partition, 2)
        copy.update(Progress())
        assert (statuses(uri)["trial", "key0000"], statuses(uri)["trial", "key0001"]) == ("FINISHED", "RUNNING")
        train(ledger, 1, partition, *FOLDS)
        copy.update(Progress("finished"))
        assert set(statuses(uri).values()) == {"FINISHED"}
    after = copy_to(uri, ledger)
    assert after["study",]["tags"]["audiotag.partitions"] == "3"
    for key, run in before.items():
        assert {name: after[key]["points"][name] for name in run["points"]} == run["points"]
        assert after[key]["params"] == run["params"]
    for trial in study_results(ledger, "finished").trials:  # the newest value is what the table shows
        values = [value for _, value in after["trial", trial.key]["points"]["partitions/eer_mean"]]
        assert trial.over_partitions is not None
        assert (len(values), values[-1]) == (2, trial.over_partitions.figures["eer"].mean)


def test_a_trial_that_failed_in_a_later_partition_is_finished_and_says_why(tmp_path: Path, uri: str) -> None:
    ledger = make(tmp_path / "s")
    ledger.trial("key0001").for_partition(2).write_failure("the loss is not finite")
    (ledger.trial("key0001").path / "fold_2_partition_2.json").unlink()
    run = copy_to(uri, Ledger.open(ledger.root))["trial", "key0001"]
    assert (run["status"], "eer/mean" in run["points"]) == ("FINISHED", True)
    assert run["tags"]["audiotag.failure"] == "in partition 2: the loss is not finite"
    assert "partitions/eer_mean" not in run["points"]


def test_the_registered_models_are_those_of_the_corpus_own_folds(tmp_path: Path, uri: str) -> None:
    ledger = make(tmp_path / "s", kind="folder")
    copy_to(uri, ledger)
    assert set(registered(uri, "s")) == {"fold_0", "fold_1", "fold_2"}
