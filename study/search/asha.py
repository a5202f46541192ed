"""Asynchronous successive halving over folds: which trials are worth another fold.

All trials take the folds in the same order, so after r folds a trial's mean EER is compared with the means of other
trials over exactly those r folds.

Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning" (ASHA), in the variant of Ray Tune that
stops a trial at once where the paper's pauses it.
"""

from typing import Any

import numpy as np

from study.ledger.ledger import Ledger
from study.ledger.pruning import passed, pruned, write_passed, write_pruned
from study.ledger.results import running_means

GROWTH = 2  # of the folds from rung to rung
REDUCTION = 3  # of so many trials that come to a rung one goes on; a search gets better, so it is about half of them


def rung_folds(folds: int) -> list[int]:
    """After how many of a trial's folds it is judged: 1, 2, 4, ... as long as at least as many again would follow.

    Of five folds after 1 and 2: after 4 there would be little left to save, and much to lose for the final comparison.
    """
    found, rung = [], 1
    while rung * GROWTH <= folds:
        found.append(rung)
        rung *= GROWTH
    return found


def rungs_in_words(folds: int) -> str:
    """What a study's first lines say of its scheduler."""
    after = " and ".join(map(str, rung_folds(folds)))
    rule = f"not among the better third so far after {after} of {folds} folds, a trial is stopped"
    return f"; asha: {rule}" if after else "; asha, with too few folds to stop any trial"


def bound(means: list[float]) -> float | None:
    """The highest mean EER that passes a rung to which trials with these means have come before: the quantile that is
    the better third, with linear interpolation. None, and any passes, as long as fewer than three have come.
    """
    return float(np.quantile(means, 1 / REDUCTION)) if len(means) >= REDUCTION else None


class Rungs:
    """The means of all trials at each rung, rebuilt from the ledger's folds. Failed trials do not count."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        study = ledger.study()
        self._means: dict[int, dict[str, float]] = {rung: {} for rung in rung_folds(len(study["corpus"]["folds"]))}
        for folder in ledger.trials():
            means = running_means(folder, study) if folder.failure() is None else []
            for rung, there in self._means.items():
                if len(means) >= rung:
                    there[folder.key] = means[rung - 1]

    def arrive(self, key: str, folds: int, mean: float | None) -> dict[str, Any] | None:
        """What is to become of a trial that has finished so many folds: None, it goes on, or it is stopped, and why
        (`study.ledger.pruning.pruned`). The decision is in the ledger when this returns, and is not made again.
        """
        if folds not in self._means or mean is None:
            return None
        there, folder = self._means[folds], self._ledger.trial(key)
        others = [value for other, value in there.items() if other != key]
        there[key] = mean
        if (record := pruned(folder)) is not None or folds in passed(folder):
            return record
        if (limit := bound(others)) is not None and mean > limit:
            return write_pruned(folder, folds, mean, limit)
        write_passed(folder, folds)
        return None

    def leave(self, key: str) -> None:
        """A trial has failed."""
        for there in self._means.values():
            there.pop(key, None)
