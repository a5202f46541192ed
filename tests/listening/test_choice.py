"""Which clips are worth hearing, from scores made by hand."""

import numpy as np
import pytest

from audiotag.metrics import tag_thresholds
from study.listening.choice import (
    Choice,
    ScoredClips,
    by_clip,
    choose_disagreements,
    choose_mistakes,
    fold_thresholds,
)

TARGETS = np.array([[1], [1], [1], [0], [0], [0]])


def row(scores: list[float], targets: np.ndarray = TARGETS, threshold: float = 0.5) -> ScoredClips:
    """A row with one threshold everywhere."""
    values = np.array(scores, dtype=np.float64).reshape(targets.shape)
    return ScoredClips(targets, values, np.full(targets.shape, threshold))


# reference


def test_the_worst_are_farthest_from_their_thresholds() -> None:
    """Clips 1 and 2 are missed, 2 by more; 3 and 5 are false alarms, 5 at its threshold."""
    found = choose_mistakes(row([0.9, 0.4, 0.1, 0.8, 0.2, 0.5]), most=3)
    assert found == [
        Choice(0, "missed", 0, 2),
        Choice(1, "missed", 0, 1),
        Choice(0, "false alarm", 0, 3),
        Choice(1, "false alarm", 0, 5),
    ]


def test_distances_are_log_odds() -> None:
    """.001 is farther below a threshold of .1 than .5 is below one of .9, though the difference is smaller."""
    targets = np.ones((2, 1), int)
    scored = ScoredClips(targets, np.array([[0.001], [0.5]]), np.array([[0.1], [0.9]]))
    assert scored.distances[:, 0] == pytest.approx([np.log(0.001 / 0.999 * 9), -np.log(9)])
    assert [one.clip for one in choose_mistakes(scored, 2)] == [0, 1]


def test_thresholds_are_those_of_each_fold() -> None:
    rng = np.random.default_rng(0)
    targets, scores, folds = rng.integers(0, 2, (30, 2)), rng.random((30, 2)), np.arange(30) % 3
    found = fold_thresholds(targets, scores, folds)
    for fold in range(3):
        own = tag_thresholds(targets[folds == fold], scores[folds == fold])
        assert (found[folds == fold] == own).all()


def test_rows_disagree_where_one_of_them_is_right() -> None:
    """Clip 0: both right; 1 and 4: only the second; 2 and 3: only the first, 3 with the larger gap; 5: both wrong."""
    first = row([0.9, 0.4, 0.6, 0.1, 0.6, 0.9])
    second = row([0.6, 0.6, 0.4, 0.9, 0.2, 0.9])
    found = choose_disagreements(first, second, most=4)
    assert [(one.kind, one.clip) for one in found] == [
        ("only the first", 3),
        ("only the first", 2),
        ("only the second", 4),
        ("only the second", 1),
    ]
    assert [one.rank for one in found] == [0, 0, 0, 0]  # two of a kind weigh as one mistake per tag


def test_a_clip_is_there_once_with_the_tag_of_the_largest_gap() -> None:
    targets = np.zeros((2, 2), int)
    first, second = row([0.1, 0.1, 0.1, 0.1], targets), row([0.6, 0.9, 0.7, 0.1], targets)
    found = choose_disagreements(first, second, most=4)
    assert [(one.clip, one.tag) for one in found] == [(0, 1), (1, 0)]


def test_the_most_important_clips_come_first() -> None:
    choices = [Choice(1, "missed", 0, 7), Choice(0, "false alarm", 0, 8), Choice(0, "missed", 1, 7)]
    assert by_clip(choices) == [7, 8]
    assert by_clip(choices[:2]) == [8, 7]


# degenerate


def test_a_tag_without_a_threshold_is_never_wrong() -> None:
    found = row([0.9, 0.4, 0.1, 0.8, 0.2, 0.5], threshold=np.nan)
    assert choose_mistakes(found, 3) == []
    assert choose_disagreements(found, row([0.1, 0.4, 0.1, 0.8, 0.2, 0.5], threshold=np.nan), 3) == []


def test_scores_of_0_and_1_are_finite_distances() -> None:
    assert np.isfinite(row([0.0, 1.0, 0.5, 0.0, 1.0, 0.5]).distances).all()


def test_a_clip_whose_label_is_unknown_is_no_mistake() -> None:
    targets = np.array([[1], [1], [1], [np.nan], [0], [np.nan]])
    found = row([0.1, 0.9, 0.9, 0.9, 0.1, 0.1], targets)
    assert found.wrong[:, 0].tolist() == [True, False, False, False, False, False]
    thresholds = fold_thresholds(targets, found.scores, np.zeros(6))
    assert thresholds[0, 0] == tag_thresholds(targets[[0, 1, 2, 4]], found.scores[[0, 1, 2, 4]])[0]
