"""study.stats.selection_bias: what choosing on the scoring folds is worth, against made-up truth."""

from typing import Any

import numpy as np
import pytest

from study.stats.selection_bias import best_of_many, early_stopping


def history(losses: list[float], eers: list[float | None]) -> list[dict[str, Any]]:
    return [{"val_loss": loss, "val_eer_mean": eer} for loss, eer in zip(losses, eers, strict=True)]


# reference


def test_best_of_many_worked_by_hand() -> None:
    """Without fold 0 the second row is better (.2 < .3), without fold 1 the first (.1 < .4): chosen .4 and .3."""
    assert best_of_many(np.array([[0.1, 0.3], [0.4, 0.2]])) == pytest.approx((0.4 + 0.3) / 2 - 0.2)


@pytest.mark.parametrize("rows", [2, 7, 100])
def test_equal_rows_gain_nothing_by_being_chosen(rows: int) -> None:
    """Over 400 studies of equal rows, the best figure and its estimated optimism add up to the truth."""
    eers = np.random.default_rng(0).normal(0.15, 0.02, (400, rows, 5))
    lead = [0.15 - study.mean(axis=1).min() for study in eers]
    estimates = [best_of_many(study) for study in eers]
    assert np.mean(lead) > 0.004
    assert np.mean(estimates) == pytest.approx(np.mean(lead), abs=0.0015)


def test_a_clear_winner_is_not_optimistic() -> None:
    eers = np.random.default_rng(0).normal(0.15, 0.001, (7, 5))
    eers[3] -= 0.1
    assert best_of_many(eers) == pytest.approx(0, abs=1e-12)


def test_early_stopping_worked_by_hand() -> None:
    """Best epochs 0, 1 and 2; the others' means are 1.5 (rounded to 2), 1 and 0.5 (to 0)."""
    folds = [
        history([0.1, 0.2, 0.3], [0.20, 0.21, 0.25]),
        history([0.3, 0.1, 0.2], [0.30, 0.31, 0.32]),
        history([0.3, 0.2, 0.1], [0.40, 0.41, 0.38]),
    ]
    assert early_stopping(folds, [0, 1, 2]) == pytest.approx((0.05 + 0.0 + 0.02) / 3)


def test_early_stopping_starts_from_the_chosen_epochs_not_from_the_lowest_losses() -> None:
    """With a schedule the first epochs may not be chosen, whatever their losses."""
    folds = [history([0.1, 0.3, 0.2], [0.1, 0.5, 0.4]), history([0.1, 0.2, 0.3], [0.1, 0.3, 0.6])]
    assert early_stopping(folds, [2, 1]) == pytest.approx(((0.5 - 0.4) + (0.6 - 0.3)) / 2)


def test_early_stopping_in_a_shorter_fold_takes_its_last_epoch() -> None:
    long = history([0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1])
    short = history([0.1, 0.2], [0.2, 0.4])
    assert early_stopping([long, short], [3, 0]) == pytest.approx(((0.4 - 0.1) + (0.4 - 0.2)) / 2)


# degenerate


def test_nothing_to_choose_from() -> None:
    assert best_of_many(np.array([[0.1, 0.2]])) is None
    assert best_of_many(np.array([[0.1], [0.2]])) is None
    assert best_of_many(np.array([[0.1, np.nan], [0.2, np.nan]])) is None
    assert early_stopping([], []) is None
    assert early_stopping([history([0.1], [0.1])], [0]) is None
    assert early_stopping([history([0.1], [0.1]), []], [0, 0]) is None
    assert early_stopping([history([0.1], [None]), history([0.1], [0.1])], [0, 0]) is None


def test_folds_that_a_row_lacks_are_left_out() -> None:
    eers = np.array([[0.1, 0.3, np.nan], [0.4, 0.2, 0.1]])
    assert best_of_many(eers) == pytest.approx(best_of_many(eers[:, :2]))
