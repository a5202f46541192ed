"""Trials against the baseline on the test clips of one fixed split: over other test recordings, and other seeds.

There is one training set and one test set, so nothing can be tested over folds. Two things that move a difference can
be measured: which recordings the test set has, by the paired bootstrap over its groups, and which seed the networks
were trained with. Their variances add up to that of the mean difference over R seeds:

    error^2 = v + s^2 / R

with v the variance of the mean difference over draws of groups, and s^2 the sample variance of the difference from seed
to seed. The difference over this error is referred to Student's t with Satterthwaite's degrees of freedom. v has what
single networks do on single recordings in it, and so has s^2: it counts twice, which is cautious. How a difference
would turn out with other training recordings, no figure of one training set can say.

Source: Satterthwaite 1946, "An approximate distribution of estimates of variance components".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtr, nctdtrinc, stdtr, stdtrit

from audiotag.corpus.errors import count
from audiotag.metrics import Metric
from study.stats.comparison import Comparison
from study.stats.posterior import DECIDED, Posterior
from study.stats.power import LARGE, POWER, Resolution
from study.stats.remedy import MOST, Remedy
from study.stats.significance import ALPHA, ROUNDING, PairedTest, Untested, adjust, holm_levels, outcome

LEAST_SEEDS = 3  # of a test: the variance of two differences is off by a factor of a thousand in one case of forty


@dataclass(frozen=True)
class Estimate:
    """A difference from the baseline, and what it would vary with.

    Attributes:
        difference: Its mean over seeds.
        recordings: Its variance over other test sets of as many groups (v).
        seeds: The variance of a single seed's difference (s^2).
        repeats: Seeds (R).
        groups: Of the test clips.
    """

    difference: float
    recordings: float
    seeds: float
    repeats: int
    groups: int

    def error(self, repeats: int | None = None) -> float:
        """The standard error of the difference, with so many seeds, as many as there are by default."""
        return math.sqrt(self.recordings + self.seeds / (repeats or self.repeats))

    def freedom(self, repeats: int | None = None) -> float:
        """Satterthwaite's degrees of freedom with so many seeds."""
        repeats = repeats or self.repeats
        parts = ((self.recordings, self.groups - 1), (self.seeds / repeats, repeats - 1))
        return self.error(repeats) ** 4 / sum(variance**2 / freedom for variance, freedom in parts)

    @property
    def seed_share(self) -> float:
        """The part of the seeds in the variance of a single seed's difference."""
        return self.seeds / (self.seeds + self.recordings)


def estimate(draws: np.ndarray, by_seed: np.ndarray, groups: int) -> Estimate | Untested:
    """Estimate a difference and its variances; Untested where one of them cannot be known.

    Args:
        draws: The mean difference over seeds in each draw of groups (draws,), NaN where it does not exist.
        by_seed: The difference with each seed (R,).
        groups: Of the test clips.
    """
    by_seed = by_seed[~np.isnan(by_seed)]
    if not len(by_seed):
        return Untested(None, "no figure of it")
    mean, defined = float(by_seed.mean()), draws[~np.isnan(draws)]
    if len(by_seed) < LEAST_SEEDS:
        return Untested(mean, f"{count(len(by_seed), 'seed')}, of {LEAST_SEEDS} that a test needs")
    if groups < 2 or len(defined) < max(2, len(draws) / 2):
        return Untested(mean, f"{count(groups, 'group')} of test clips with the tag and without it")
    recordings = float(defined.var(ddof=1)) * groups / (groups - 1)  # draws vary too little by that much
    seeds = float(by_seed.var(ddof=1))
    if recordings < ROUNDING**2 or seeds < ROUNDING**2:
        equal = abs(mean) < ROUNDING
        varies = "with every seed" if seeds < ROUNDING**2 else "on all recordings"
        return Untested(mean, f"equal {varies}" if equal else f"the difference is the same {varies}")
    return Estimate(mean, recordings, seeds, len(by_seed), groups)


def compare_on_test(
    estimates: Sequence[Estimate | Untested], metric: Metric, margin: float | None = None
) -> list[Comparison]:
    """Test several differences as one family; with a margin with all that can be said of each."""
    tests = [found if isinstance(found, Untested) else refer(found) for found in estimates]
    levels = holm_levels([found.p if isinstance(found, PairedTest) else 1.0 for found in tests])
    whole = []
    for found, own, adjusted, level in zip(estimates, tests, adjust(tests), levels, strict=True):
        part = Comparison(own, adjusted, outcome(own, adjusted, metric))
        if margin is not None and isinstance(found, Estimate):
            more = posterior(found, margin, metric), resolution(found, level), remedy(found, level, margin)
            part = Comparison(part.test, part.adjusted, part.outcome, *more)
        whole.append(part)
    return whole


def refer(found: Estimate) -> PairedTest:
    """Refer a difference to its distribution."""
    error, freedom = found.error(), found.freedom()
    reach, t = float(stdtrit(freedom, 1 - ALPHA / 2)) * error, found.difference / error
    return PairedTest(
        found.difference, found.difference - reach, found.difference + reach, t, 2 * float(stdtr(freedom, -abs(t)))
    )


def posterior(found: Estimate, margin: float, metric: Metric) -> Posterior:
    """How probable it is, under a flat prior, that a row is better, the same within the margin, or worse."""
    return Posterior(*_shares(found, found.repeats, margin, metric.sign))


def _shares(found: Estimate, repeats: int, margin: float, sign: int) -> tuple[float, float, float]:
    error, freedom = found.error(repeats), found.freedom(repeats)
    better, worse = (float(stdtr(freedom, (-margin - side * sign * found.difference) / error)) for side in (1, -1))
    return better, max(1 - better - worse, 0.0), worse


def resolution(found: Estimate, level: float) -> Resolution:
    """What a comparison could have shown; its `sd` is the standard error of the difference."""
    error, freedom = found.error(), found.freedom()
    bound = float(stdtrit(freedom, 1 - level / 2))
    return Resolution(error, error * bound, error * float(nctdtrinc(freedom, 1 - POWER, bound)), level)


def remedy(found: Estimate, level: float, margin: float) -> Remedy | None:
    """How many seeds in all would settle a difference; None of one of 0. `alike` are seeds, too."""
    if abs(found.difference) < ROUNDING:
        return None
    more = range(found.repeats + 1, MOST + 1)
    repeats = next((own for own in more if _power(found, own, level) >= POWER), None)
    alike = next((own for own in more if _shares(found, own, margin, 1)[1] >= DECIDED), None)
    return Remedy(None, repeats, found.seed_share, alike)


def _power(found: Estimate, repeats: int, level: float) -> float:
    """The share of studies with so many seeds that call a true difference of the observed size real."""
    freedom, centre = found.freedom(repeats), abs(found.difference) / found.error(repeats)
    bound = float(stdtrit(freedom, 1 - level / 2))
    wrong_sign = nctdtr(freedom, centre, -bound) if centre < LARGE else 0.0
    return float(1 - nctdtr(freedom, centre, bound) + wrong_sign)
