"""What would settle a comparison that is not distinguishable: more partitions of the corpus, or more seeds.

All of it is for a true difference as large as the observed one, which is itself uncertain. Partitions lower the whole
standard error, though not below sqrt(test share) standard deviations: training sets overlap in every partition. Seeds
lower only their own part of it.

Source: Bouckaert and Frank 2004, "Evaluating the replicability of significance tests", for r x k differences; Searle,
Casella and McCulloch 1992, "Variance components", section 3.6, for one-way random effects.
"""

from dataclasses import dataclass

import numpy as np

from study.stats.posterior import DECIDED, probabilities
from study.stats.power import POWER, power_of
from study.stats.significance import ROUNDING

MOST = 20  # partitions or seeds that are worth naming: a hundred trainings of a row


@dataclass(frozen=True)
class Components:
    """Variances of paired differences: between folds, and between the seeds of a fold."""

    folds: float
    seeds: float

    @property
    def seed_share(self) -> float:
        """The part of the seeds in the variance of differences of one seed each."""
        total = self.folds + self.seeds
        return self.seeds / total if total else 0.0

    def sd(self, repeats: int) -> float:
        """The standard deviation of differences that are means over so many seeds."""
        return float(np.sqrt(self.folds + self.seeds / repeats))


@dataclass(frozen=True)
class Remedy:
    """How much more would see the observed difference in `POWER` of all studies; None: not within `MOST`.

    Attributes:
        partitions: In all, of k folds each.
        alike: Partitions after which a difference within the margin, like the observed one, is called none; None also
            where it is not within the margin.
        repeats: Seeds in all; None also where their part is not known, because there is one seed.
        seed_share: Their part in the variance; None where it is not known.
    """

    partitions: int | None
    repeats: int | None = None
    seed_share: float | None = None
    alike: int | None = None

    def buys_seeds(self, seeds: int) -> bool:
        """Whether seeds would do, and partitions, with so many seeds each as now, take no fewer trainings."""
        if self.repeats is None:
            return False
        return self.partitions is None or self.repeats <= self.partitions * seeds


def find_remedy(
    differences: np.ndarray,
    test_share: float,
    level: float,
    margin: float,
    by_seed: np.ndarray | None = None,
    decided: float = DECIDED,
) -> Remedy | None:
    """Find what would settle paired differences (n,), without NaN; None where they do not vary or have a mean of 0.

    Args:
        differences: One per fold and partition.
        test_share: Test clips per training clip, 1 / (k - 1) of k folds.
        level: Below which p has to lie.
        margin: Differences up to it count as none.
        by_seed: The same differences of each seed, (n, seeds), if there are several.
        decided: Probability from which a row is called the same.
    """
    if len(differences) < 2 or np.ptp(differences) < ROUNDING or abs(differences.mean()) < ROUNDING:
        return None
    difference, sd = float(differences.mean()), float(differences.std(ddof=1))
    k, n = round(1 / test_share) + 1, len(differences)
    more = range(-(-n // k) + 1, MOST + 1)
    partitions = next((r for r in more if power_of(difference, sd, r * k, test_share, level) >= POWER), None)
    alike = next((r for r in more if probabilities(difference, sd, r * k, test_share, margin)[1] >= decided), None)
    if by_seed is None:
        return Remedy(partitions, alike=alike)
    parts, seeds = split_variance(by_seed), by_seed.shape[1]
    deviations = {repeats: parts.sd(repeats) for repeats in range(seeds + 1, MOST + 1)}
    repeats = next(
        (own for own, at in deviations.items() if not at or power_of(difference, at, n, test_share, level) >= POWER),
        None,
    )
    return Remedy(partitions, repeats, parts.seed_share, alike)


def split_variance(differences: np.ndarray) -> Components:
    """Split the variance of paired differences (n, seeds) into that between folds and that between seeds.

    One-way random effects by their mean squares; a negative estimate of the part of the folds counts as 0.
    """
    seeds = differences.shape[1]
    within = float(differences.var(axis=1, ddof=1).mean())
    between = float(differences.mean(axis=1).var(ddof=1))
    return Components(max(between - within / seeds, 0.0), within)
