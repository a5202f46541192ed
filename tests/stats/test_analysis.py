"""Rows, baseline and comparisons of a study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results

from audiotag.config import TrialConfig
from audiotag.metrics import METRICS
from study.ledger.clips import CLIPS_FILE
from study.ledger.schema import Figures, TrialResult
from study.stats.analysis import Analysis, analyse, better_with, histories
from study.stats.rows import SHOWN_ROWS, choose_baseline, make_row
from study.stats.selection_bias import early_stopping_bias, winners_curse
from study.stats.significance import corrected_t, holm


def analysed(root: Path, configs: list[dict[str, Any]] | None = None, **changes: Any) -> Analysis:
    ledger = make_study(root, configs, **{"corpus": make_corpus(**SMALL), **changes})
    return analyse(ledger, with_results(ledger))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    corpus = make_corpus(groups=50, clips=10, tags=4, evaluation=10)
    root = tmp_path_factory.mktemp("studies") / "whole"
    return analysed(root, corpus=corpus, gains=[0.0, 0.1, 0.2, 0.3, 1.5, 0.3, -0.6])


# reference


def test_each_row_is_tested_against_the_baseline(whole: Analysis) -> None:
    assert whole.baseline is whole.rows[0]
    eers = np.array([[fold.figures["eer"].mean for fold in row.result.folds] for row in whole.rows])
    tests = [corrected_t(row - eers[0], 1 / 4) for row in eers[1:]]
    assert [row.test for row in whole.rows[1:]] == tests
    assert [row.adjusted for row in whole.rows[1:]] == holm([test.p for test in tests])
    assert whole.selection_bias == winners_curse(eers, METRICS["eer"])
    assert (whole.baseline.outcome, whole.best.outcome) == (None, "better")


def test_intervals_lie_around_each_figure(whole: Analysis) -> None:
    assert whole.missing == []
    for row in whole.shown:
        for name, figure in {**row.result.figures["eer"].by_tag, "mean": row.mean}.items():
            low, high = row.intervals[name]
            assert low < figure < high
        low, high = row.eval_intervals["mean"]
        assert low <= row.result.evaluation["eer"].mean <= high
    assert sum(row.best_share for row in whole.shown) == pytest.approx(1)
    assert whole.best.best_share > 0.9


def test_with_repeats_tests_count_folds_of_means_over_seeds(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:3], corpus=make_corpus(**SMALL), gains=[0.0, 0.0, 1.5], repeats=3)
    found = analyse(ledger, with_results(ledger))
    own = [[[r.figures["eer"].mean for r in fold.repeats] for fold in row.result.folds] for row in found.rows]
    by_fold = np.array(own).mean(axis=2)  # (rows, folds)
    wanted, test = corrected_t(by_fold[2] - by_fold[0], 1 / 2), found.rows[2].test
    assert (test.t, test.p) == (pytest.approx(wanted.t), pytest.approx(wanted.p))
    spreads = [row.result.figures["eer"].sd_seeds for row in found.rows]
    assert found.seed_sd == pytest.approx(np.sqrt(np.mean(np.square(spreads))))
    assert found.seed_sd_of_difference == pytest.approx(found.seed_sd * np.sqrt(2 / 3))
    assert better_with(found.rows[2], found.rows[0]) == 3
    assert len(histories(ledger, found.best.key)) == 9
    biases = []
    for part in ledger.trial(found.best.key).for_seeds([0, 1, 2]):
        records = [part.read_fold(fold) for fold in ledger.study.folds]
        epochs, best = [r.history for r in records], [r.best_epoch for r in records]
        biases.append(early_stopping_bias(epochs, best, METRICS["eer"]))
    assert found.stopping_bias == pytest.approx(np.mean(biases))


CONFIGS = [
    {"augmentation": "mixup", "alpha": 1.0, "dropout": 0.1},
    {"augmentation": "none", "dropout": 0.5},
    {"augmentation": "none", "dropout": 0.1},
    {"augmentation": "mixup", "alpha": 0.0, "dropout": 0.1},
    {"augmentation": "sample_pairing", "dropout": 0.1},
]


@pytest.mark.parametrize(
    ("numbers", "baseline", "wanted", "reason"),
    [
        ([0, 1, 2], None, 2, "the row without augmentation, and of these the nearest to the default settings"),
        ([0, 1], None, 1, "the row without augmentation"),
        ([0, 3], None, 3, "the row without augmentation"),
        ([4, 0], None, 4, "the first row, because none is without augmentation"),
        ([0, 1, 2], {"augmentation": "none", "dropout": 0.5}, 1, "named by the space"),
        ([0, 2], {"dropout": 0.5}, 2, "the row without augmentation"),
    ],
)
def test_baseline(
    whole: Analysis, numbers: list[int], baseline: dict[str, Any] | None, wanted: int, reason: str
) -> None:
    rows = []
    for number in numbers:
        params = TrialConfig.from_dict(CONFIGS[number]).to_dict()
        trial = TrialResult(str(number), number, params, "finished", 1.0, {"eer": Figures({}, 0.1)})
        rows.append(make_row("s", trial, ["dropout"]))
    study = replace(whole.study, varied=("augmentation", "alpha", "dropout"), settings={}, baseline=baseline)
    row, said = choose_baseline(rows, study)
    assert (row.key, said) == (str(wanted), reason)


# degenerate


def test_one_trial_has_nothing_to_compare_with_and_no_trial_less(tmp_path: Path) -> None:
    found = analysed(tmp_path / "one", ALPHAS[:1])
    assert (found.baseline, found.others, found.selection_bias) == (found.best, [], None)
    assert found.rows[0].intervals["mean"] is not None
    found = analysed(tmp_path / "none", finished=0)
    assert (found.rows, found.best, found.baseline, found.missing) == ([], None, None, [])


def test_equal_trials_are_not_distinguishable(tmp_path: Path) -> None:
    found = analysed(tmp_path / "same", [*ALPHAS[:2]], gains=[0.3, 0.3])
    assert found.rows[1].outcome == "indistinguishable"


def test_foreign_clips_cost_the_intervals_alone(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "foreign", ALPHAS[:2], corpus=make_corpus(**SMALL))
    with np.load(ledger.root / CLIPS_FILE) as arrays:
        parts = dict(arrays)
    np.savez(ledger.root / CLIPS_FILE, **parts | {"names": np.char.add("x", parts["names"])})
    found = analyse(ledger, with_results(ledger))
    assert "do not fit the clips" in found.missing[0]
    assert found.rows[1].test is not None


def test_large_studies_show_the_best_and_the_baseline(tmp_path: Path) -> None:
    configs = [{"augmentation": "mixup", "alpha": 0.1 * number} for number in range(SHOWN_ROWS + 6)]
    found = analysed(tmp_path / "large", configs, epochs=1, gains=[-2.0, *np.linspace(0.1, 1, SHOWN_ROWS + 5)])
    assert len(found.shown) == SHOWN_ROWS + 1
    assert found.shown[-1] is found.baseline
    means = [row.mean for row in found.shown[:-1]]
    assert means == sorted(row.mean for row in found.rows)[:SHOWN_ROWS]
    assert all(row.intervals for row in found.shown)
    assert all(row.test for row in found.rows if row is not found.baseline)


MIXUP = {"augmentation": "mixup", "alpha": 1.5}
STYLE = {"augmentation": "freq_mixstyle", "alpha": 0.3}
NONE = {"augmentation": "none"}


@pytest.mark.parametrize(
    ("configs", "changes", "scientific", "labels"),
    [
        ([NONE, MIXUP, STYLE], {}, ["augmentation"], ["none", "mixup", "freq_mixstyle"]),
        # sampled: it is chance that each augmentation came with one value
        (
            [NONE, MIXUP, STYLE],
            {"ranges": {"alpha": {"low": 0.1, "high": 5.0, "log": True}}},
            ["augmentation", "alpha"],
            ["none", "mixup, alpha 1.5", "freq_mixstyle, alpha 0.3"],
        ),
        (
            [MIXUP, {**MIXUP, "alpha": 0.5}, STYLE],
            {},
            ["augmentation", "alpha"],
            ["mixup, alpha 1.5", "mixup, alpha 0.5", "freq_mixstyle, alpha 0.3"],
        ),
        ([MIXUP, {**MIXUP, "alpha": 0.5}], {}, ["alpha"], ["alpha 1.5", "alpha 0.5"]),
    ],
)
def test_what_follows_from_the_augmentation_is_no_question(
    configs: list[dict[str, Any]], changes: dict[str, Any], scientific: list[str], labels: list[str], tmp_path: Path
) -> None:
    analysis = analysed(tmp_path / "s", configs, **changes)
    assert sorted(analysis.scientific) == sorted(scientific)
    assert [row.label for row in analysis.rows] == labels
