"""The smallest difference that is called real, and power: against the published figures, and simulated."""

import numpy as np
import pytest

from study.stats.power import POWER, called_real, power_of, resolution_of, seen
from study.stats.significance import ALPHA, PairedTest, corrected_t, share_of_test

STUDIES = 20_000

# reference


@pytest.mark.parametrize(
    ("folds", "partitions", "rows", "real", "at_80"),
    [
        (3, 1, 1, 3.93, 5.16),
        (5, 1, 1, 1.86, 2.52),
        (5, 1, 4, 2.89, 3.72),
        (5, 1, 6, 3.25, 4.14),
        (5, 1, 13, 4.04, 5.07),
        (8, 1, 1, 1.22, 1.69),
        (10, 1, 1, 1.04, 1.45),
        (5, 2, 1, 1.34, 1.86),
        (5, 5, 1, 1.11, 1.57),
        (5, 10, 1, 1.04, 1.49),
    ],
)
def test_designs_as_tabulated(folds: int, partitions: int, rows: int, real: float, at_80: float) -> None:
    """Computed apart from this code: standard deviations of the paired differences, the first of some rows in Holm."""
    place = folds * partitions, share_of_test(folds), ALPHA / rows
    assert called_real(*place) == pytest.approx(real, abs=0.005)
    assert seen(*place) == pytest.approx(at_80, abs=0.005)


def test_five_folds_worked_by_hand() -> None:
    """Standard deviation .0158114, standard error sqrt(.45) of it, .0106066; times t(.975, 4) = 2.776445."""
    found = resolution_of(np.array([-0.02, -0.01, -0.03, 0.0, -0.04]), 1 / 4, ALPHA)
    assert (found.sd, found.called_real) == (pytest.approx(0.0158114, abs=1e-7), pytest.approx(0.0294486, abs=1e-7))
    assert found.seen == pytest.approx(0.0158114 * 2.52, abs=1e-4)


# property


def draw_differences(folds: int, partitions: int, difference: float) -> np.ndarray:
    """Paired differences (studies, n) with the correlation that the test assumes, and a standard deviation of 1."""
    rng, share = np.random.default_rng(folds), share_of_test(folds)
    common = np.sqrt(share) * rng.normal(size=(STUDIES, 1))
    return difference + common + rng.normal(size=(STUDIES, folds * partitions))


@pytest.mark.parametrize(("folds", "partitions"), [(2, 2), (3, 1), (5, 1), (5, 3), (10, 1)])
@pytest.mark.parametrize("difference", [0.0, 1.0, 2.5])
def test_predicted_power_is_that_of_simulated_studies(folds: int, partitions: int, difference: float) -> None:
    values, share = draw_differences(folds, partitions, difference), share_of_test(folds)
    n = values.shape[1]
    found = np.abs(values.mean(axis=1)) / values.std(axis=1, ddof=1) > called_real(n, share, ALPHA)
    assert power_of(difference, 1.0, n, share, ALPHA) == pytest.approx(found.mean(), abs=0.015)


def test_a_difference_at_the_bound_is_called_real_and_one_below_is_not() -> None:
    values = np.array([0.01, -0.02, 0.03, 0.0, -0.02])
    bound = resolution_of(values, 1 / 4, ALPHA).called_real
    for factor, real in ((1.001, True), (0.999, False)):
        test = corrected_t(values - values.mean() + factor * bound, 1 / 4)
        assert isinstance(test, PairedTest)
        assert (test.p < ALPHA) == real


@pytest.mark.parametrize(("n", "share", "level"), [(5, 0.25, 0.05), (3, 0.5, 0.05 / 6), (20, 0.25, 0.01)])
def test_what_is_seen_is_called_real_with_that_power(n: int, share: float, level: float) -> None:
    assert power_of(seen(n, share, level), 1.0, n, share, level) == pytest.approx(POWER, abs=1e-4)
    assert power_of(0.0, 1.0, n, share, level) == pytest.approx(level)


# degenerate


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.1, 0.1]])
def test_differences_that_do_not_vary_have_no_resolution(values: list[float]) -> None:
    assert resolution_of(np.array(values), 1 / 4, ALPHA) is None
