"""Better, the same, or worse: the probability of each, given the paired differences.

A p-value cannot say that two rows are the same. The posterior of the mean difference of correlated differences, under a
flat prior, is Nadeau and Bengio's t, centred on the observed mean; it is read off beyond a margin on either side, and
within it. Differences within the margin are too small to matter.

Source: Benavoli, Corani, Demsar and Zaffalon 2017, "Time for a change: a tutorial for comparing multiple classifiers
through Bayesian analysis", section 3.1.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from audiotag.metrics import Metric
from study.stats.power import error
from study.stats.significance import LEAST_FOLDS, ROUNDING

DECIDED = 0.95  # probability from which a row is called the same as the baseline


@dataclass(frozen=True)
class Posterior:
    """Probabilities that sum to 1: better or worse by more than the margin, and the same within it.

    From `decided` on a row is called the same.
    """

    better: float
    same: float
    worse: float
    decided: float = DECIDED

    @property
    def is_same(self) -> bool:
        """Whether it says that the rows are the same within the margin."""
        return self.same >= self.decided


def posterior_of(
    differences: np.ndarray, test_share: float, margin: float, metric: Metric, decided: float = DECIDED
) -> Posterior | None:
    """Compute the posterior of paired differences (n,), without NaN; None where there is no test of them.

    Args:
        differences: One per fold and partition, a row's figure minus the baseline's.
        test_share: Test clips per training clip, which is rho / (1 - rho) of the correlation that the source assumes.
        margin: Differences up to it count as none; 0 leaves better and worse.
        metric: Of the figures.
        decided: Probability from which the row is called the same.
    """
    if len(differences) < LEAST_FOLDS or np.ptp(differences) < ROUNDING:
        return None
    mean, sd = metric.sign * float(differences.mean()), float(differences.std(ddof=1))
    return Posterior(*probabilities(mean, sd, len(differences), test_share, margin), decided)


def probabilities(mean: float, sd: float, n: int, test_share: float, margin: float) -> tuple[float, float, float]:
    """How probable it is that the difference lies below the margin, within it, and above, given n of this mean."""
    scale = sd * error(n, test_share)
    below, above = (float(stdtr(n - 1, (-margin - side * mean) / scale)) for side in (1, -1))
    return below, max(1 - below - above, 0.0), above
