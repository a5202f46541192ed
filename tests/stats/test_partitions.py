"""Tests over the folds of several partitions: r times k-fold cross-validation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from scipy import stats

from audiotag.metrics import METRICS
from study.stats.analysis import Analysis, analyse, fold_means
from study.stats.factorial import analyse_factorial, contrast
from study.stats.selection_bias import winners_curse
from study.stats.significance import PairedTest, Untested, corrected_t_over_folds, holm

GAINS = [0.0, 0.1, 0.8]
CELLS = [{"dropout": dropout, "batch_size": size} for dropout in (0.1, 0.2) for size in (8, 16)]


def analysed(root: Path, configs: list[dict[str, Any]], unfinished: int | None = None, **changes: Any) -> Analysis:
    """A study of two partitions of three folds, of which one trial may lack a fold of the second."""
    ledger = make_study(root, configs, **{"corpus": make_corpus(**SMALL), "partitions": 2, **changes})
    if unfinished is not None:
        (ledger.trials()[unfinished].path / "fold_1_partition_2.json").unlink()
    return analyse(ledger, with_results(ledger))


# reference


def test_the_test_worked_by_hand() -> None:
    """Two partitions of two folds: a mean of .03, a variance of .0002 / 3, a factor of 1/4 + 1/1."""
    differences = np.array([0.02, 0.03, 0.03, 0.04])
    test = corrected_t_over_folds(differences, partitions=2)
    assert isinstance(test, PairedTest)
    t = 0.03 / np.sqrt(1.25 * 0.0002 / 3)
    assert (test.difference, test.t) == (pytest.approx(0.03), pytest.approx(t))
    assert test.p == pytest.approx(2 * stats.t.sf(t, df=3))
    reach = stats.t.ppf(0.975, df=3) * np.sqrt(1.25 * 0.0002 / 3)
    assert (test.low, test.high) == (pytest.approx(0.03 - reach), pytest.approx(0.03 + reach))


def test_a_fold_without_a_figure_is_left_out_and_the_share_of_test_clips_stays() -> None:
    values = np.array([0.02, np.nan, 0.03, 0.05])
    test = corrected_t_over_folds(values, partitions=2)
    assert isinstance(test, PairedTest)
    assert test.t == pytest.approx(np.nanmean(values) / np.sqrt((1 / 3 + 1) * np.nanvar(values, ddof=1)))


def test_rows_are_tested_over_the_folds_of_all_partitions(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", ALPHAS[:3], gains=GAINS)
    means = fold_means(found.rows)
    wanted = [
        [fold.figures["eer"].mean for fold in [*row.result.folds, *row.result.partitions[0].folds]]
        for row in found.rows
    ]
    assert means.tolist() == wanted
    assert means.shape == (3, 6)
    tests = [corrected_t_over_folds(own - means[0], 2) for own in means[1:]]
    assert [row.test for row in found.rows[1:]] == tests
    assert [row.adjusted for row in found.rows[1:]] == holm([test.p for test in tests])  # type: ignore[union-attr]


# property


def test_figures_intervals_and_biases_are_those_of_the_corpus_own_folds(tmp_path: Path) -> None:
    """Equal rows, so that choosing the best of them makes a difference."""
    options: dict[str, Any] = {"gains": [0.0] * 5, "corpus": make_corpus(folds=3)}
    one, two = (analysed(tmp_path / str(number), ALPHAS[:5], partitions=number, **options) for number in (1, 2))
    assert [row.mean for row in two.rows] == [row.mean for row in one.rows]
    assert [row.intervals for row in two.rows] == [row.intervals for row in one.rows]
    assert [row.best_share for row in two.rows] == [row.best_share for row in one.rows]
    assert two.selection_bias == one.selection_bias == winners_curse(fold_means(one.rows), METRICS["eer"])
    assert two.selection_bias != winners_curse(fold_means(two.rows), METRICS["eer"])
    assert two.stopping_bias == one.stopping_bias is not None
    assert two.rows[1].test != one.rows[1].test


def test_seeds_of_a_fold_are_averaged_in_each_partition(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", ALPHAS[:2], gains=GAINS[:2], repeats=2)
    parts = found.rows[1].result.partitions[0].folds
    own = [np.mean([seed.figures["eer"].mean for seed in fold.repeats]) for fold in parts]
    assert fold_means(found.rows)[1, 3:].tolist() == pytest.approx(own)


def test_a_partition_that_a_row_has_not_finished_is_left_out_of_its_test_alone(tmp_path: Path) -> None:
    found = analysed(tmp_path / "s", ALPHAS[:3], gains=GAINS, unfinished=1)
    means = fold_means(found.rows)
    assert np.isnan(means).sum(axis=1).tolist() == [0, 3, 0]
    assert found.rows[1].test == corrected_t_over_folds((means[1] - means[0])[:3])
    assert found.rows[2].test == corrected_t_over_folds(means[2] - means[0], 2)


def test_two_partitions_of_two_folds_are_enough_for_a_test(tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL | {"folds": 2})
    one, two = (analysed(tmp_path / str(number), ALPHAS[:2], corpus=corpus, partitions=number) for number in (1, 2))
    assert (isinstance(one.rows[1].test, Untested), isinstance(two.rows[1].test, PairedTest)) == (True, True)


def test_effects_are_tested_over_the_folds_of_all_partitions(tmp_path: Path) -> None:
    analysis = analysed(tmp_path / "s", CELLS, gains=[0.0, 0.3, 0.1, 0.9])
    found, means = analyse_factorial(analysis), fold_means(analysis.rows)
    assert found is not None
    assert means.shape == (4, 6)
    cells = means.reshape(2, 2, 6)
    wanted = {corrected_t_over_folds(contrast(cells, group), 2) for group in ((0,), (1,), (0, 1))}
    assert {effect.test for effect in found.effects} == wanted
    assert {effect.test for effect in found.on_top} == {
        corrected_t_over_folds(values, 2) for values in (cells[1, 1] - cells[0, 1], cells[1, 1] - cells[1, 0])
    }


# calibration


def simulate(rows: int, folds: int, training: float, noise: float, studies: int = 4000) -> np.ndarray:
    """Differences of equal rows from a baseline in studies of three partitions, (studies, rows, r k).

    Each row does better or worse on each clip, by chance; its training set moves it by `training` times a mean over
    the set of another such figure, as large as that over all clips; and each training has noise of its own.
    """
    clips, rng = 100, np.random.default_rng((rows, folds))
    own, learned = rng.normal(size=(2, studies, rows + 1, clips))
    figures = []
    for _ in range(3):
        fold = rng.permuted(np.tile(np.arange(clips) % folds, (studies, 1)), axis=1)[:, None]
        for number in range(folds):
            test, train = fold == number, fold != number
            mean = (own * test).sum(axis=2) / test.sum(axis=2)
            mean += training * (learned * train).sum(axis=2) / train.sum(axis=2)
            figures.append(mean + noise * rng.normal(size=mean.shape))
    found = np.stack(figures, axis=2)
    return found[:, 1:] - found[:, :1]


def p_values(differences: np.ndarray) -> np.ndarray:
    tests = [corrected_t_over_folds(own, 3) for own in differences.reshape(-1, differences.shape[2])]
    return np.array([test.p for test in tests if isinstance(test, PairedTest)]).reshape(differences.shape[:2])


@pytest.mark.parametrize("folds", [2, 3, 5])
@pytest.mark.parametrize(("training", "noise"), [(0.0, 0.0), (0.5, 0.0), (0.5, 0.1), (1.0, 0.2)])
def test_equal_rows_are_called_different_in_six_studies_of_a_hundred_at_most(
    folds: int, training: float, noise: float
) -> None:
    """A standard error of .0035. Noise of .2 is as much as the test clips of five folds give.

    It is no longer so where training sets matter twice as much and seeds little: .066 with (1, .1), .097 with (1, 0).
    """
    p = p_values(simulate(1, folds, training, noise))
    assert (p < 0.05).mean() <= 0.06


def test_holm_allows_for_six_comparisons() -> None:
    p = p_values(simulate(6, 5, training=0.5, noise=0.1, studies=1000))
    assert np.mean([min(holm(own)) < 0.05 for own in p]) <= 0.06
