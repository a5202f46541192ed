"""results.json: the contract, and the arithmetic of means and variances."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study
from helpers.small_study import STUDY, TAGS, finish_trial, fold_record, study_with

from audiotag.config import TrialConfig
from audiotag.metrics import METRICS, Metric, equal_error_rate
from study.ledger.clips import CLIPS_FILE
from study.ledger.files import LedgerError
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete, running_means, score, study_results, summarise
from study.ledger.saved_state import pack_fold
from study.ledger.schema import Figures, FoldRecord, SeedFold
from study.ledger.trial_folder import TrialFolder

BOTH = {1: (0.1, 0.2), 2: (0.3, 0.6)}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "s", STUDY)


@pytest.fixture
def folder(ledger: Ledger) -> TrialFolder:
    finish_trial(ledger, "k", 0, {})
    return ledger.trial("k")


# reference


def test_contract(ledger: Ledger) -> None:
    finish_trial(ledger, "first", 0, BOTH)
    results = study_results(ledger, "finished").to_json()
    assert {name: value for name, value in results.items() if name != "trials"} == {
        "study": "s",
        "space": "mixup_alpha",
        "corpus": "own",
        "protocol": "paper",
        "seed": 3,
        "status": "finished",
        "tags": ["a", "b"],
    }
    (trial,) = results["trials"]
    folds = trial.pop("folds")
    assert trial == {
        "key": "first",
        "params": {"alpha": 0.0},
        "status": "finished",
        "seconds": 38.0,
        "eer": pytest.approx({"a": 0.2, "b": 0.4}),
        "eer_mean": pytest.approx(0.3),
        "eer_var_classes": pytest.approx(0.02),  # of .2 and .4
        "eer_var_folds": pytest.approx(0.045),  # of .15 and .45
    }
    assert set(folds[0]) == {"fold", "eer", "eer_mean", "best_epoch", "epochs", "seconds"}
    assert [fold["fold"] for fold in folds] == [1, 2]


def test_evaluation_is_scored_by_the_mean_of_the_fold_models(tmp_path: Path) -> None:
    targets = {"w": [1, 0], "x": [0, 1], "y": [1, 1], "z": [0, 0]}
    ledger = Ledger.create(tmp_path / "s", study_with(evaluation_targets=targets))
    scores = {fold: np.random.default_rng(fold).random((4, 2)).astype(np.float32) for fold in (1, 2)}
    finish_trial(ledger, "k", 0, BOTH, scores)
    (trial,) = study_results(ledger, "finished").to_json()["trials"]
    truth, mean = np.array(list(targets.values())), (scores[1] + scores[2]) / 2
    expected = {tag: equal_error_rate(truth[:, k], mean[:, k]) for k, tag in enumerate(TAGS)}
    assert trial["eval_eer"] == pytest.approx(expected)
    assert trial["eval_eer_mean"] == pytest.approx(np.mean(list(expected.values())))
    assert trial["eval_eer_var_classes"] == pytest.approx(np.var(list(expected.values()), ddof=1))


@pytest.mark.parametrize(("kind", "published"), [("chime_home", True), ("synthetic", False), ("folder", False)])
def test_the_papers_figures_stand_beside_measured_ones_on_its_corpus(
    tmp_path: Path, kind: str, published: bool
) -> None:
    ledger = Ledger.create(tmp_path / "s", study_with(kind=kind))
    for number, values in enumerate(({"model": "cgrnn", "imd": True}, {"model": "cgrnn"})):
        finish_trial(ledger, f"k{number}", number, BOTH)
        ledger.trial(f"k{number}").write_trial(number, TrialConfig.from_dict(values).to_dict())
    quoted, own = study_results(ledger, "finished").trials
    assert own.published is None
    assert (quoted.published is not None) == published
    if quoted.published is not None:
        assert (quoted.published.eer["o"], quoted.published.eer_mean) == (0.24, 0.13)


def test_another_metric_is_in_the_results_without_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    def share_of_positives(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return targets.mean(axis=0)

    monkeypatch.setitem(METRICS, "share", Metric("share", "Share", share_of_positives, lower_is_better=False))
    finish_trial(ledger, "old", 0, BOTH)  # its folds were written without the metric
    figures = score(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.1], [0.8, 0.7]]), TAGS)
    assert figures["share"].by_tag == {"a": 1.0, "b": 0.5}
    folder = ledger.trial("new")
    folder.write_trial(1, {})
    for fold in (1, 2):
        record = replace(fold_record(folder, fold, 0.1, 0.2), figures=figures)
        folder.write_fold(record, pack_fold({}, {}))
    old, new = study_results(ledger, "finished").to_json()["trials"]
    assert (new["share"], new["share_mean"]) == ({"a": 1.0, "b": 0.5}, 0.75)
    assert "share" in new["folds"][0]
    assert "share" not in old


@pytest.mark.parametrize("repeats", [1, 2])
def test_folds_of_an_earlier_version_get_the_metrics_that_are_newer_from_their_scores(
    tmp_path: Path, repeats: int
) -> None:
    options: dict[str, Any] = {"corpus": make_corpus(**SMALL, evaluation=2), "epochs": 1, "repeats": repeats}
    old = make_study(tmp_path / "old", ALPHAS[:2], written=("eer",), **options)
    new = make_study(tmp_path / "new", ALPHAS[:2], **options)
    files = {path: path.read_bytes() for path in old.root.rglob("fold_*")}
    found, wanted = (study_results(each, "finished").to_json()["trials"] for each in (old, new))
    assert found == wanted
    for name in ("ap", "auroc", "dprime", "lwlrap"):
        assert found[0][f"{name}_mean"] is not None
        assert found[0]["folds"][0][f"{name}_mean"] is not None
        assert found[0][f"eval_{name}_mean"] is not None
    assert {path: path.read_bytes() for path in files} == files


@pytest.mark.parametrize("damage", ["no clips", "foreign clips", "other tags"])
def test_without_clips_that_fit_an_earlier_study_keeps_what_it_has(tmp_path: Path, damage: str) -> None:
    corpus = make_corpus(**SMALL)
    ledger = make_study(tmp_path / "s", ALPHAS[:1], corpus=corpus, epochs=1, written=("eer",))
    changed = {"names": np.char.add("x", corpus["names"])} if damage == "foreign clips" else {}
    changed |= {"targets": corpus["targets"][:, :1]} if damage == "other tags" else {}
    np.savez(ledger.root / CLIPS_FILE, **corpus | changed)
    if damage == "no clips":
        (ledger.root / CLIPS_FILE).unlink()
    (trial,) = study_results(ledger, "finished").trials
    assert set(trial.figures) == {"eer"}
    assert trial.mean is not None


def test_a_recorded_figure_is_not_computed_again(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:1], corpus=make_corpus(**SMALL), epochs=1, written=("eer",))
    (folder,) = ledger.trials()
    path = folder.path / "fold_0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eer": {"c": 0.125, "m": 0.25}, "eer_mean": 0.1875}))
    first = study_results(ledger, "finished").trials[0].folds[0].figures
    assert (first["eer"].by_tag, "ap" in first) == ({"c": 0.125, "m": 0.25}, True)


def test_the_mean_of_a_metric_of_labels_is_that_of_the_folds() -> None:
    """Of one tag there are nine clips in the first fold, of the other one: .9 right there, all wrong in the second."""
    parts = []
    for wrong in (1, 10):
        targets = np.eye(2)[[0] * 9 + [1]]
        scores = targets.copy()
        scores[10 - wrong :] = 1 - scores[10 - wrong :]
        parts.append(SeedFold(0, score(targets, scores, TAGS), 0, 1, 1.0))
    assert [part.figures["accuracy"].mean for part in parts] == pytest.approx([0.9, 0.0])
    figures = summarise(parts, TAGS)["accuracy"]
    assert figures.by_tag == {"a": 0.5, "b": 0.0}
    assert (figures.mean, figures.var_folds) == (pytest.approx(0.45), pytest.approx(np.var([0.9, 0.0], ddof=1)))


def test_the_objective_decides_which_trial_is_the_best(tmp_path: Path) -> None:
    """By the scores of one tag the second trial has the better EER, by all of them the first the better mAP."""
    means = {"eer": (0.3, 0.2), "ap": (0.8, 0.7)}
    for metric, best in (("eer", "key0001"), ("ap", "key0000")):
        ledger = make_study(tmp_path / metric, ALPHAS[:2], corpus=make_corpus(**SMALL), finished=0, metric=metric)
        for number, folder in enumerate(ledger.trials()):
            figures = {name: Figures({"c": own[number], "m": own[number]}, own[number]) for name, own in means.items()}
            for fold in ledger.study.folds:
                folder.write_fold(FoldRecord(fold, figures, 0, 1, 1.0, (), (), folder.trial), pack_fold({}, {}))
        found = study_results(Ledger.open(ledger.root), "finished")
        assert found.best is not None
        assert (found.best.key, found.best.mean) == (best, pytest.approx(means[metric][int(best[-1])]))
        assert found.to_json().get("metric", "eer") == metric
        assert found.to_json()["trials"][0]["eer_mean"] == pytest.approx(0.3)


def test_a_study_with_a_metric_of_another_version_is_refused_in_a_line(tmp_path: Path) -> None:
    make_study(tmp_path / "s", [], corpus=make_corpus(**SMALL), metric="swdi")
    with pytest.raises(LedgerError, match=r"'swdi', but this version has eer, ap"):
        Ledger.open(tmp_path / "s")


@pytest.mark.parametrize("later", [0, 1])
def test_a_fold_that_one_seed_alone_scored_by_a_metric_has_no_figure_of_it(tmp_path: Path, later: int) -> None:
    ledger = Ledger.create(tmp_path / "s", replace(STUDY, repeats=2))
    ledger.trial("k").write_trial(0, {})
    for number, folder in enumerate(ledger.trial("k").for_seeds(ledger.study.seeds)):
        for fold in (1, 2):
            record = fold_record(folder, fold, 0.1, 0.2)
            figures = record.figures | ({"share": Figures({"a": 1.0, "b": 0.5}, 0.75)} if number == later else {})
            folder.write_fold(replace(record, figures=figures), pack_fold({}, {}))
    (trial,) = study_results(ledger, "finished").trials
    assert set(trial.figures) == {"eer"}


# degenerate


def test_a_fold_without_a_class_is_left_out_of_the_mean(folder: TrialFolder) -> None:
    summary = summarise([fold_record(folder, 1, 0.1, None), fold_record(folder, 2, 0.3, 0.6)], TAGS)["eer"]
    assert summary.by_tag == pytest.approx({"a": 0.2, "b": 0.6})
    assert summary.mean == pytest.approx(0.4)
    assert summary.var_folds == pytest.approx(np.var([0.1, 0.45], ddof=1))


def test_a_tag_with_one_class_is_null_in_a_fold() -> None:
    targets = np.array([[1, 1], [0, 1]], np.float32)
    eer = score(targets, np.array([[0.9, 0.5], [0.1, 0.5]], np.float32), TAGS)["eer"]
    assert (eer.by_tag, eer.mean) == ({"a": 0.0, "b": None}, 0.0)


def test_one_fold_has_no_variance_over_folds(folder: TrialFolder) -> None:
    assert summarise([fold_record(folder, 1, 0.1, 0.2)], TAGS)["eer"].var_folds is None


def test_running_means_end_where_a_fold_is_missing(folder: TrialFolder) -> None:
    def means(*folds: FoldRecord) -> list[float]:
        return running_means(folds, STUDY)  # type: ignore[arg-type]

    first, second = fold_record(folder, 1, 0.1, 0.2), fold_record(folder, 2, 0.3, 0.6)
    assert means(first, second) == pytest.approx([0.15, 0.3])
    assert means(second) == []
    assert means(fold_record(folder, 1, None, None), second) == []


def test_unfinished_trials_are_left_out_and_failed_ones_listed(ledger: Ledger) -> None:
    finish_trial(ledger, "partial", 0, {1: (0.1, 0.2)})
    finish_trial(ledger, "broken", 1, {1: (0.1, 0.2)})
    ledger.trial("broken").write_failure("the loss is not finite")
    (trial,) = study_results(ledger, "interrupted").trials
    assert (trial.key, trial.status, trial.reason) == ("broken", "failed", "the loss is not finite")
    assert (trial.figures["eer"].by_tag, trial.mean) == ({"a": None, "b": None}, None)
    assert len(trial.folds) == 1
    assert not is_complete(ledger)
    finish_trial(ledger, "partial", 0, {2: (0.1, 0.2)})
    assert is_complete(ledger)


def test_the_best_trial_is_the_first_of_equals(ledger: Ledger) -> None:
    for number, key in enumerate("abc"):
        finish_trial(ledger, key, number, {1: (0.2, 0.2), 2: (0.2, 0.2 if key == "a" else 0.1)})
    best = study_results(ledger, "finished").best
    assert best is not None
    assert best.key == "b"
