"""How large the bias of selecting on the scoring folds is, against made-up truth."""

import math

import numpy as np
import pytest

from audiotag.metrics import METRICS
from audiotag.training.epochs import EpochResult
from study.stats.selection_bias import early_stopping_bias, winners_curse

EER, AP = METRICS["eer"], METRICS["ap"]


def history(*eers: float) -> list[EpochResult]:
    return [EpochResult(epoch, 0.1, 0.9, 0.1, 0.9, {"eer": eer}, 1.0) for epoch, eer in enumerate(eers)]


# reference


def test_a_metric_of_which_more_is_better_is_its_mirror_image() -> None:
    eers = np.random.default_rng(5).random((6, 4))
    assert winners_curse(1 - eers, AP) == pytest.approx(-winners_curse(eers, EER))


def test_winners_curse_worked_by_hand() -> None:
    """Without fold 0 the second row is better (.2 < .3), without fold 1 the first (.1 < .4): chosen .4 and .3."""
    assert winners_curse(np.array([[0.1, 0.3], [0.4, 0.2]]), EER) == pytest.approx((0.4 + 0.3) / 2 - 0.2)


@pytest.mark.parametrize("rows", [2, 7, 100])
def test_equal_rows_gain_nothing_by_being_chosen(rows: int) -> None:
    """Over 400 studies of equal rows, the best figure and its estimated optimism add up to the truth."""
    eers = np.random.default_rng(0).normal(0.15, 0.02, (400, rows, 5))
    lead = [0.15 - study.mean(axis=1).min() for study in eers]
    estimates = [winners_curse(study, EER) for study in eers]
    assert np.mean(lead) > 0.004
    assert np.mean(estimates) == pytest.approx(np.mean(lead), abs=0.0015)


def test_a_clear_winner_is_not_optimistic() -> None:
    eers = np.random.default_rng(0).normal(0.15, 0.001, (7, 5))
    eers[3] -= 0.1
    assert winners_curse(eers, EER) == pytest.approx(0, abs=1e-12)


def test_early_stopping_bias_worked_by_hand() -> None:
    """Best epochs 0, 1 and 2; the others' means are 1.5 (rounded to 2), 1 and 0.5 (to 0)."""
    folds = [history(0.20, 0.21, 0.25), history(0.30, 0.31, 0.32), history(0.40, 0.41, 0.38)]
    assert early_stopping_bias(folds, [0, 1, 2], EER) == pytest.approx((0.05 + 0.0 + 0.02) / 3)


def test_early_stopping_bias_in_a_shorter_fold_takes_its_last_epoch() -> None:
    long, short = history(0.4, 0.3, 0.2, 0.1), history(0.2, 0.4)
    assert early_stopping_bias([long, short], [3, 0], EER) == pytest.approx(((0.4 - 0.1) + (0.4 - 0.2)) / 2)


# degenerate


def test_nothing_to_choose_from() -> None:
    assert winners_curse(np.array([[0.1, 0.2]]), EER) is None
    assert winners_curse(np.array([[0.1], [0.2]]), EER) is None
    assert winners_curse(np.array([[0.1, np.nan], [0.2, np.nan]]), EER) is None


@pytest.mark.parametrize("folds", [[], [history(0.1)], [history(0.1), []], [history(math.nan), history(0.1)]])
def test_no_early_stopping_bias_without_figures(folds: list[list[EpochResult]]) -> None:
    assert early_stopping_bias(folds, [0] * len(folds), EER) is None


def test_folds_that_a_row_lacks_are_left_out() -> None:
    eers = np.array([[0.1, 0.3, np.nan], [0.4, 0.2, 0.1]])
    assert winners_curse(eers, EER) == pytest.approx(winners_curse(eers[:, :2], EER))
