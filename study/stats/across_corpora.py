"""Whether a row helps in general: its differences from the baseline on several corpora, each corpus counting once.

The corpora stand for others like them, so the mean difference is tested over corpora: Student's t of the corpora's
differences, equal weights, n - 1 degrees of freedom. However unequally precise the differences are, it calls no more
than 5 % of rows without an effect different (Bakirov and Szekely 2005; Ibragimov and Mueller 2010), and it needs none
of their standard errors. A random-effects mean with Hartung and Knapp's interval weights by them, and over three to ten
folds they are too uncertain for that: of rows without an effect it called up to 13 % different with 3 to 8 corpora, and
up to 9 % where its variance was not allowed below that of the weights; the t 2 to 5 % (tests/stats has the simulation).
The price is power where one corpus is much more precise than the others.

Beside it stands Wilcoxon's signed-rank test, which does without normal differences (Demsar 2006). Its p is at least
2 / 2^n, so it cannot reach .05 with fewer than six corpora.

Source: Ibragimov and Mueller 2010, "t-statistic based correlation and heterogeneity robust inference", theorem 1;
Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", section 3.1.3; Hartung and Knapp 2001,
"A refined method for the meta-analysis of controlled clinical trials".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiotag.metrics import Metric
from study.stats.analysis import Analysis
from study.stats.comparison import Comparison
from study.stats.posterior import posterior_of
from study.stats.power import POWER, power_of, resolution_of
from study.stats.rows import ResultRow
from study.stats.significance import (
    ROUNDING,
    PairedTest,
    Untested,
    adjust,
    corrected_t,
    holm_levels,
    outcome,
)

LEAST_CORPORA = 3  # of a test: over two, the interval is 13 times as wide as the differences are apart
LEAST_RANKED = 6  # corpora from which on a signed-rank p may lie below .05
MOST_CORPORA = 20  # that are worth naming


@dataclass(frozen=True, eq=False)
class GeneralRow:
    """A row that several studies have, each on a corpus of its own.

    Attributes:
        rows: As each study has it, in their order.
        differences: Of the objective's mean from that of the study's baseline, (n,).
        comparison: The mean difference over corpora; Holm's p over all such rows.
        signed_rank: Wilcoxon's p, for this row alone; None with fewer than `LEAST_RANKED` corpora.
        needed: Corpora in all that would call a mean difference of this size real with 80 % power, if differences vary
            from corpus to corpus as they do; None where it is real, not tested, or more than `MOST_CORPORA` would be.
    """

    rows: tuple[ResultRow, ...]
    differences: np.ndarray
    comparison: Comparison
    signed_rank: float | None
    needed: int | None

    @property
    def label(self) -> str:
        """Its name in the first study."""
        return self.rows[0].label

    @property
    def better_on(self) -> int:
        """On how many corpora it is better than the baseline, by more than chance or not."""
        metric = self.rows[0].result.objective
        return sum(metric.rank(own) < -ROUNDING for own in self.differences.tolist())


def why_not(found: Sequence[Analysis]) -> str | None:
    """Say why studies of one metric and protocol cannot be compared across corpora; None where they can."""
    without = "so nothing is said across corpora."
    if len({each.study.corpus.fingerprint for each in found}) < len(found):
        return f"Two studies are of the same corpus, {without}"
    if len({_config(each.baseline) for each in found}) > 1 or found[0].baseline is None:
        return f"The studies have no baseline in common, {without}"
    if not common_rows(found):
        return f"No trial but the baseline is finished in all studies with the same hyperparameters, {without}"
    return None


def common_rows(found: Sequence[Analysis]) -> list[tuple[ResultRow, ...]]:
    """The rows but the baseline that all studies have, by their hyperparameters, in the order of the first study."""
    by_config = [{_config(row): row for row in each.others} for each in found]
    return [tuple(own[each] for own in by_config) for each in by_config[0] if all(each in own for own in by_config)]


def _config(row: ResultRow | None) -> str:
    return "" if row is None else json.dumps(row.params, sort_keys=True)


def compare_across(found: Sequence[Analysis], margin: float) -> list[GeneralRow]:
    """Compare the rows that all studies have with the baseline, over corpora, as one family."""
    objective, rows = found[0].objective, common_rows(found)
    differences = [np.array([own_difference(*pair) for pair in zip(own, found, strict=True)]) for own in rows]
    compared = compare_means(differences, objective, margin)
    return [
        GeneralRow(own, each, part, signed_rank(each), needed(each, part))
        for own, each, part in zip(rows, differences, compared, strict=True)
    ]


def own_difference(row: ResultRow, analysis: Analysis) -> float:
    """A row's difference in its own study: over all partitions that are tested, or else that of the means.

    Of a study that adds partitions until it is clear it is that of the corpus's own folds: the others came because of
    what these showed.
    """
    assert analysis.baseline is not None, "a study without one has no other rows"
    if analysis.study.is_until_clear:
        return row.mean - analysis.baseline.mean
    if row.test is not None and row.test.difference is not None:
        return row.test.difference
    return row.mean - analysis.baseline.mean


def compare_means(differences: Sequence[np.ndarray], metric: Metric, margin: float) -> list[Comparison]:
    """Test the mean of each of several vectors of differences (n,), one per corpus, with Holm's correction."""
    tests = [t_over_corpora(own) for own in differences]
    levels = holm_levels([test.p if isinstance(test, PairedTest) else 1.0 for test in tests])
    return [
        Comparison(
            test,
            adjusted,
            outcome(test, adjusted, metric),
            posterior_of(own, 0.0, margin, metric),
            resolution_of(own, 0.0, level) if isinstance(test, PairedTest) else None,
        )
        for own, test, adjusted, level in zip(differences, tests, adjust(tests), levels, strict=True)
    ]


def t_over_corpora(differences: np.ndarray) -> PairedTest | Untested:
    """Compute Student's t of the differences (n,) on n corpora, which are independent of each other."""
    n, mean = len(differences), float(differences.mean())
    if n < LEAST_CORPORA:
        return Untested(mean, f"a test needs {LEAST_CORPORA} corpora")
    if np.ptp(differences) < ROUNDING:
        return Untested(mean, "the difference is the same on every corpus")
    return corrected_t(differences, 0.0)


def signed_rank(differences: np.ndarray) -> float | None:
    """Compute the two-sided p of Wilcoxon's signed-rank test, the ranks of zeros shared between both sides.

    None below six differences, which cannot reach .05, and where all are 0.
    """
    from scipy.stats import wilcoxon  # half a second, which only a comparison of six corpora takes

    rounded = np.round(differences, 12)  # or ties would be broken by the last bit
    if len(rounded) < LEAST_RANKED or not rounded.any():
        return None
    return float(wilcoxon(rounded, zero_method="zsplit").pvalue)


def least_signed_rank(corpora: int) -> float:
    """The smallest two-sided p that a signed-rank test of so many corpora can have."""
    return 2 / 2**corpora


def needed(differences: np.ndarray, comparison: Comparison) -> int | None:
    """How many corpora in all would call a mean difference like this one real with 80 % power; see `GeneralRow`."""
    if comparison.outcome != "indistinguishable" or comparison.resolution is None:
        return None
    mean, sd, level = float(differences.mean()), comparison.resolution.sd, comparison.resolution.level
    more = range(len(differences) + 1, MOST_CORPORA + 1)
    return next((n for n in more if power_of(mean, sd, n, 0.0, level) >= POWER), None)
