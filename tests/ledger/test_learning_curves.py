"""study.ledger.learning_curves: the mean over folds of different lengths."""

import math

import pytest

from audiotag.training.epochs import EpochResult
from study.ledger.learning_curves import mean_curves


def history(*losses: float, eer: float | None = 0.5) -> list[EpochResult]:
    means = {} if eer is None else {"eer": eer}
    return [EpochResult(epoch, loss, 0.5, 2 * loss, 0.5, means, 1.0) for epoch, loss in enumerate(losses)]


def losses(*histories: list[EpochResult]) -> list[float]:
    return [result.train_loss for result in mean_curves(histories)]


@pytest.mark.parametrize(
    ("folds", "means"),
    [
        ([[1, 2], [1, 3, 3], [1, 4, 4, 5, 6, 7]], [1, 3, 3.5]),  # a third of the folds is no mean
        ([[1, 2, 3], [3, 4]], [2, 3]),
        ([[1, 2, 3]], [1, 2, 3]),
        ([[1], []], []),
        ([], []),
    ],
)
def test_the_mean_is_over_the_folds_that_have_an_epoch_while_most_have_it(
    folds: list[list[float]], means: list[float]
) -> None:
    assert losses(*(history(*fold) for fold in folds)) == means


def test_figures_that_do_not_exist_are_left_out() -> None:
    mean = mean_curves([history(1.0, eer=math.nan), history(3.0, eer=0.2), history(2.0, eer=None)])[0]
    assert (mean.epoch, mean.train_loss, mean.val_loss, mean.val_means) == (0, 2.0, 4.0, {"eer": 0.2})
    assert math.isnan(mean_curves([history(1.0, eer=math.nan)])[0].val_means["eer"])
