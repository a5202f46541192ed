"""How much too good a study's best figure is: chosen on the folds that score it, stopped by them too.

Both estimates choose on the other folds and score on the one left out, from figures that the ledger has: nothing is
trained again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def best_of_many(eers: np.ndarray) -> float | None:
    """By how much the lowest mean over folds understates what its choice is worth: the winner's optimism.

    For each fold the row with the lowest mean over the other folds is scored on that fold; the mean of these scores
    lies above the best row's own mean by the optimism of having chosen and scored on the same folds. Where all rows are
    equal in truth, that is all of the best row's lead. Chance alone may put the estimate below 0.

    Shapes: eers (rows, folds), NaN where a fold has none. None below two rows or two common folds.
    """
    eers = eers[:, ~np.isnan(eers).any(axis=0)]
    rows, folds = eers.shape
    if rows < 2 or folds < 2:
        return None
    others = (eers.sum(axis=1, keepdims=True) - eers) / (folds - 1)
    chosen = eers[others.argmin(axis=0), np.arange(folds)]
    return float(chosen.mean() - eers.mean(axis=1).min())


def early_stopping(histories: Sequence[Sequence[dict[str, Any]]], best_epochs: Sequence[int]) -> float | None:
    """By how much an EER is too good because the fold that scores it also chose the epoch (protocol "paper").

    Each fold is stopped where the other folds had their best epochs on average, and its own EER is read off there.
    Chance alone may put the estimate below 0.

    Args:
        histories: a fold each, of epochs as EpochResult's fields.
        best_epochs: the epoch that each fold chose, from 0.

    Returns None below two folds, or where an EER is missing.
    """
    if len(histories) < 2 or not all(histories):
        return None
    best = np.array(best_epochs)
    others = np.rint((best.sum() - best) / (len(best) - 1)).astype(int)
    gains = []
    for history, own, other in zip(histories, best, others, strict=True):
        there, here = (history[min(epoch, len(history) - 1)]["val_eer_mean"] for epoch in (other, own))
        if there is None or here is None:
            return None
        gains.append(there - here)
    return float(np.mean(gains))
