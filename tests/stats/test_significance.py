"""The corrected t and Holm against worked examples, and how often they call equal rows different."""

import math

import numpy as np
import pytest

from study.stats.significance import ALPHA, corrected_t, holm, verdict

FIVE_FOLDS = 1 / 4  # test clips per training clip
STUDIES = 1000

# reference


def t_distribution(t: float) -> float:
    """The distribution function of Student's t with 4 degrees of freedom, in closed form."""
    square = t * t / (1 + t * t / 4)
    return 0.5 + 3 / 8 * math.copysign(math.sqrt(square), t) * (1 - square / 12)


def test_corrected_t_worked_by_hand() -> None:
    """Mean -.02, variance .00025, standard error sqrt(.45 x .00025) = .0106066, so t = -1.885618."""
    test = corrected_t([-0.02, -0.01, -0.03, 0.0, -0.04], FIVE_FOLDS)
    assert test is not None
    assert test.folds == 5
    assert test.difference == pytest.approx(-0.02)
    assert test.t == pytest.approx(-1.885618, abs=1e-6)
    assert test.p == pytest.approx(2 * t_distribution(-1.885618), abs=1e-6)
    assert (test.low, test.high) == pytest.approx((-0.02 - 2.776445 * 0.0106066, -0.02 + 2.776445 * 0.0106066))


def test_holm_as_published() -> None:
    """The worked example of the encyclopedias: of .01, .04, .03, .005 the first and the last are rejected at .05."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


# property


def false_finds(errors: np.ndarray, test_share: float) -> tuple[float, float]:
    """Of studies (studies, rows, folds) whose first row is the baseline: the share with a find, that of rows found."""
    found, rows = 0, 0
    for study in errors:
        p = [test.p for row in study[1:] if (test := corrected_t(row - study[0], test_share)) is not None]
        found += min(holm(p)) < ALPHA
        rows += sum(value < ALPHA for value in p)
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


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(-0.05, 0.01, (200, 5))
    assert np.mean([corrected_t(row, FIVE_FOLDS).p < ALPHA for row in differences]) > 0.95


def test_sign_and_order_do_not_matter() -> None:
    values = np.random.default_rng(0).normal(size=5)
    test, mirrored = corrected_t(values, 0.25), corrected_t(-values[::-1], 0.25)
    assert mirrored.p == pytest.approx(test.p)
    assert (mirrored.low, mirrored.high) == pytest.approx((-test.high, -test.low))


def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order() -> None:
    p = np.random.default_rng(0).random(20) ** 3
    adjusted = np.array(holm(list(p)))
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(20 * p, 1)).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


# degenerate


def test_too_few_folds() -> None:
    assert corrected_t([], 0.25) is None
    assert corrected_t([0.1], 0.25) is None
    assert verdict(None, None) == "not tested: fewer than two folds in common"


def test_differences_that_are_all_the_same() -> None:
    same, shifted = corrected_t([0.0] * 5, 0.25), corrected_t([-0.1] * 5, 0.25)
    assert (same.t, same.p) == (0.0, 1.0)
    assert (shifted.t, shifted.p) == (-math.inf, 0.0)
    assert verdict(same, 1.0) == "not distinguishable"
    assert verdict(shifted, 0.0) == "better than the baseline"
    assert verdict(corrected_t([0.1] * 5, 0.25), 0.0) == "worse than the baseline"
    assert verdict(shifted, 0.0, lower_is_better=False) == "worse than the baseline"


def test_no_comparisons() -> None:
    assert holm([]) == []
