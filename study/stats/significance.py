"""Which differences between rows are real: the corrected resampled t-test, and Holm's correction for many of them.

The training sets of cross-validation overlap, so the differences in its folds are not independent, and the plain paired
t-test finds too much. Nadeau and Bengio's test widens the variance by the ratio of test to training clips.

Source: Nadeau and Bengio 2003, "Inference for the generalization error"; Holm 1979, "A simple sequentially rejective
multiple test procedure".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from audiotag.corpus.errors import count
from audiotag.metrics import Metric

ALPHA = 0.05  # adjusted p below which a difference is called real
LEAST_FOLDS = 3  # of a test: the variance of two differences is off by a factor of a thousand in one case of forty
ROUNDING = 1e-12  # figures in [0, 1] that differ by less are the same

Outcome = Literal["better", "worse", "indistinguishable", "untested"]  # of a comparison with the baseline


@dataclass(frozen=True)
class PairedTest:
    """A row against the baseline over k folds."""

    difference: float  # mean over folds; below 0 the row has the lower figure
    low: float  # 95 % interval of the difference, for this row alone
    high: float
    t: float
    p: float  # two-sided; of several looks at the row over all of them


@dataclass(frozen=True)
class Untested:
    """A row against the baseline where nothing can be said of chance."""

    difference: float | None  # mean over folds; None without folds in common
    reason: str


def corrected_t(
    differences: Sequence[float] | np.ndarray, test_share: float, level: float = ALPHA
) -> PairedTest | Untested:
    """Compute Nadeau and Bengio's corrected resampled t-test of paired differences, one per fold.

    There is none below three folds, and none where the differences are the same in every fold: small folds have few
    values of an EER, so equal differences come about by chance, and they say nothing of how far differences vary. Taken
    for a variance of 0, they were a find in up to 13 % of equal rows with two folds and in up to 3 % with three.

    Args:
        differences: (k,), without NaN.
        test_share: Test clips per training clip: 1/4 with five folds, which makes the factor 1/5 + 1/4 = 0.45.
        level: At which the interval ends: .05 for one of 95 %.
    """
    values = np.asarray(differences, dtype=np.float64)
    folds = len(values)
    if folds == 0:
        return Untested(None, "no fold in common")
    mean = float(values.mean())
    if folds < LEAST_FOLDS:
        return Untested(mean, f"{count(folds, 'fold')} in common, of {LEAST_FOLDS} that a test needs")
    if np.ptp(values) < ROUNDING:
        equal = abs(mean) < ROUNDING
        return Untested(mean, "equal in every fold" if equal else "the difference is the same in every fold")
    error = math.sqrt(1 / folds + test_share) * float(values.std(ddof=1))
    reach = float(stdtrit(folds - 1, 1 - level / 2)) * error
    p = 2 * float(stdtr(folds - 1, -abs(mean / error)))
    return PairedTest(mean, mean - reach, mean + reach, mean / error, p)


def corrected_t_over_folds(differences: np.ndarray, partitions: int = 1) -> PairedTest | Untested:
    """Compute `corrected_t` of r times k-fold cross-validation.

    Source: Bouckaert and Frank 2004, section 3.2: r k differences, r k - 1 degrees of freedom.

    Args:
        differences: (r k,), NaN for a fold where a figure does not exist.
        partitions: r.
    """
    return corrected_t(differences[~np.isnan(differences)], share_of_test(len(differences) // partitions))


def share_of_test(folds: int) -> float:
    """Test clips per training clip in k-fold cross-validation."""
    return 1 / max(folds - 1, 1)


def adjust(tests: Sequence[PairedTest | Untested]) -> list[float | None]:
    """Adjust the p-values of some comparisons by Holm's method; None where there is none.

    The family is what was to be compared: an untested comparison counts as one with a p of 1. Otherwise the correction
    would depend on which of them happened to have a p.
    """
    adjusted = holm([test.p if isinstance(test, PairedTest) else 1.0 for test in tests])
    return [p if isinstance(test, PairedTest) else None for test, p in zip(tests, adjusted, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's method; they keep their order.

    If those below 0.05 are called real, at most 5 % of all studies contain a false call.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted.tolist()


def holm_levels(p_values: Sequence[float]) -> list[float]:
    """The level that each p has to lie below for Holm's method to call it real, the other p-values as they are.

    That is .05 / (m - r) for m comparisons of which r others are called real whatever this one is.
    """
    levels = []
    for place in range(len(p_values)):
        others = [1.0 if place == other else p for other, p in enumerate(p_values)]
        called = sum(p < ALPHA for p in holm(others))
        levels.append(ALPHA / (len(p_values) - called))
    return levels


def outcome(test: PairedTest | Untested, adjusted: float | None, objective: Metric) -> Outcome:
    """Decide what a comparison with the baseline shows; `adjusted` is its p after Holm's correction."""
    if isinstance(test, Untested):
        return "untested"
    assert adjusted is not None, "a test has a p"
    if adjusted >= ALPHA:
        return "indistinguishable"
    return "better" if objective.rank(test.difference) < 0 else "worse"
