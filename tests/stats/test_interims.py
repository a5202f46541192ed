"""Several looks at a comparison: constants of a published table, p-values by hand, false positives by simulation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from scipy.special import ndtri

from audiotag.metrics import METRICS
from study.stats.analysis import analyse
from study.stats.comparison import compare_figures, differences_of
from study.stats.interims import STUDIES, Looks, looks_of, smallest_p_values
from study.stats.power import POWER, power_of, resolution_of
from study.stats.significance import ALPHA, PairedTest, Untested, corrected_t

FIVE = Looks(5, 4)


@pytest.mark.parametrize(("most", "at_5", "at_1"), [(2, 2.178, 2.772), (3, 2.289, 2.873), (4, 2.361, 2.939)])
def test_with_many_folds_that_are_independent_the_bounds_are_those_of_pocock(
    most: int, at_5: float, at_1: float
) -> None:
    """Jennison and Turnbull 2000, table 2.1; the standard error of what is drawn is .004 and .01."""
    smallest = smallest_p_values(60, most, 0.0)
    found = [-ndtri(smallest[round(level * STUDIES) - 1] / 2) for level in (0.05, 0.01)]
    assert found == pytest.approx([at_5, at_1], abs=0.035)


def test_few_folds_need_a_level_of_their_own() -> None:
    """Their spread is less certain at the first look, so looks differ more; they still share most of their figures."""
    assert ALPHA / 4 < Looks(3, 4).nominal(ALPHA) < FIVE.nominal(ALPHA) < Looks(10, 4).nominal(ALPHA) < ALPHA


@pytest.mark.parametrize("level", [0.5, 0.05, 0.0125, 0.004, 0.0004])
def test_the_level_at_each_look_makes_the_level_over_all_of_them(level: float) -> None:
    nominal = FIVE.nominal(level)
    assert FIVE.overall(nominal) == pytest.approx(level, abs=1e-5)
    assert FIVE.overall(0.999 * nominal) <= level
    assert nominal < level < 4 * nominal + 1e-9


def test_the_p_over_all_looks_grows_with_the_smallest_p() -> None:
    p = np.geomspace(1e-9, 1, 200)
    overall = [FIVE.overall(value) for value in p]
    assert (np.diff(overall) >= 0).all()
    assert overall[0] == pytest.approx(4e-9)
    assert overall[-1] == 1.0
    assert FIVE.overall(2e-4) == pytest.approx(8e-4)


def test_the_smallest_p_of_the_looks_so_far_counts() -> None:
    differences = np.array([-0.02, -0.03, -0.025, -0.022, -0.028, 0.02, 0.03, -0.05, 0.0, 0.01])
    first, both = corrected_t(differences[:5], 1 / 4), corrected_t(differences, 1 / 4)
    test = FIVE.test(differences)
    assert isinstance(test, PairedTest)
    assert first.p < both.p
    assert test.p == FIVE.overall(first.p)
    assert (test.difference, test.t) == (both.difference, both.t)
    wanted = corrected_t(differences, 1 / 4, FIVE.nominal(ALPHA))
    assert (test.low, test.high) == (wanted.low, wanted.high)
    assert test.low < both.low


def test_folds_without_a_figure_are_left_out_of_their_look() -> None:
    differences = np.array([-0.02, np.nan, -0.025, -0.022, -0.028, 0.02, 0.03, -0.05, np.nan, 0.01])
    there = differences[~np.isnan(differences)]
    test = FIVE.test(differences)
    assert test.t == corrected_t(there, 1 / 4).t
    assert test.p == FIVE.overall(min(corrected_t(part, 1 / 4).p for part in (there[:4], there)))


def test_two_folds_are_tested_from_the_second_look_on() -> None:
    looks = Looks(2, 3)
    assert isinstance(looks.test(np.array([-0.1, -0.2])), Untested)
    assert isinstance(looks.test(np.array([])), Untested)
    differences = np.array([-0.1, -0.2, -0.12, -0.16])
    assert looks.test(differences).p == looks.overall(corrected_t(differences, 1.0).p)


def test_equal_rows_are_rarely_called_different_however_long_one_looks() -> None:
    """Six rows of which a correct test calls any different in at most 5 % of studies; the plain test in far more."""
    rng, folds, looks, rows = np.random.default_rng(7), 5, 4, 6
    found, plain, studies = 0, 0, 1500
    for _ in range(studies):
        own = rng.normal(size=(rows + 1, folds * looks)) + 0.5 * rng.normal(size=(rows + 1, 1))
        differences = own[1:] - own[0]
        tests = compare_figures(list(differences), 1 / 4, METRICS["eer"], Looks(folds, looks))
        found += any(part.outcome in ("better", "worse") for part in tests)
        plain += any(corrected_t(differences[0, : folds * look], 1 / 4).p < ALPHA for look in range(1, looks + 1))
    assert found / studies <= 0.06
    assert plain / studies > 0.09  # one row alone


def test_power_is_that_of_all_looks() -> None:
    """More than at the last look alone; counted here in other studies than those that are drawn."""
    rng, effect, folds, looks = np.random.default_rng(11), 1.2, 5, 4
    differences = effect + rng.normal(size=(3000, folds * looks)) + 0.5 * rng.normal(size=(3000, 1))
    found = np.mean([FIVE.test(own).p < ALPHA for own in differences])
    predicted = FIVE.power(effect, ALPHA)
    assert predicted == pytest.approx(found, abs=0.03)
    assert predicted > power_of(effect, 1.0, folds * looks, 1 / 4, FIVE.nominal(ALPHA)) + 0.03
    assert FIVE.power(0.0, ALPHA) == pytest.approx(ALPHA, abs=1e-3)
    assert FIVE.power(FIVE.seen(ALPHA), ALPHA) == pytest.approx(POWER, abs=1e-3)


def test_a_study_that_adds_partitions_is_tested_over_its_looks(tmp_path: Path) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), gains=[0.0, 0.3], partitions=3, most=4)
    looks = looks_of(ledger.study)
    assert looks == Looks(3, 4)
    baseline, row = analyse(ledger, with_results(ledger)).rows
    differences = differences_of(row.result, baseline.result, "eer")
    assert row.test == looks.test(differences)
    level = looks.nominal(ALPHA)
    wanted = resolution_of(differences, 1 / 2, level)
    assert row.resolution == replace(wanted, seen=wanted.sd * looks.seen(ALPHA))
    assert row.posterior.decided == 1 - level
    assert row.second.test.p == looks.test(differences_of(row.result, baseline.result, "ap")).p


def test_other_studies_are_tested_once(tmp_path: Path) -> None:
    assert looks_of(make_study(tmp_path / "s", ALPHAS[:1], corpus=make_corpus(**SMALL)).study) is None
