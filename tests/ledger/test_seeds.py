"""The figures of a study with several seeds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_study import fold_record, study_with

from audiotag.metrics import equal_error_rate
from study.format import seeds_in_words
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete, study_results
from study.ledger.saved_state import pack_fold
from study.ledger.trial_folder import trial_key

EERS = {(1, 3): (0.1, 0.2), (2, 3): (0.3, 0.4), (1, 4): (0.2, 0.2), (2, 4): (0.3, 0.8)}  # (fold, seed): of a and b
SCORES = {unit: np.random.default_rng(unit).random((4, 2)).astype(np.float32) for unit in EERS}
TARGETS = {"w": [1, 0], "x": [0, 1], "y": [1, 1], "z": [0, 0]}


def write(ledger: Ledger, fold: int, seed: int, scale: float = 1.0) -> None:
    a, b = (eer * scale for eer in EERS[fold, seed])
    part = ledger.trial("k").for_seeds([3, 4])[seed - 3]
    part.write_fold(
        fold_record(part, fold, a, b, seed), pack_fold({"evaluation": SCORES[fold, seed]}, {"w": torch.zeros(1)})
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.create(tmp_path / "s", replace(study_with(evaluation_targets=TARGETS), repeats=2, trials=1))
    made.trial("k").write_trial(0, {"alpha": 0.0})
    return made


def test_figures_worked_by_hand(ledger: Ledger) -> None:
    for fold, seed in EERS:
        write(ledger, fold, seed)
    results = study_results(ledger, "finished").to_json()
    (trial,) = results["trials"]
    assert results["repeats"] == 2
    first, second = trial["folds"]
    assert first["eer"] == pytest.approx({"a": 0.15, "b": 0.2})
    assert second["eer"] == pytest.approx({"a": 0.3, "b": 0.6})
    assert [fold["eer_mean"] for fold in trial["folds"]] == pytest.approx([0.175, 0.45])
    assert [(fold["best_epoch"], fold["epochs"], fold["seconds"]) for fold in trial["folds"]] == [
        *((3.5, 7.0, 27.0), (3.5, 7.0, 47.0))
    ]
    assert [(own["seed"], own["epochs"], own["seconds"]) for own in second["repeats"]] == [(3, 6, 23.0), (4, 8, 24.0)]
    assert second["repeats"][1]["eer"] == {"a": 0.3, "b": 0.8}
    assert trial["eer"] == pytest.approx({"a": 0.225, "b": 0.4})
    assert trial["eer_mean"] == pytest.approx(0.3125)
    assert trial["eer_var_classes"] == pytest.approx(np.var([0.225, 0.4], ddof=1))
    assert trial["eer_var_folds"] == pytest.approx(np.var([0.175, 0.45], ddof=1))
    assert trial["seconds"] == 74.0
    assert [own["seed"] for own in trial["repeats"]] == [3, 4]
    assert trial["repeats"][0]["eer"] == pytest.approx({"a": 0.2, "b": 0.3})
    assert [own["eer_mean"] for own in trial["repeats"]] == pytest.approx([0.25, 0.375])
    assert trial["eer_sd_seeds"] == pytest.approx(0.125 / np.sqrt(2))


def test_evaluation_is_scored_by_the_mean_of_all_models(ledger: Ledger) -> None:
    for fold, seed in EERS:
        write(ledger, fold, seed)
    (trial,) = study_results(ledger, "finished").to_json()["trials"]
    truth, mean = np.array(list(TARGETS.values())), np.mean(list(SCORES.values()), axis=0)
    assert trial["eval_eer"] == pytest.approx(
        {tag: equal_error_rate(truth[:, k], mean[:, k]) for k, tag in enumerate("ab")}
    )


def test_equal_seeds_have_no_spread(ledger: Ledger) -> None:
    for fold, seed in EERS:
        write(ledger, fold, seed, scale=0.0)
    (trial,) = study_results(ledger, "finished").to_json()["trials"]
    assert trial["eer_sd_seeds"] == 0


def test_a_trial_is_finished_when_all_seeds_are(ledger: Ledger) -> None:
    for fold, seed in list(EERS)[:3]:
        write(ledger, fold, seed)
    assert not is_complete(ledger)
    assert study_results(ledger, "interrupted").to_json()["trials"] == []
    ledger.trial("k").write_failure("the loss is not finite")
    (trial,) = study_results(ledger, "interrupted").to_json()["trials"]
    assert [fold["fold"] for fold in trial["folds"]] == [1]  # the other one lacks a seed
    assert trial["eer_sd_seeds"] is None
    assert [(own["seed"], own["eer_mean"]) for own in trial["repeats"]] == [(3, None), (4, None)]


def test_without_repeats_nothing_is_added(ledger: Ledger) -> None:
    ledger.update_study(repeats=1)
    for fold in (1, 2):
        write(ledger, fold, 3)
    results = study_results(ledger, "finished").to_json()
    (trial,) = results["trials"]
    assert "repeats" not in results
    assert not {"repeats", "eer_sd_seeds"} & trial.keys()
    assert set(trial["folds"][0]) == {"fold", "eer", "eer_mean", "best_epoch", "epochs", "seconds"}


def test_the_key_tells_repeats_apart_and_stays_without_them() -> None:
    parts = ({"alpha": 1.5}, "f00d", {"n_mels": 128}, 3, "paper")
    assert trial_key(*parts) == trial_key(*parts, repeats=1) == "903833e5b01f"
    assert len({trial_key(*parts, repeats=repeats) for repeats in (1, 2, 3)}) == 3


@pytest.mark.parametrize(("seeds", "words"), [([3], "seed 3"), ([3, 4], "seeds 3 and 4"), ([3, 4, 5], "seeds 3 to 5")])
def test_seeds_in_words(seeds: list[int], words: str) -> None:
    assert seeds_in_words(seeds) == words
