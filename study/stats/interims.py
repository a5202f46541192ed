"""Comparisons that are looked at after each partition: what the smallest of several p-values is worth.

A study that adds partitions until its comparisons are clear tests each row after 1, 2, ... partitions. Ended at the
first p below .05, up to 11 % of equal rows would be called different with four looks. So the smallest p of the looks
so far counts as the probability that the smallest p of all the looks that were planned is as small in a row without a
difference: Pocock's test, with the same level at each look. That is a p-value like any other. It stays one whatever
ends the looks early, because fewer looks only make the smallest p larger, and Holm's correction applies to it.

The probability is that of Nadeau and Bengio's model, in which the differences of all trainings are equally correlated:
t after r partitions then depends on nothing but the folds, the looks and the test share. It is counted in studies that
are drawn from that model, so it also holds for few folds, where tables for normal figures would allow up to 6.7 %.

A permutation test, as AdaStop has it, would need more figures: five differences have 32 signs, and no p below .06.

Source: Pocock 1977, "Group sequential methods in the design and analysis of clinical trials"; Jennison and Turnbull
2000, "Group Sequential Methods", chapter 2 for the constants, chapter 9 for intervals that hold at each look; Liu and
Anderson 2008, "On adjusted p-values for group sequential trials", for the p-value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from study.ledger.schema import StudyRecord
from study.stats.power import POWER
from study.stats.significance import ALPHA, LEAST_FOLDS, PairedTest, Untested, corrected_t, share_of_test

STUDIES = 200_000  # that are drawn; of 1 in 20 the standard error is .0005
AT_ONCE = 10_000
MOST_EFFECT = 1000.0  # standard deviations of the differences, which any design sees
RARE = 0.001  # below it the looks add up instead, because too few of the drawn studies are as rare


@dataclass(frozen=True)
class Looks:
    """The looks at the comparisons of a study: one after each of at most so many partitions of k folds."""

    folds: int
    most: int

    @property
    def test_share(self) -> float:
        """Test clips per training clip."""
        return share_of_test(self.folds)

    def overall(self, p: float) -> float:
        """The p over all looks of one whose smallest p at any look is `p`."""
        smallest = smallest_p_values(self.folds, self.most, self.test_share)
        if p < smallest[round(RARE * STUDIES)]:
            return min(self.most * p, RARE)
        return float(np.searchsorted(smallest, p, side="right")) / STUDIES

    def nominal(self, level: float) -> float:
        """The level at each look, which makes `level` over all of them."""
        if level < RARE:
            return level / self.most
        smallest = smallest_p_values(self.folds, self.most, self.test_share)
        return float(smallest[round(level * STUDIES) - 1])

    def test(self, differences: np.ndarray) -> PairedTest | Untested:
        """Test the differences (r k,) of r partitions, NaN where a figure does not exist; p is that over all looks.

        The interval holds the true difference at each of the looks in 95 % of all studies.
        """
        level, found = self.nominal(ALPHA), list(self._at_each(differences))
        last = found[-1] if found else corrected_t([], self.test_share)
        if isinstance(last, Untested):
            return last
        p = min(test.p for test in found if isinstance(test, PairedTest))
        there = differences[~np.isnan(differences)]
        last = corrected_t(there, self.test_share, level)
        assert isinstance(last, PairedTest), "as it was with another level"
        return replace(last, p=self.overall(p))

    def power(self, effect: float, level: float) -> float:
        """The share of studies that call a true difference real at one of the looks, at this level over all of them.

        `effect` is in standard deviations of the paired differences.
        """
        drawn = draw_studies(self.folds, self.most, self.test_share)
        bounds = stdtrit(drawn.n - 1, 1 - self.nominal(level) / 2)
        return float((np.abs(drawn.means + effect) > bounds * drawn.errors).any(axis=1).mean())

    def seen(self, level: float) -> float:
        """The true difference that is called real with a power of `POWER`, in the same unit."""
        return float(brentq(lambda effect: self.power(effect, level) - POWER, 0.0, MOST_EFFECT, xtol=1e-3))

    def _at_each(self, differences: np.ndarray) -> Iterator[PairedTest | Untested]:
        for look in range(1, len(differences) // self.folds + 1):
            own = differences[: look * self.folds]
            yield corrected_t(own[~np.isnan(own)], self.test_share)


def looks_of(study: StudyRecord) -> Looks | None:
    """The looks of a study that adds partitions until it is clear; None of others, which are tested once."""
    return None if study.most is None else Looks(len(study.folds), study.most)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Comparisons of rows without a difference, drawn from the model, at each look that has enough folds for a test.

    Attributes:
        n: Differences by then, (looks,).
        means: Of these, (`STUDIES`, looks), in standard deviations of the differences.
        errors: Standard errors of the means, likewise.
    """

    n: np.ndarray
    means: np.ndarray
    errors: np.ndarray


@lru_cache(maxsize=8)
def draw_studies(folds: int, most: int, test_share: float) -> Drawn:
    """Draw `STUDIES` comparisons of up to `most` partitions."""
    rng, counts = np.random.default_rng(0), folds * np.arange(1, most + 1)
    n = counts[counts >= LEAST_FOLDS]
    means, errors = [], []
    for _ in range(STUDIES // AT_ONCE):
        values = rng.normal(size=(AT_ONCE, folds * most)) + np.sqrt(test_share) * rng.normal(size=(AT_ONCE, 1))
        sums, squares = (np.cumsum(part, axis=1)[:, n - 1] for part in (values, values**2))
        means.append(sums / n)
        errors.append(np.sqrt((1 / n + test_share) * (squares - sums**2 / n) / (n - 1)))
    return Drawn(n, np.concatenate(means), np.concatenate(errors))


@lru_cache(maxsize=8)
def smallest_p_values(folds: int, most: int, test_share: float) -> np.ndarray:
    """The smallest p of all looks in each of the drawn comparisons, (`STUDIES`,), sorted."""
    drawn = draw_studies(folds, most, test_share)
    return np.sort(2 * stdtr(drawn.n - 1, -np.abs(drawn.means / drawn.errors)).min(axis=1, initial=0.5))
