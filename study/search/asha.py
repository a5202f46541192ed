"""Asynchronous successive halving over folds, or over the seeds of a fixed split: which trials are worth another one.

All trials take the folds in the same order, so after r folds a trial's mean of the objective is compared with the means
of other trials over exactly those r folds. On a fixed split seeds take the place of folds: a seed's training is whole,
where a few epochs would be judged by validation clips, and networks that learn slowly would be pruned for it.

Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning" (ASHA), in the variant of Ray Tune that
prunes a trial at once where the paper's pauses it.
"""

import numpy as np

from audiotag.metrics import Metric
from study.ledger.ledger import Ledger
from study.ledger.pruning import read_passed, read_pruned, write_passed, write_pruned
from study.ledger.results import merged_folds, running_means, seed_means
from study.ledger.schema import PrunedRecord, StudyRecord
from study.ledger.trial_folder import TrialFolder

GROWTH = 2  # of the folds from rung to rung
REDUCTION = 3  # the best third is kept; about half pass in practice, because later proposals are better


def rung_folds(folds: int) -> list[int]:
    """After how many of a trial's folds it is judged: 1, 2, 4, ... as long as at least as many again would follow.

    Of five folds after 1 and 2: after 4 there would be little left to save, and much to lose for the final comparison.
    """
    found, rung = [], 1
    while rung * GROWTH <= folds:
        found.append(rung)
        rung *= GROWTH
    return found


def rung_unit(study: StudyRecord) -> tuple[int, str]:
    """How many folds, or seeds of a fixed split, a trial has, and the word for them."""
    return (study.repeats, "seed") if study.has_fixed_split else (len(study.folds), "fold")


def rungs_in_words(study: StudyRecord) -> str:
    """What a study's first lines say of its scheduler."""
    number, unit = rung_unit(study)
    after = " and ".join(map(str, rung_folds(number)))
    rule = f"a trial that is not among the better third so far after {after} of {number} {unit}s is pruned"
    return f"; asha: {rule}" if after else f"; asha, with too few {unit}s to prune any trial"


def cutoff(means: list[float], objective: Metric) -> float | None:
    """The worst mean of the objective that passes a rung which trials with these means have reached before.

    It is the quantile that leaves the better third, with linear interpolation. None, and any mean passes, below three
    trials.
    """
    if len(means) < REDUCTION:
        return None
    return objective.sign * float(np.quantile([objective.rank(mean) for mean in means], 1 / REDUCTION))


class Rungs:
    """The means of all trials at each rung, rebuilt from the ledger's folds. Failed trials do not count."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        study, self._objective = ledger.study, ledger.study.objective
        self._means: dict[int, dict[str, float]] = {rung: {} for rung in rung_folds(rung_unit(study)[0])}
        for folder in ledger.trials():
            failed = folder.read_failure() is not None
            means = [] if failed else self._read_means(folder)
            for rung, reached in self._means.items():
                if len(means) >= rung:
                    reached[folder.key] = means[rung - 1]

    def _read_means(self, folder: TrialFolder) -> list[float]:
        """A trial's means after each of its folds, or of its seeds."""
        study = self._ledger.study
        if not study.has_fixed_split:
            return running_means(merged_folds(folder, study), study)
        records = []
        for part in folder.for_seeds(study.seeds):
            if (record := part.read_fold(study.folds[0])) is None:
                break
            records.append(record)
        means = seed_means(records, study)
        return [self._objective.worst if mean is None else mean for mean in means]

    def judge(self, key: str, folds: int, mean: float) -> PrunedRecord | None:
        """Decide about a trial that has finished so many folds, or seeds: None, it goes on, or it is pruned.

        The decision is in the ledger when this returns, and is not made again.
        """
        if folds not in self._means:
            return None
        reached, folder = self._means[folds], self._ledger.trial(key)
        others = [value for other, value in reached.items() if other != key]
        reached[key] = mean
        if (record := read_pruned(folder)) is not None or folds in read_passed(folder):
            return record
        rank, bound = self._objective.rank, cutoff(others, self._objective)
        if bound is not None and rank(mean) > rank(bound):
            return write_pruned(folder, folds, mean, bound, rung_unit(self._ledger.study)[1])
        write_passed(folder, folds)
        return None

    def remove(self, key: str) -> None:
        """Forget a trial that has failed."""
        for reached in self._means.values():
            reached.pop(key, None)
