import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from audiotag.metrics import equal_error_rate, equal_error_threshold, mean_defined, sample_variance, tag_eers

with (Path(__file__).parent / "reference" / "table1.csv").open(newline="") as file:
    TABLE_1 = list(csv.DictReader(file))
TAGS = "cmfvpbo"
# What the cells give where the printed number does not follow from them.
OTHER_VARIANCE = {"mixup 0.0": 5.31, "mixup_lp 1.5": 6.75}
OTHER_AVERAGE = {"mixup 0.0": "0.12", "mixup 5.0": "0.10"}

# (target, score) of each clip, with ties
ranked = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=2, max_size=40
)  # (target, score), with ties


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    targets, scores = np.array(pairs, dtype=np.float64).T
    assume(0 < targets.sum() < len(targets))
    return targets, scores


def challenge_eer(targets: np.ndarray, scores: np.ndarray) -> float:
    """The rule of the challenge's scorer, written out over scikit-learn's ROC points."""
    fpr, tpr, _ = roc_curve(targets, scores, drop_intermediate=False)
    points = [(0.0, 0.0), *zip(fpr.tolist(), tpr.tolist(), strict=True)]
    crossing = next(i for i, (x, y) in enumerate(points) if x + 1e-6 >= 1 - y)
    (x0, y0), (x1, y1) = points[crossing - 1], points[crossing]
    if abs(x1 - x0) < 1e-6:
        return x0
    slope = (y1 - y0) / (x1 - x0)
    offset = y0 - slope * x0
    return (1 - offset) / (1 + slope)


# --- reference ---


@settings(deadline=None, max_examples=200)
@given(ranked)
def test_eer_follows_the_rule_of_the_challenge(pairs: list[tuple[int, int]]) -> None:
    targets, scores = columns(pairs)
    assert equal_error_rate(targets, scores) == pytest.approx(challenge_eer(targets, scores), abs=1e-12)


def test_eer_follows_the_rule_of_the_challenge_on_many_clips() -> None:
    rng = np.random.default_rng(0)
    for positives in (1, 19, 400):
        targets = rng.permutation(np.arange(800) < positives).astype(np.float32)
        scores = (rng.normal(size=800) + targets).astype(np.float32)
        assert equal_error_rate(targets, scores) == pytest.approx(challenge_eer(targets, scores), abs=1e-12)


@pytest.mark.parametrize(
    ("ranking", "eer"),  # positives and negatives from the highest score to the lowest, those of one score in a word
    [
        ("P N P N", 1 / 2),  # horizontal: (0, 1/2) to (1/2, 1/2)
        ("P P N P N", 1 / 3),  # horizontal: (0, 2/3) to (1/2, 2/3)
        ("N P N N", 1 / 3),  # vertical step: (1/3, 0) to (1/3, 1)
        ("P N P P N", 1 / 2),  # vertical step: (1/2, 1/3) to (1/2, 2/3)
        ("N P P P P", 1.0),  # vertical step at the right end: (1, 0) to (1, 1/4)
        ("P PN", 1 / 3),  # slope 1/2: (0, 1/2) to (1, 1)
        ("PNN P", 2 / 3),  # slope 1/2 from the origin: (0, 0) to (1, 1/2)
        ("P PNN P N", 4 / 9),  # slope 1/2: (0, 1/3) to (2/3, 2/3)
        ("PPN N N", 1 / 4),  # slope 3 from the origin: (0, 0) to (1/3, 1)
    ],
)
def test_eer_by_hand(ranking: str, eer: float) -> None:
    clips = [(letter == "P", -place) for place, word in enumerate(ranking.split()) for letter in word]
    targets, scores = np.array(clips).T
    assert equal_error_rate(targets, scores) == pytest.approx(eer, abs=1e-12)


@pytest.mark.parametrize("row", TABLE_1, ids=lambda row: row["augmentation"])
def test_variance_of_table_1(row: dict[str, str]) -> None:
    variance = sample_variance([float(row[tag]) for tag in TAGS]) * 1e3
    printed = float(row["var"])
    expected = OTHER_VARIANCE.get(row["augmentation"], printed)
    assert variance == pytest.approx(expected, abs=0.01)
    assert (abs(variance - printed) > 0.2) == (row["augmentation"] in OTHER_VARIANCE)


@pytest.mark.parametrize("row", TABLE_1, ids=lambda row: row["augmentation"])
def test_average_of_table_1(row: dict[str, str]) -> None:
    average = float(mean_defined([float(row[tag]) for tag in TAGS]))
    expected = OTHER_AVERAGE.get(row["augmentation"], row["avg"])
    assert f"{average:.2f}" == expected
    assert average == pytest.approx(float(row["avg"]), abs=0.01)  # the cells, too, are rounded


def test_table_1_is_whole() -> None:
    assert len(TABLE_1) == 13
    exact = [row for row in TABLE_1 if f"{sample_variance([float(row[tag]) for tag in TAGS]) * 1e3:.2f}" == row["var"]]
    assert len(exact) == 9


def test_an_m_of_20_would_explain_the_printed_row_of_mixup_0() -> None:
    row = next(row for row in TABLE_1 if row["augmentation"] == "mixup 0.0")
    eers = [0.20 if tag == "m" else float(row[tag]) for tag in TAGS]
    assert (round(float(mean_defined(eers)), 2), round(sample_variance(eers) * 1e3, 2)) == (0.13, 6.13)


def test_each_tag_is_scored_by_its_own_column() -> None:
    targets = np.array([[1, 0, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1]])
    scores = np.array([[0.9, 0.9, 0.1], [0.8, 0.3, 0.2], [0.2, 0.2, 0.3], [0.1, 0.8, 0.4]])
    np.testing.assert_allclose(tag_eers(targets, scores), [0.0, 1.0, np.nan])


@pytest.mark.parametrize(
    ("positives", "negatives", "threshold"),
    [
        ([0.9, 0.8, 0.3], [0.7, 0.2, 0.1], 0.5),  # one of three missed, one let through, anywhere from .3 to .7
        ([0.9, 0.6], [0.4, 0.1], 0.5),  # no errors anywhere from .4 to .6
        ([0.5, 0.5], [0.5, 0.5], 0.5),  # all or nothing: the only score there is
        ([0.2], [0.8], 0.5),  # all errors between them
        # at .65 a half is missed, a third let through; at .45 none and a third: they meet after a third of the way
        ([0.9, 0.6], [0.7, 0.3, 0.1], 0.65 - 0.2 / 3),
    ],
)
def test_the_threshold_by_hand(positives: list[float], negatives: list[float], threshold: float) -> None:
    targets = np.repeat([1, 0], [len(positives), len(negatives)])
    assert equal_error_threshold(targets, np.array(positives + negatives)) == pytest.approx(threshold)


# --- property ---


@settings(deadline=None)
@given(ranked)
def test_eer_stays_under_a_monotone_map(pairs: list[tuple[int, int]]) -> None:
    targets, scores = columns(pairs)
    expected = equal_error_rate(targets, scores)
    assert 0 <= expected <= 1
    for mapped in (scores**3 - 1000, np.exp(scores), 1 / (1 + np.exp(-scores / 4)), scores.astype(np.float32)):
        assert equal_error_rate(targets, mapped) == expected


@settings(deadline=None)
@given(ranked, st.randoms(use_true_random=False))
def test_eer_does_not_know_the_order_of_the_clips(pairs: list[tuple[int, int]], random: object) -> None:
    targets, scores = columns(pairs)
    expected = equal_error_rate(targets, scores)
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert equal_error_rate(*columns(pairs)) == expected


@settings(deadline=None)
@given(ranked)
def test_eer_of_inverted_scores_and_of_swapped_classes_is_one_less_eer(pairs: list[tuple[int, int]]) -> None:
    targets, scores = columns(pairs)
    expected = 1 - equal_error_rate(targets, scores)
    assert equal_error_rate(targets, -scores) == pytest.approx(expected, abs=1e-6)
    assert equal_error_rate(1 - targets, scores) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(ranked, st.integers(2, 4))
def test_eer_of_repeated_clips_is_that_of_the_clips(pairs: list[tuple[int, int]], times: int) -> None:
    targets, scores = columns(pairs)
    expected = equal_error_rate(targets, scores)
    assert equal_error_rate(np.tile(targets, times), np.tile(scores, times)) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(ranked)
def test_misses_and_false_alarms_change_places_at_the_threshold(pairs: list[tuple[int, int]]) -> None:
    """Without the clips nearest to it as much or more is missed as is let through, with them as much or less."""
    targets, scores = columns(pairs)
    threshold = equal_error_threshold(targets, scores)
    nearest = scores[np.argmin(np.abs(scores - threshold))]
    positives, negatives = scores[targets == 1], scores[targets == 0]
    assert (positives <= nearest).mean() >= (negatives > nearest).mean() - 1e-9
    assert (positives < nearest).mean() <= (negatives >= nearest).mean() + 1e-9


# --- degenerate ---


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (1, 9), (9, 1), (7, 5)])
def test_eer_of_perfect_tied_and_inverted_scores(positives: int, negatives: int) -> None:
    targets = np.repeat([1, 0], [positives, negatives])
    falling = -np.arange(len(targets))
    assert equal_error_rate(targets, falling) == pytest.approx(0.0, abs=1e-12)
    assert equal_error_rate(targets, np.full(len(targets), 0.3)) == pytest.approx(0.5, abs=1e-12)
    assert equal_error_rate(targets, -falling) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("targets", [[0, 0, 0], [1, 1, 1], [1], []])
def test_eer_of_one_class_is_not_defined(targets: list[int]) -> None:
    assert np.isnan(equal_error_rate(np.array(targets), np.arange(len(targets))))


def test_targets_may_be_booleans_and_scores_single_precision() -> None:
    assert equal_error_rate(np.array([True, False]), np.array([0.9, 0.1], dtype=np.float32)) == 0.0


def test_the_mean_leaves_out_what_is_not_defined() -> None:
    nan = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_defined([0.1, nan, 0.3]) == pytest.approx(0.2)
        assert np.isnan(mean_defined([nan, nan]))
        assert np.isnan(mean_defined([]))
        values = np.array([[0.1, nan, nan], [0.3, 0.4, nan]])
        np.testing.assert_allclose(mean_defined(values, axis=0), [0.2, 0.4, nan])
        np.testing.assert_allclose(mean_defined(values, axis=1), [0.1, 0.35])


def test_the_sample_variance_leaves_out_what_is_not_defined() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sample_variance([1.0, np.nan, 3.0]) == pytest.approx(2.0)
        assert sample_variance(np.array([0.2, 0.2])) == 0.0
        assert np.isnan([sample_variance([0.3]), sample_variance([0.3, np.nan]), sample_variance([])]).all()


# --- malformed ---


@pytest.mark.parametrize(
    ("targets", "scores"), [(np.zeros(3), np.zeros(2)), (np.zeros((3, 1)), np.zeros((3, 1))), (np.zeros(()), 0.0)]
)
def test_shapes_that_differ_or_are_no_vector(targets: np.ndarray, scores: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shapes of `targets` and `scores` are .* must be one \(n,\): pass one tag"):
        equal_error_rate(targets, scores)


@pytest.mark.parametrize("value", [0.5, 2, -1, np.nan])
def test_targets_other_than_0_and_1(value: float) -> None:
    with pytest.raises(ValueError, match="`targets` holds values other than 0 and 1: pass the clips' own tags"):
        equal_error_rate(np.array([0, 1, value]), np.arange(3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("targets", [[0, 1, 1], [1, 1, 1]])
def test_scores_that_are_not_finite(value: float, targets: list[int]) -> None:
    with pytest.raises(ValueError, match="`scores` holds NaN or infinity: the model that gave them has diverged"):
        equal_error_rate(np.array(targets), np.array([0.1, 0.2, value]))
