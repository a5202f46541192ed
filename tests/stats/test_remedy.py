"""How many partitions or seeds would settle a difference, and how much of the variance comes from seeds."""

import numpy as np
import pytest

from study.stats.posterior import DECIDED, probabilities
from study.stats.power import POWER, power_of
from study.stats.remedy import MOST, Components, find_remedy, split_variance
from study.stats.significance import ALPHA

FIVE = 1 / 4

# reference


def test_components_worked_by_hand() -> None:
    """Means 1, 3, 5 have a variance of 4; each fold has 2 within two seeds, of which half is in its mean: 4 - 1."""
    parts = split_variance(np.array([[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]))
    assert (parts.folds, parts.seeds) == (3.0, 2.0)
    assert parts.seed_share == pytest.approx(0.4)
    assert parts.sd(1) == pytest.approx(np.sqrt(5))
    assert parts.sd(2) == pytest.approx(2.0)


# property


def test_components_are_found_again_where_they_are_known() -> None:
    rng = np.random.default_rng(0)
    found = [split_variance(2.0 * rng.normal(size=(5, 1)) + 3.0 * rng.normal(size=(5, 3))) for _ in range(2000)]
    assert np.mean([parts.seeds for parts in found]) == pytest.approx(9, rel=0.05)
    assert np.mean([parts.folds for parts in found]) == pytest.approx(4, rel=0.25)  # none is below 0


def spread(mean: float) -> np.ndarray:
    """Five differences with this mean and a standard deviation of 1."""
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    return mean + values / values.std(ddof=1)


@pytest.mark.parametrize("mean", [1.55, 1.7, 1.8, -1.8])
def test_so_many_partitions_see_the_difference_and_one_less_does_not(mean: float) -> None:
    found = find_remedy(spread(mean), FIVE, ALPHA, 0.0)
    assert found is not None
    assert found.partitions is not None
    assert found.repeats is found.seed_share is None
    powers = [power_of(mean, 1.0, 5 * r, FIVE, ALPHA) for r in (found.partitions - 1, found.partitions)]
    assert powers[0] < POWER <= powers[1]


def test_the_partitions_that_are_there_count() -> None:
    values = np.tile(spread(1.8), 2)
    found = find_remedy(values, FIVE, ALPHA, 0.0)
    assert found is not None
    assert found.partitions is not None
    assert found.partitions > 2


def test_no_number_of_partitions_is_enough_for_a_small_difference() -> None:
    """However many, the standard error stays above half a standard deviation, so that 1.4 of them are needed."""
    assert find_remedy(spread(1.39), FIVE, ALPHA, 0.0).partitions is None
    assert power_of(1.39, 1.0, 5 * MOST * 100, FIVE, ALPHA) < POWER


@pytest.mark.parametrize(("mean", "margin"), [(0.1, 1.2), (0.0001, 1.1), (-0.3, 1.5)])
def test_so_many_partitions_call_a_row_the_same_and_one_less_does_not(mean: float, margin: float) -> None:
    found = find_remedy(spread(mean), FIVE, ALPHA, margin)
    assert found is not None
    assert found.alike is not None
    same = [probabilities(mean, 1.0, 5 * r, FIVE, margin)[1] for r in (found.alike - 1, found.alike)]
    assert same[0] < DECIDED <= same[1]


def test_a_narrow_margin_is_never_reached() -> None:
    """The standard error stays above half a standard deviation: 95 % of the posterior reach out to one."""
    assert find_remedy(spread(0.1), FIVE, ALPHA, 0.9).alike is None


def by_seed(folds: float, seeds: float) -> np.ndarray:
    """Differences (5, 2) with these standard deviations between folds and between the seeds of each."""
    return spread(0.0)[:, None] * folds + np.array([-1, 1]) / np.sqrt(2) * seeds + 1.7


def test_seeds_help_where_they_are_the_noise_and_only_there() -> None:
    noisy, steady = by_seed(0.3, 1.0), by_seed(1.0, 0.1)
    level = ALPHA / 6
    found = find_remedy(noisy.mean(axis=1), FIVE, level, 0.0, noisy)
    assert found is not None
    assert found.repeats is not None
    assert found.seed_share > 0.9
    deviation = split_variance(noisy).sd(found.repeats)
    assert power_of(1.7, deviation, 5, FIVE, level) >= POWER
    assert find_remedy(steady.mean(axis=1), FIVE, level, 0.0, steady).repeats is None


# degenerate


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1], [0.1], [-0.1, 0.0, 0.1]])
def test_nothing_would_settle_what_does_not_vary_or_is_0(values: list[float]) -> None:
    assert find_remedy(np.array(values), 1 / 2, ALPHA, 0.1) is None


def test_equal_seeds_have_no_part() -> None:
    assert Components(0.0, 0.0).seed_share == 0
