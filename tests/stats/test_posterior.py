"""Better, the same, worse: against baycomp, its published example, and how often "the same" is wrong."""

import numpy as np
import pytest
from baycomp import two_on_single
from scipy.special import stdtrit

from audiotag.metrics import METRICS
from study.stats.posterior import DECIDED, posterior_of
from study.stats.power import error
from study.stats.significance import share_of_test

EER, AP = METRICS["eer"], METRICS["ap"]
STUDIES = 20_000

# reference


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.05])
@pytest.mark.parametrize(("folds", "runs"), [(3, 1), (5, 1), (10, 1), (5, 3), (10, 10)])
def test_equals_baycomp(folds: int, runs: int, margin: float) -> None:
    rng = np.random.default_rng(folds)
    first, second = (0.1 + 0.02 * rng.normal(size=folds * runs) for _ in range(2))
    found = posterior_of(second - first, share_of_test(folds), margin, EER)
    wanted = two_on_single(first, second, rope=margin, runs=runs)  # left: the difference lies below
    below, above = wanted[0], wanted[-1]
    assert (found.better, found.worse) == (pytest.approx(below, abs=1e-6), pytest.approx(above, abs=1e-6))
    assert found.same == pytest.approx(wanted[1] if margin else 0, abs=1e-6)


@pytest.mark.parametrize(("first", "second", "runs"), [([4, 2, 6], [5, 7, 3], 1), ([4, 2, 6, 4], [5, 7, 3, 5], 2)])
def test_equals_baycomp_on_the_scores_of_its_own_tests(first: list[int], second: list[int], runs: int) -> None:
    """Means of 1; with two runs of two folds a variance of 32 / 3 and a test share of 1."""
    own, other = np.array(first, float), np.array(second, float)
    found = posterior_of(other - own, share_of_test(len(first) // runs), 0.5, AP)
    wanted = two_on_single(own, other, rope=0.5, runs=runs)
    assert (found.worse, found.same, found.better) == pytest.approx(wanted, abs=1e-6)


def test_the_published_example_of_baycomp() -> None:
    """What its documentation prints of ten scores: two figures give mean and standard error, the third follows."""
    without, below, within, above = 0.4145119975061462, 0.2858446417379100, 0.2691518716880249, 0.4450034865740651
    first, second = stdtrit(9, without), stdtrit(9, below)
    scale = 0.5 / (first - second)
    values = np.linspace(-1, 1, 10)
    values = -first * scale + values / values.std(ddof=1) * scale / error(10, 1 / 9)
    assert values.mean() == pytest.approx(0.3049)
    found = posterior_of(values, 1 / 9, 0.5, AP)
    assert (found.worse, found.same, found.better) == pytest.approx((below, within, above), abs=1e-6)
    assert posterior_of(values, 1 / 9, 0.0, AP).worse == pytest.approx(without, abs=1e-6)


# property


def test_a_better_row_is_better_whichever_way_the_metric_runs() -> None:
    values = np.array([-0.03, -0.02, -0.04, -0.03, -0.01])
    lower, higher = (posterior_of(values, 1 / 4, 0.01, metric) for metric in (EER, AP))
    assert lower.better == higher.worse > 0.9
    assert lower.better + lower.same + lower.worse == pytest.approx(1)


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_rows_that_differ_by_the_margin_are_seldom_called_the_same(folds: int) -> None:
    """The worst case: a true difference of exactly the margin, folds as correlated as the test assumes."""
    rng, share = np.random.default_rng(0), share_of_test(folds)
    common = np.sqrt(share) * rng.normal(size=(STUDIES, 1))
    values = 3.0 + common + rng.normal(size=(STUDIES, folds))  # a margin of three standard deviations
    called = [posterior_of(own, share, 3.0, EER).is_same for own in values[:2000]]
    assert np.mean(called) <= 0.06
    assert np.mean([posterior_of(own - 3.0, share, 12.0, EER).same >= DECIDED for own in values[:500]]) > 0.3


# degenerate


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2], [0.1, 0.1, 0.1]])
def test_what_is_not_tested_has_no_posterior(values: list[float]) -> None:
    assert posterior_of(np.array(values), 1 / 2, 0.01, EER) is None
