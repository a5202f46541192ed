"""How much too good a study's best figure is, because it was selected on the folds that score it.

Both estimates select on the other folds and score on the one left out, with figures that the ledger has: nothing is
trained again.
"""

import math
from collections.abc import Sequence

import numpy as np

from audiotag.metrics import Metric
from audiotag.training.epochs import EpochResult


def winners_curse(means: np.ndarray, objective: Metric) -> float | None:
    """Estimate by how much the best row's mean over folds is too good because it was chosen as the best.

    For each fold the row with the best mean over the other folds is scored on that fold; the bias is the mean of these
    scores minus the best row's own mean. If all rows are equally good, that is all of the best row's lead. Chance alone
    may give the estimate the other sign.

    Args:
        means: (rows, folds), NaN where a fold has none.
        objective: What they are of.

    Returns:
        The change to expect of the best mean; None below two rows or two common folds.
    """
    means = means[:, ~np.isnan(means).any(axis=0)]
    rows, folds = means.shape
    if rows < 2 or folds < 2:
        return None
    others = (means.sum(axis=1, keepdims=True) - means) / (folds - 1)
    chosen = means[(objective.sign * others).argmin(axis=0), np.arange(folds)]
    return float(chosen.mean() - objective.sign * (objective.sign * means.mean(axis=1)).min())


def early_stopping_bias(
    histories: Sequence[Sequence[EpochResult]], best_epochs: Sequence[int], objective: Metric
) -> float | None:
    """Estimate by how much a mean is too good because the fold that scores it also chose the epoch (protocol "paper").

    Each fold is stopped at the mean of the other folds' best epochs instead, and scored there. Chance alone may give
    the estimate the other sign.

    Args:
        histories: Per fold.
        best_epochs: The epoch that each fold chose, from 0.
        objective: The metric whose mean it is.

    Returns:
        The change to expect of the mean; None below two folds, or where a figure is missing.
    """
    if len(histories) < 2 or not all(histories):
        return None
    best = np.array(best_epochs)
    others = np.rint((best.sum() - best) / (len(best) - 1)).astype(int)
    changes = []
    for history, own, other in zip(histories, best, others, strict=True):
        there, here = (history[min(epoch, len(history) - 1)].val_means for epoch in (other, own))
        changes.append(there.get(objective.name, math.nan) - here.get(objective.name, math.nan))
    return None if np.isnan(changes).any() else float(np.mean(changes))
