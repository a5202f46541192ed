"""What a comparison of two rows can see: the smallest difference that it calls real, and how often it finds one.

Where the paired differences of n fold trainings have the correlation that Nadeau and Bengio assume, their t of a true
difference d has a noncentral t distribution: n - 1 degrees of freedom, noncentrality d / (sqrt(1 / n + test share) s).
s is estimated from the same few differences: over five folds its 95 % interval reaches from .6 to 2.9 times s.

Source: Nadeau and Bengio 2003, section 3; Cohen 1988, "Statistical power analysis", for 80 % as the usual demand.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtr, nctdtrinc, stdtrit

from study.stats.significance import ROUNDING

POWER = 0.8  # of a design that is said to see a difference
LARGE = 4.0  # noncentrality from which one study in 30,000 has a mean of the wrong sign, and SciPy gives NaN for some


@dataclass(frozen=True)
class Resolution:
    """What a comparison could have shown, in units of the metric.

    Attributes:
        sd: Of the paired differences, n - 1 in its denominator.
        called_real: The smallest mean difference that would have been called real.
        seen: The true difference that is called real in `POWER` of all studies like this one.
        level: Below which p has to lie.
    """

    sd: float
    called_real: float
    seen: float
    level: float


def resolution_of(differences: np.ndarray, test_share: float, level: float) -> Resolution | None:
    """Compute the resolution of paired differences (n,), without NaN; None where they do not vary.

    Args:
        differences: One per fold and partition.
        test_share: Test clips per training clip.
        level: Below which p has to lie: .05 for one comparison, less of several (`holm_levels`).
    """
    if len(differences) < 2 or np.ptp(differences) < ROUNDING:
        return None
    sd, n = float(np.std(differences, ddof=1)), len(differences)
    return Resolution(sd, sd * called_real(n, test_share, level), sd * seen(n, test_share, level), level)


def called_real(n: int, test_share: float, level: float) -> float:
    """The smallest mean of n paired differences that is called real, in their standard deviations."""
    return error(n, test_share) * _bound(n, level)


def seen(n: int, test_share: float, level: float, power: float = POWER) -> float:
    """The true difference that is called real with this power, in standard deviations of the paired differences.

    That it is called real with the wrong sign is left out: at a power of 80 % that happens to one study in 10,000.
    """
    return error(n, test_share) * float(nctdtrinc(n - 1, 1 - power, _bound(n, level)))


def power_of(difference: float, sd: float, n: int, test_share: float, level: float) -> float:
    """The share of studies that call a true difference real, n paired differences each, in either direction."""
    centre, bound = abs(difference) / (sd * error(n, test_share)), _bound(n, level)
    wrong_sign = nctdtr(n - 1, centre, -bound) if centre < LARGE else 0.0
    return float(1 - nctdtr(n - 1, centre, bound) + wrong_sign)


def error(n: int, test_share: float) -> float:
    """The standard error of the mean of n paired differences, in their standard deviations."""
    return math.sqrt(1 / n + test_share)


def _bound(n: int, level: float) -> float:
    """The |t| from which a two-sided p lies below a level."""
    return float(stdtrit(n - 1, 1 - level / 2))
