"""The corrected t and Holm against worked examples, and how often they call equal rows different."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from audiotag.metrics import METRICS, equal_error_rate
from study.stats.significance import ALPHA, PairedTest, Untested, adjust, corrected_t, holm, holm_levels, outcome

EER, AP = METRICS["eer"], METRICS["ap"]
FIVE_FOLDS = 1 / 4  # test clips per training clip
STUDIES = 1000

# reference


def test_corrected_t_worked_by_hand() -> None:
    """Mean -.02, variance .00025, standard error sqrt(.45 x .00025) = .0106066, so t = -1.885618."""
    test = corrected_t([-0.02, -0.01, -0.03, 0.0, -0.04], FIVE_FOLDS)
    assert (test.difference, test.t) == (pytest.approx(-0.02), pytest.approx(-1.885618, abs=1e-6))
    assert (test.low, test.high) == pytest.approx((-0.02 - 2.776445 * 0.0106066, -0.02 + 2.776445 * 0.0106066))


def test_without_test_clips_it_is_the_plain_t_test() -> None:
    values = np.random.default_rng(0).normal(size=5)
    test, plain = corrected_t(values, 0.0), ttest_1samp(values, 0.0)
    assert (test.t, test.p) == pytest.approx((plain.statistic, plain.pvalue))
    assert (test.low, test.high) == pytest.approx(tuple(plain.confidence_interval()))


def test_holm_as_published() -> None:
    """The worked example of the encyclopedias: of .01, .04, .03, .005 the first and the last are rejected at .05."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


# property


def false_finds(errors: np.ndarray, test_share: float) -> tuple[float, float]:
    """Of studies (studies, rows, folds) whose first row is the baseline: the share with a find, that of rows found."""
    found, rows = 0, 0
    for study in errors:
        tests = [corrected_t(row - study[0], test_share) for row in study[1:]]
        found += any(p is not None and p < ALPHA for p in adjust(tests))
        rows += sum(isinstance(test, PairedTest) and test.p < ALPHA for test in tests)
    return found / len(errors), rows / (len(errors) * (errors.shape[1] - 1))


def test_false_finds_where_overlap_correlates_the_folds() -> None:
    """The model that Nadeau and Bengio start from: equal rows, a correlation of .2 between the differences of folds."""
    rng = np.random.default_rng(0)
    shape = (STUDIES, 7, 5)
    errors = math.sqrt(0.8) * rng.normal(size=shape) + math.sqrt(0.2) * rng.normal(size=(STUDIES, 7, 1))
    found, single = false_finds(errors, FIVE_FOLDS)
    assert found <= 0.06
    assert single == pytest.approx(0.05, abs=0.015)
    _, plain = false_finds(errors, 0.0)
    assert plain > 0.1  # the plain paired t-test


def test_false_finds_of_classifiers_that_are_equally_good() -> None:
    """Seven classifiers a study, cross-validated on data of its own: weighted class means, the weights pure chance."""
    rng = np.random.default_rng(0)
    clips, dimensions = 60, 8
    label = rng.choice([-1.0, 1.0], (STUDIES, clips))
    data = 0.37 * label[..., None] + rng.normal(size=(STUDIES, clips, dimensions))
    weights = rng.exponential(size=(STUDIES, 7, clips)) * label[:, None]
    fold = np.arange(clips) % 5
    errors = np.empty((STUDIES, 7, 5))
    for k in range(5):
        direction = weights[:, :, fold != k] @ data[:, fold != k]
        errors[:, :, k] = (direction @ data[:, fold == k].swapaxes(1, 2) * label[:, None, fold == k] < 0).mean(axis=2)
    assert 0.1 < errors.mean() < 0.3
    assert false_finds(errors, FIVE_FOLDS)[0] <= 0.06


@pytest.mark.parametrize("clips", [8, 12, 20])
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_false_finds_in_small_folds(folds: int, clips: int) -> None:
    """Their EERs have few values, so that equal rows often differ by the same in every fold: up to 13 % were found."""
    rng = np.random.default_rng(0)
    targets, studies = np.repeat([0, 1], clips // 2), 300
    scores = targets + rng.normal(size=(studies, 2, folds, clips))
    errors = np.apply_along_axis(lambda row: equal_error_rate(targets, row), 3, scores)
    assert false_finds(errors, 1 / (folds - 1))[1] <= 0.03


def test_an_untested_comparison_counts_for_the_correction() -> None:
    tests = [corrected_t([0.1, 0.12, 0.11], 0.5), corrected_t([0.1] * 3, 0.5), corrected_t([0.1, 0.2, 0.4], 0.5)]
    first, none, last = adjust(tests)
    assert none is None
    assert [first, last] == holm([tests[0].p, 1.0, tests[2].p])[::2]
    assert first == pytest.approx(3 * tests[0].p)


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(-0.05, 0.01, (200, 5))
    assert np.mean([corrected_t(row, FIVE_FOLDS).p < ALPHA for row in differences]) > 0.95


def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order() -> None:
    p = np.random.default_rng(0).random(20) ** 3
    adjusted = np.array(holm(list(p)))
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(20 * p, 1)).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


# degenerate


@pytest.mark.parametrize(("differences", "mean"), [([], None), ([0.1], 0.1), ([0.1, 0.11], pytest.approx(0.105))])
def test_too_few_folds_are_not_tested(differences: list[float], mean: float | None) -> None:
    found = corrected_t(differences, 0.25)
    assert isinstance(found, Untested)
    assert found.difference == mean
    assert outcome(found, None, EER) == "untested"


def test_no_comparisons() -> None:
    assert holm([]) == adjust([]) == []


TWELFTHS = [5 / 12 - 4 / 12, 4 / 12 - 3 / 12, 3 / 12 - 2 / 12]


@pytest.mark.parametrize("differences", [[-0.1] * 5, [0.1] * 3, TWELFTHS], ids=["below", "above", "rounded"])
def test_the_same_difference_in_every_fold_is_not_tested(differences: list[float]) -> None:
    found = corrected_t(differences, 0.25)
    assert isinstance(found, Untested)
    assert found.difference == pytest.approx(differences[0])
    assert outcome(found, None, EER) == "untested"
    assert "same" in found.reason


def test_equal_rows_are_not_tested() -> None:
    found = corrected_t([0.0] * 5, 0.25)
    assert found == Untested(0.0, "equal in every fold")
    assert adjust([found]) == [None]


def test_the_outcome_knows_which_figures_are_good() -> None:
    lower, higher = corrected_t([-0.1, -0.11, -0.12], 0.5), corrected_t([0.1, 0.11, 0.12], 0.5)
    assert outcome(lower, 0.01, EER) == outcome(higher, 0.01, AP) == "better"
    assert outcome(higher, 0.01, EER) == outcome(lower, 0.01, AP) == "worse"
    assert outcome(lower, 0.05, EER) == "indistinguishable"


def test_levels_worked_by_hand() -> None:
    """Of .01, .04, .03 and .005 Holm calls the first and the last real. Either needs the level that the other leaves
    (.05 / 3); the two in between need .05 / 2.
    """
    assert holm_levels([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 3])
    assert holm_levels([0.7]) == [0.05]
    assert holm_levels([]) == []


def test_a_p_below_its_level_is_called_real_and_one_above_is_not() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = (rng.random(5) ** 4).tolist()
        for place, level in enumerate(holm_levels(p)):
            for factor, real in ((0.999, True), (1.001, False)):
                moved = [*p[:place], factor * level, *p[place + 1 :]]
                assert (holm(moved)[place] < ALPHA) == real
