"""Differences on the test clips of one fixed split: their variances, the test, and what is said of them."""

import math

import numpy as np
import pytest
from scipy.stats import nct, t

from audiotag.metrics import METRICS
from study.stats.bootstrap import draw_groups
from study.stats.fixed_split import (
    LEAST_SEEDS,
    Estimate,
    compare_on_test,
    estimate,
    posterior,
    refer,
    remedy,
    resolution,
)
from study.stats.significance import PairedTest, Untested

EER, AP = METRICS["eer"], METRICS["ap"]
FOUND = Estimate(difference=-0.03, recordings=4e-5, seeds=9e-5, repeats=3, groups=21)
SEEDS = np.array([-0.02, -0.03, -0.04])


# --- reference ---


def test_the_error_adds_recordings_and_seeds() -> None:
    assert FOUND.error() == pytest.approx(math.sqrt(4e-5 + 3e-5))
    assert FOUND.error(9) == pytest.approx(math.sqrt(4e-5 + 1e-5))
    assert FOUND.freedom() == pytest.approx(7e-5**2 / (4e-5**2 / 20 + 3e-5**2 / 2))
    assert FOUND.seed_share == pytest.approx(9 / 13)


def test_the_test_is_students_with_satterthwaites_freedom() -> None:
    found = refer(FOUND)
    distribution = t(FOUND.freedom())
    assert found.t == pytest.approx(-0.03 / FOUND.error())
    assert found.p == pytest.approx(2 * distribution.cdf(found.t))
    assert (found.low, found.high) == pytest.approx(-0.03 + np.array([-1, 1]) * distribution.ppf(0.975) * FOUND.error())


def test_an_estimate_has_the_variances_of_what_it_is_given() -> None:
    rng = np.random.default_rng(0)
    by_group = rng.normal(size=(4, 50))  # seeds, groups
    counts = draw_groups(50, 4000)
    found = estimate(counts @ by_group.mean(axis=0) / 50, by_group.mean(axis=1), 50)
    assert isinstance(found, Estimate)
    assert found.difference == pytest.approx(by_group.mean())
    assert found.recordings == pytest.approx(by_group.mean(axis=0).var(ddof=1) / 50, rel=0.1)
    assert found.seeds == pytest.approx(by_group.mean(axis=1).var(ddof=1))
    assert (found.repeats, found.groups) == (4, 50)


def test_what_a_comparison_could_have_shown() -> None:
    found, distribution = resolution(FOUND, 0.05), t(FOUND.freedom())
    assert found.sd == pytest.approx(FOUND.error())
    assert found.called_real == pytest.approx(distribution.ppf(0.975) * FOUND.error())
    seen = nct(FOUND.freedom(), found.seen / FOUND.error())
    assert seen.sf(distribution.ppf(0.975)) == pytest.approx(0.8, abs=1e-6)
    assert resolution(FOUND, 0.01).called_real > found.called_real


# --- property ---


@pytest.mark.parametrize(("metric", "better"), [(EER, True), (AP, False)])
def test_which_way_is_better(metric: object, better: bool) -> None:
    found = posterior(FOUND, 0.005, metric)  # type: ignore[arg-type]
    assert sum((found.better, found.same, found.worse)) == pytest.approx(1)
    assert (found.better > 0.9) == better
    (part,) = compare_on_test([Estimate(-0.05, 4e-5, 9e-6, 3, 21)], metric, 0.01)  # type: ignore[arg-type]
    assert part.outcome == ("better" if better else "worse")


def test_holms_correction_is_over_all_that_was_to_be_compared() -> None:
    alone = compare_on_test([FOUND], EER)[0]
    family = compare_on_test([FOUND, Untested(0.0, "equal"), FOUND], EER)
    assert isinstance(alone.test, PairedTest)
    assert alone.adjusted == alone.test.p
    assert family[0].adjusted == pytest.approx(3 * alone.test.p)
    assert family[1].outcome == "untested"


def test_seeds_are_a_remedy_where_they_make_the_error() -> None:
    seeds = remedy(Estimate(0.02, 1e-6, 2e-4, 3, 50), 0.05, 0.01)
    assert seeds is not None
    assert seeds.repeats is not None
    assert 3 < seeds.repeats < 10
    recordings = remedy(Estimate(0.02, 2e-4, 1e-6, 3, 50), 0.05, 0.01)
    assert recordings is not None
    assert (recordings.partitions, recordings.repeats) == (None, None)
    alike = remedy(Estimate(0.001, 1e-6, 1e-4, 3, 50), 0.05, 0.01)
    assert alike is not None
    assert alike.alike is not None


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("own", [0.0, 1.0, 4.0])
def test_equal_rows_are_seldom_called_different(seeds: int, own: float) -> None:
    """Over what moves a difference between recordings with all seeds (`own`), between seeds, and by both."""
    rng, counts, called = np.random.default_rng(7), draw_groups(20, 100), 0
    for _ in range(400):
        figures = own * rng.normal(size=(1, 20)) + rng.normal(size=(seeds, 1)) / 4 + rng.normal(size=(seeds, 20))
        found = estimate(counts @ figures.mean(axis=0) / 20, figures.mean(axis=1), 20)
        called += compare_on_test([found], EER)[0].outcome in ("better", "worse")
    assert called / 400 <= 0.07  # two standard errors above .05


# --- degenerate ---


@pytest.mark.parametrize(
    ("draws", "by_seed", "groups", "reason"),
    [
        (np.array([0.1, 0.2]), SEEDS[:2], 9, f"2 seeds, of {LEAST_SEEDS} that a test needs"),
        (np.array([0.1, np.nan, np.nan, np.nan]), SEEDS, 9, "9 groups of test clips"),
        (np.array([0.1, 0.2]), SEEDS, 1, "1 group of test clips"),
        (np.array([0.1, 0.2]), np.full(3, 0.1), 9, "the difference is the same with every seed"),
        (np.zeros(4), np.zeros(3), 9, "equal with every seed"),
        (np.full(4, 0.3), SEEDS, 9, "the difference is the same on all recordings"),
    ],
)
def test_where_nothing_can_be_tested(draws: np.ndarray, by_seed: np.ndarray, groups: int, reason: str) -> None:
    found = estimate(draws, by_seed, groups)
    assert isinstance(found, Untested)
    assert found.reason.startswith(reason)
    assert found.difference == pytest.approx(by_seed.mean())


def test_a_figure_that_does_not_exist_has_no_difference() -> None:
    assert estimate(np.zeros(4), np.full(3, np.nan), 9) == Untested(None, "no figure of it")
    assert remedy(Estimate(0.0, 1e-4, 1e-4, 3, 20), 0.05, 0.01) is None
