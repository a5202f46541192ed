"""The figures of a study with several partitions, and what is left of them to be trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.small_study import fold_record, study_with

from audiotag.corpus.partitions import partition_seed
from audiotag.metrics import equal_error_rate
from study.ledger.ledger import Ledger
from study.ledger.partitions import record_partitions
from study.ledger.results import count_ended, in_progress, is_complete, study_results, trial_result
from study.ledger.saved_state import pack_fold
from study.ledger.schema import DrawnPartition, StudyRecord, read_record, write_record

EERS = {(1, 1): (0.1, 0.2), (1, 2): (0.3, 0.4), (2, 1): (0.2, 0.2), (2, 2): (0.3, 0.8)}  # (partition, fold): of a and b
SCORES = {unit: np.random.default_rng(unit).random((4, 2)).astype(np.float32) for unit in EERS}
TARGETS = {"w": [1, 0], "x": [0, 1], "y": [1, 1], "z": [0, 0]}
DRAWN = (DrawnPartition(99, "1 2 1 2"), DrawnPartition(98, "2 2 1 1"))
SEEDS = [3, 4]


def with_partitions(partitions: int, **changes: Any) -> StudyRecord:
    return replace(study_with(evaluation_targets=TARGETS), trials=1, drawn=DRAWN[: partitions - 1], **changes)


def write(ledger: Ledger, *units: tuple[int, int]) -> None:
    for partition, fold in units:
        for part in ledger.trial("k").for_partition(partition).for_seeds(ledger.study.seeds):
            record = fold_record(part, fold, *EERS[partition, fold])
            part.write_fold(record, pack_fold({"evaluation": SCORES[partition, fold]}, {"w": torch.zeros(1)}))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.create(tmp_path / "s", with_partitions(2))
    made.trial("k").write_trial(0, {"alpha": 0.0})
    return made


# reference


def test_figures_worked_by_hand(ledger: Ledger) -> None:
    write(ledger, *EERS)
    results = study_results(ledger, "finished").to_json()
    (trial,) = results["trials"]
    assert results["partitions"] == 2
    assert trial["eer"] == pytest.approx({"a": 0.2, "b": 0.3})  # of the corpus's own folds
    assert [fold["fold"] for fold in trial["folds"]] == [1, 2]
    (second,) = trial["partitions"]
    assert (second["partition"], second["seconds"], trial["seconds"]) == (2, 38.0, 38.0)
    assert second["eer"] == pytest.approx({"a": 0.25, "b": 0.5})
    assert second["eer_mean"] == pytest.approx(0.375)
    assert second["eer_var_classes"] == pytest.approx(np.var([0.25, 0.5], ddof=1))
    assert second["eer_var_folds"] == pytest.approx(np.var([0.2, 0.55], ddof=1))
    assert [(fold["fold"], fold["eer_mean"]) for fold in second["folds"]] == [(1, 0.2), (2, 0.55)]
    over = trial["over_partitions"]
    assert over["partitions"] == 2
    assert over["eer"] == pytest.approx({"a": 0.225, "b": 0.4})
    assert over["eer_mean"] == pytest.approx(0.3125)
    assert over["eer_var_folds"] == pytest.approx(np.var([0.15, 0.35, 0.2, 0.55], ddof=1))
    (record,) = study_results(ledger, "finished").trials
    assert (record.total_seconds, len(record.trainings), record.goes_on) == (76.0, 4, False)


def test_the_evaluation_split_is_scored_by_the_models_of_one_partition(ledger: Ledger) -> None:
    write(ledger, *EERS)
    (trial,) = study_results(ledger, "finished").to_json()["trials"]
    truth = np.array(list(TARGETS.values()))
    for held, partition in ((trial, 1), (trial["partitions"][0], 2)):
        mean = np.mean([SCORES[partition, fold] for fold in (1, 2)], axis=0)
        expected = {tag: equal_error_rate(truth[:, k], mean[:, k]) for k, tag in enumerate("ab")}
        assert held["eval_eer"] == pytest.approx(expected)


# property


def test_what_was_there_before_stays_as_it_is(ledger: Ledger) -> None:
    """A script that knows nothing of partitions reads the figures of the corpus's own folds."""
    write(ledger, (1, 1), (1, 2))
    ledger.update_study(drawn=())
    before = study_results(ledger, "finished").to_json()
    assert "partitions" not in before
    ledger.update_study(drawn=DRAWN[:1])
    write(ledger, (2, 1), (2, 2))
    after = study_results(ledger, "finished").to_json()
    (old,), (new,) = before.pop("trials"), after.pop("trials")
    assert {name: new[name] for name in old} == old
    assert new.keys() - old.keys() == {"partitions", "over_partitions"}
    assert {name: after[name] for name in before} == before


def test_a_trial_keeps_its_result_while_partitions_of_it_are_left(ledger: Ledger) -> None:
    write(ledger, (1, 1))
    assert trial_result(ledger, ledger.trial("k")) is None
    write(ledger, (1, 2), (2, 1))
    (trial,) = study_results(ledger, "interrupted").trials
    assert (trial.status, trial.goes_on, trial.partitions, trial.over_partitions) == ("finished", True, (), None)
    assert (count_ended(ledger), is_complete(ledger)) == (0, False)
    assert in_progress(ledger.trial("k"), ledger.study).partition == 2
    write(ledger, (2, 2))
    assert is_complete(ledger)
    ledger.update_study(drawn=DRAWN)
    assert (is_complete(ledger), in_progress(ledger.trial("k"), ledger.study).partition) == (False, 3)
    (trial,) = study_results(ledger, "interrupted").trials
    assert (trial.goes_on, [own.partition for own in trial.partitions]) == (True, [2])


def test_a_trial_that_failed_in_a_later_partition_keeps_those_before(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", with_partitions(3))
    ledger.trial("k").write_trial(0, {"alpha": 0.0})
    write(ledger, (1, 1), (1, 2), (2, 1))
    ledger.trial("k").for_partition(2).write_failure("the loss is not finite")
    assert ledger.trial("k").read_failure() is None
    results = study_results(ledger, "finished")
    (trial,) = results.trials
    assert (trial.status, trial.goes_on, trial.partitions) == ("finished", False, ())
    assert results.to_json()["trials"][0]["failed_partition"] == {"partition": 2, "reason": "the loss is not finite"}
    assert is_complete(ledger)


@pytest.mark.parametrize("ending", ["failed", "pruned"])
def test_a_trial_that_failed_or_was_pruned_has_no_partitions(ledger: Ledger, ending: str) -> None:
    write(ledger, *EERS)
    (ledger.trial("k").path / f"{ending}.json").write_text(
        '{"reason": "made up", "folds": 1, "rung": 1, "mean": 0.1, "bound": 0.05}'
    )
    (trial,) = study_results(ledger, "finished").trials
    assert (trial.status, trial.partitions, trial.over_partitions, trial.goes_on) == (ending, (), None, False)


def test_seeds_and_partitions_go_together(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", with_partitions(2, repeats=2))
    ledger.trial("k").write_trial(0, {"alpha": 0.0})
    write(ledger, *EERS)
    assert sorted(path.name for path in ledger.trial("k").path.glob("fold_1*.json")) == [
        *("fold_1.json", "fold_1_partition_2.json", "fold_1_partition_2_seed_4.json", "fold_1_seed_4.json")
    ]
    (trial,) = study_results(ledger, "finished").trials
    assert [[own.seed for own in fold.repeats] for fold in trial.partitions[0].folds] == [SEEDS, SEEDS]
    assert len(trial.trainings) == 8


def test_folds_of_an_earlier_version_get_newer_metrics_in_each_partition(tmp_path: Path) -> None:
    options: dict[str, Any] = {"corpus": make_corpus(**SMALL), "epochs": 1, "partitions": 2}
    old = make_study(tmp_path / "old", ALPHAS[:1], written=("eer",), **options)
    new = make_study(tmp_path / "new", ALPHAS[:1], **options)
    found, wanted = (study_results(each, "finished").to_json()["trials"] for each in (old, new))
    assert found == wanted
    assert found[0]["partitions"][0]["ap_mean"] is not None


def test_the_record_of_partitions(tmp_path: Path) -> None:
    folds = np.array([0, 1, -1, 1])
    drawn = record_partitions([folds, folds[::-1]], seed=3)
    assert [each.seed for each in drawn] == [partition_seed(3, 2), partition_seed(3, 3)]
    study = with_partitions(1, format=5)
    assert "drawn" not in write_record(study)
    again = read_record(StudyRecord, write_record(replace(study, drawn=drawn)))
    assert (again.drawn, list(again.partitions)) == (drawn, [1, 2, 3])
    assert again.clip_folds(3).tolist() == [1, -1, 1, 0]
