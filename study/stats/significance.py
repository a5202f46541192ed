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

ALPHA = 0.05  # adjusted p below which a difference is called real


@dataclass(frozen=True)
class PairedTest:
    """A row against the baseline over k folds."""

    difference: float  # mean over folds; below 0 the row has the lower figure
    low: float  # 95 % interval of the difference, for this row alone
    high: float
    t: float
    p: float  # two-sided
    folds: int


def corrected_t(differences: Sequence[float] | np.ndarray, test_share: float) -> PairedTest | None:
    """Compute Nadeau and Bengio's corrected resampled t-test of paired differences, one per fold.

    Args:
        differences: (k,), without NaN.
        test_share: Test clips per training clip: 1/4 with five folds, which makes the factor 1/5 + 1/4 = 0.45.

    Returns:
        The test; None below two folds. Equal differences have t = 0 and p = 1 if they are 0, else infinite t and p = 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    folds = len(values)
    if folds < 2:
        return None
    mean = float(values.mean())
    deviation = 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1))
    error = math.sqrt(1 / folds + test_share) * deviation
    t = mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0
    reach = float(stdtrit(folds - 1, 1 - ALPHA / 2)) * error
    p = 2 * float(stdtr(folds - 1, -abs(t)))
    return PairedTest(mean, mean - reach, mean + reach, t, p, folds)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's method; they keep their order.

    If those below 0.05 are called real, at most 5 % of all studies contain a false call.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(value) for value in adjusted]


def verdict(test: PairedTest | None, adjusted: float | None, lower_is_better: bool = True) -> str:
    """Say what a comparison with the baseline shows."""
    if test is None or adjusted is None:
        return "not tested: fewer than two folds in common"
    if adjusted >= ALPHA:
        return "not distinguishable"
    return f"{'better' if (test.difference < 0) == lower_is_better else 'worse'} than the baseline"
