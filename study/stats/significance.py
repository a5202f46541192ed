"""Which differences between rows are real: the corrected resampled t-test, and Holm's correction for many of them.

The training sets of cross-validation overlap, so the differences in its folds are not independent, and the plain paired
t-test finds too much. Nadeau and Bengio's test widens the variance by the ratio of test to training clips.

Source: Nadeau and Bengio 2003, "Inference for the generalization error"; Holm 1979, "A simple sequentially rejective
multiple test procedure".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

LEVEL = 0.05


@dataclass(frozen=True)
class PairedTest:
    """A row against the baseline over k folds. Negative differences are lower error rates, that is better."""

    difference: float  # mean over folds
    low: float  # 95 % interval of the difference, for this row alone
    high: float
    t: float
    p: float  # two-sided
    folds: int


def corrected_t(differences: Sequence[float] | np.ndarray, test_share: float) -> PairedTest | None:
    """Nadeau and Bengio's corrected resampled t-test of paired differences, one a fold.

    Args:
        differences: (k,), without NaN.
        test_share: test clips a training clip: 1/4 in five folds, which makes the factor 1/5 + 1/4 = 0.45.

    Returns None below two folds. Differences that are all the same have t = 0 and p = 1 where they are 0, else
    infinite t and p = 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    folds = len(values)
    if folds < 2:
        return None
    mean = float(values.mean())
    deviation = 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1))
    error = math.sqrt(1 / folds + test_share) * deviation
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    reach = float(stdtrit(folds - 1, 1 - LEVEL / 2)) * error
    p = 2 * float(stdtr(folds - 1, -abs(t)))
    return PairedTest(mean, mean - reach, mean + reach, t, p, folds)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    Calling those below 0.05 real makes one false call or more in at most 5 % of all studies.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(value) for value in adjusted]


def in_words(test: PairedTest | None, adjusted: float | None) -> str:
    """What a comparison with the baseline shows."""
    if test is None or adjusted is None:
        return "not tested: fewer than two folds in common"
    if adjusted < LEVEL:
        return "better than the baseline" if test.difference < 0 else "worse than the baseline"
    return "not distinguishable"
