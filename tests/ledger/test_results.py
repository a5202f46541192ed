"""results.json: the contract, and the arithmetic of means and variances."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_study import STUDY, TAGS

from audiotag.config import TrialConfig
from audiotag.metrics import equal_error_rate
from study.ledger.ledger import Ledger
from study.ledger.results import fold_eers, is_complete, study_results, summarise


def record(fold: int, a: float | None, b: float | None) -> dict[str, Any]:
    there = [value for value in (a, b) if value is not None]
    return {
        "fold": fold,
        "eer": {"a": a, "b": b},
        "eer_mean": sum(there) / len(there) if there else None,
        "best_epoch": 4,
        "epochs": 9,
        "seconds": 1.5,
        "history": [],
    }


def write(ledger: Ledger, key: str, number: int, records: list[dict[str, Any]], evaluation: Any = None) -> None:
    folder = ledger.trial(key)
    folder.write_trial(number, {"alpha": float(number)})
    for entry in records:
        scores = {"held_out": np.zeros((1, 2), np.float32)}
        if evaluation is not None:
            scores["evaluation"] = evaluation[entry["fold"]]
        folder.write_fold(entry["fold"], entry, scores, {"w": torch.zeros(1)})


# reference


def test_contract(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", STUDY)
    write(ledger, "first", 0, [record(1, 0.1, 0.2), record(2, 0.3, 0.6)])
    results = study_results(ledger, "finished")
    assert {name: value for name, value in results.items() if name != "trials"} == {
        "study": "s",
        "space": "mixup_alpha",
        "corpus": "own",
        "protocol": "paper",
        "seed": 3,
        "status": "finished",
        "tags": TAGS,
    }
    (trial,) = results["trials"]
    assert trial["key"] == "first"
    assert trial["params"] == {"alpha": 0.0}
    assert trial["status"] == "finished"
    assert trial["seconds"] == 3.0
    assert trial["eer"] == pytest.approx({"a": 0.2, "b": 0.4})
    assert trial["eer_mean"] == pytest.approx(0.3)
    assert trial["eer_var_classes"] == pytest.approx(0.02)  # of .2 and .4
    assert trial["eer_var_folds"] == pytest.approx(0.045)  # of .15 and .45
    assert set(trial["folds"][0]) == {"fold", "eer", "eer_mean", "best_epoch", "epochs", "seconds"}
    assert [fold["fold"] for fold in trial["folds"]] == [1, 2]


def test_evaluation_is_scored_by_the_mean_of_the_fold_models(tmp_path: Path) -> None:
    targets = {"w": [1, 0], "x": [0, 1], "y": [1, 1], "z": [0, 0]}
    study = {**STUDY, "corpus": {**STUDY["corpus"], "evaluation_targets": targets}}
    ledger = Ledger.create(tmp_path / "s", study)
    scores = {fold: np.random.default_rng(fold).random((4, 2)).astype(np.float32) for fold in (1, 2)}
    write(ledger, "k", 0, [record(1, 0.1, 0.2), record(2, 0.3, 0.6)], scores)
    (trial,) = study_results(ledger, "finished")["trials"]
    truth, mean = np.array(list(targets.values())), (scores[1] + scores[2]) / 2
    expected = {tag: equal_error_rate(truth[:, k], mean[:, k]) for k, tag in enumerate(TAGS)}
    assert trial["eval_eer"] == pytest.approx(expected)
    assert trial["eval_eer_mean"] == pytest.approx(np.mean(list(expected.values())))
    assert trial["eval_eer_var_classes"] == pytest.approx(np.var(list(expected.values()), ddof=1))


@pytest.mark.parametrize(("kind", "there"), [("chime_home", True), ("synthetic", False), ("folder", False)])
def test_the_papers_own_figures_stand_beside_measured_ones_on_its_corpus(
    tmp_path: Path, kind: str, there: bool
) -> None:
    ledger = Ledger.create(tmp_path / "s", {**STUDY, "corpus": {**STUDY["corpus"], "kind": kind}})
    for number, config in enumerate((TrialConfig(model="cgrnn", imd=True), TrialConfig(model="cgrnn"))):
        write(ledger, f"k{number}", number, [record(1, 0.1, 0.2), record(2, 0.3, 0.6)])
        ledger.trial(f"k{number}").write_trial(number, config.to_dict())
    quoted, own = study_results(ledger, "finished")["trials"]
    assert ("published" in quoted) == there
    assert "published" not in own
    if there:
        assert (quoted["published"]["eer"]["o"], quoted["published"]["eer_mean"]) == (0.24, 0.13)


# degenerate


def test_a_fold_without_a_class_is_left_out_of_the_mean() -> None:
    summary = summarise([record(1, 0.1, None), record(2, 0.3, 0.6)], TAGS)
    assert summary["eer"] == pytest.approx({"a": 0.2, "b": 0.6})
    assert summary["eer_mean"] == pytest.approx(0.4)
    assert summary["eer_var_folds"] == pytest.approx(np.var([0.1, 0.45], ddof=1))


def test_a_tag_with_one_class_is_null_in_a_fold() -> None:
    targets = np.array([[1, 1], [0, 1]], np.float32)
    eers = fold_eers(targets, np.array([[0.9, 0.5], [0.1, 0.5]], np.float32), ("a", "b"))
    assert eers == {"eer": {"a": 0.0, "b": None}, "eer_mean": 0.0}


def test_one_fold_has_no_variance_over_folds() -> None:
    assert summarise([record(1, 0.1, 0.2)], TAGS)["eer_var_folds"] is None


def test_unfinished_trials_are_left_out_and_failed_ones_told(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", STUDY)
    write(ledger, "partial", 0, [record(1, 0.1, 0.2)])
    write(ledger, "broken", 1, [record(1, 0.1, 0.2)])
    ledger.trial("broken").write_failure("the loss is not finite")
    (trial,) = study_results(ledger, "interrupted")["trials"]
    assert (trial["key"], trial["status"], trial["reason"]) == ("broken", "failed", "the loss is not finite")
    assert trial["eer"] == {"a": None, "b": None}
    assert trial["eer_mean"] is None
    assert len(trial["folds"]) == 1
    assert not is_complete(ledger)
    write(ledger, "partial", 0, [record(2, 0.1, 0.2)])
    assert is_complete(ledger)
