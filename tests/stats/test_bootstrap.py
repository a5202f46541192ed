"""Resampled error rates against repeated clips, and the coverage of the intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiotag.metrics import METRICS, Metric, equal_error_rate, tag_eers
from study.ledger.clips import ScoredFold
from study.stats.bootstrap import (
    centred,
    draw_groups,
    interval,
    resampled_eers,
    resampled_figures,
    resampled_label_means,
    resampled_means,
    resampled_table,
)

EER = METRICS["eer"]
PEAK = Metric("peak", "Peak", lambda targets, scores: scores.max(axis=0), lower_is_better=False)  # no quick way
ScoredClips = tuple[ScoredFold, np.ndarray]

# reference


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 25))
def test_a_draw_is_the_eer_of_repeated_clips(seed: int, clips: int) -> None:
    rng = np.random.default_rng(seed)
    targets = (rng.random(clips) < 0.4).astype(np.float32)
    scores = rng.integers(0, 8, clips).astype(np.float32) / 8  # with ties
    groups = rng.integers(0, 6, clips)
    counts = rng.integers(0, 4, (3, 6)).astype(np.float32)
    for drawn, found in zip(counts, resampled_eers(targets, scores, groups, counts), strict=True):
        repeats = drawn[groups].astype(int)
        repeated, its_scores = np.repeat(targets, repeats), np.repeat(scores, repeats)
        wanted = equal_error_rate(repeated, its_scores) if len(repeated) else np.nan
        assert found == pytest.approx(wanted, abs=1e-5, nan_ok=True)


def figures_of(metric: Metric, targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, float]:
    return metric.score(targets, scores) if len(targets) else (np.full(targets.shape[1], np.nan), np.nan)


@pytest.mark.parametrize("metric", [*METRICS.values(), PEAK], ids=lambda metric: metric.name)
@pytest.mark.parametrize("one_tag", [False, True])
def test_a_draw_of_any_metric_is_its_figure_of_repeated_clips(metric: Metric, one_tag: bool) -> None:
    rng = np.random.default_rng(3)
    for clips in (1, 4, 25, 60):
        targets = (rng.random((clips, 3)) < (0.4, 0.1, 1.1)).astype(np.uint8)  # the last tag has one class
        targets = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, clips)] if one_tag else targets
        scores = rng.integers(0, 8, targets.shape).astype(np.float32) / 8  # with ties
        groups, counts = rng.integers(0, 6, clips), rng.integers(1, 4, (4, 6)).astype(np.float32)
        counts[0] = 0
        counts[1, :3] = 0
        found = resampled_figures(metric, targets, scores, groups, counts) if metric is not PEAK else None
        if found is None:
            found = resampled_figures(metric, targets, scores, groups, counts[2:])
        for drawn, own in zip(counts[-len(found) :], found, strict=True):
            chosen = np.repeat(np.arange(clips), drawn[groups].astype(int))
            wanted, mean = figures_of(metric, targets[chosen], scores[chosen])
            assert own == pytest.approx(wanted, abs=1e-5, nan_ok=True)
            if metric.by_label is not None:
                (whole,) = resampled_label_means([(ScoredFold(targets, groups), scores)], drawn[None], metric)
                assert whole == pytest.approx(mean, abs=1e-6, nan_ok=True)


def study(rng: np.random.Generator, groups: int, clips: int, separation: float) -> tuple[list[ScoredClips], float]:
    """Five folds of groups whose clips share half of their scores' variance and lean to the same tags; two tags.

    Returns the folds with their scores, and the mean EER as a table forms it.
    """
    group = np.repeat(np.arange(groups), clips)
    lean = rng.normal(size=(groups, 2))[group]
    targets = (0.8 * rng.normal(size=lean.shape) + 0.6 * lean < (-0.5, -1.2)).astype(np.float32)
    noise = np.sqrt(0.5) * (rng.normal(size=(groups, 2))[group] + rng.normal(size=lean.shape))
    scores = (separation * targets + noise).astype(np.float32)
    parts = [group % 5 == k for k in range(5)]
    folds = [(ScoredFold(targets[part], group[part]), scores[part]) for part in parts]
    eers = [tag_eers(fold.targets, own) for fold, own in folds]
    return folds, float(np.nanmean(np.nanmean(eers, axis=0)))


def test_coverage() -> None:
    """Of 95 % intervals, 92 to 98 % hold the figure that such studies have on average."""
    rng, counts = np.random.default_rng(0), draw_groups(60, draws=200)
    studies = [study(rng, 60, 12, separation=2.0) for _ in range(200)]
    average = np.mean([figure for _, figure in studies])
    held = []
    for folds, figure in studies:
        low, high = interval(resampled_means(resampled_table(folds, counts, EER)), figure, EER)
        held.append(low <= average <= high)
    assert 0.92 <= np.mean(held) <= 0.98


def test_drawing_clips_instead_of_groups_is_too_sure() -> None:
    rng = np.random.default_rng(1)
    folds, figure = study(rng, 60, 12, separation=2.0)
    by_group = interval(resampled_means(resampled_table(folds, draw_groups(60), EER)), figure, EER)
    ends = np.cumsum([0, *(len(scores) for _, scores in folds)])
    clips = [(ScoredFold(fold.targets, np.arange(*ends[k : k + 2])), own) for k, (fold, own) in enumerate(folds)]
    by_clip = interval(resampled_means(resampled_table(clips, draw_groups(ends[-1]), EER)), figure, EER)
    assert by_group[1] - by_group[0] > 1.2 * (by_clip[1] - by_clip[0])


# property


@pytest.mark.parametrize("ties", [False, True])
def test_fewer_draws_than_groups_have_the_bits_of_many(ties: bool) -> None:
    """They are counted in another way."""
    rng = np.random.default_rng(0)
    targets, scores = (rng.random(90) < 0.1).astype(float), rng.random(90).astype(np.float32)
    arguments, counts = (targets, scores.round(1) if ties else scores, rng.integers(0, 20, 90)), draw_groups(20)
    few = [resampled_eers(*arguments, part) for part in np.split(counts, 100)]
    np.testing.assert_array_equal(np.concatenate(few), resampled_eers(*arguments, counts))


def test_every_group_drawn_once_gives_the_figure_itself() -> None:
    folds, figure = study(np.random.default_rng(2), 20, 15, separation=1.0)
    table = resampled_table(folds, np.ones((1, 20), np.float32), EER)
    assert resampled_means(table) == pytest.approx([figure], abs=1e-6)


def test_draws_are_repeatable_and_as_many_groups_as_there_are() -> None:
    counts = draw_groups(7, draws=50)
    assert np.array_equal(counts, draw_groups(7, draws=50))
    assert (counts.sum(axis=1) == 7).all()


def test_intervals_lie_around_the_figure() -> None:
    draws = np.random.default_rng(0).normal(0.2, 0.01, 1000)
    low, high = interval(draws, 0.3, EER)
    assert (low, high) == pytest.approx((0.3 - 0.0196, 0.3 + 0.0196), abs=0.002)
    assert centred(draws, 0.3).mean() == pytest.approx(0.3)
    assert interval(draws, 0.01, EER)[0] == 0.0  # no error rate is lower
    assert interval(draws, 0.99, METRICS["ap"])[1] == 1.0  # and no precision higher
    assert interval(draws, 2.5, METRICS["dprime"])[1] > 2.5


# degenerate


def test_a_class_that_was_not_drawn_has_no_eer() -> None:
    targets, scores, groups = np.array([1.0, 0.0, 0.0]), np.array([0.9, 0.5, 0.1]), np.array([0, 1, 2])
    eers = resampled_eers(targets, scores, groups, np.array([[0, 2, 1], [3, 0, 0], [1, 1, 1]], np.float32))
    assert eers == pytest.approx([np.nan, np.nan, 0.0], nan_ok=True)


def test_a_draw_without_a_tag_is_left_out_of_the_mean() -> None:
    table = np.array([[0.1, 0.3, np.nan], [0.1, np.nan, np.nan]])  # the third tag has no EER at all
    assert resampled_means(table) == pytest.approx([0.2, np.nan], nan_ok=True)
    assert np.isnan(resampled_means(np.full((2, 1), np.nan))).all()


def test_no_interval_where_there_is_too_little() -> None:
    assert interval(np.full(100, np.nan), 0.1, EER) is None
    assert interval(np.array([0.1] * 40 + [np.nan] * 60), 0.1, EER) is None
    assert interval(np.full(100, 0.1), 0.1, EER) is None  # one group: nothing to draw from


# unknown labels


@pytest.mark.parametrize("metric", [*METRICS.values(), PEAK], ids=lambda metric: metric.name)
def test_scores_of_unknown_labels_change_no_draw(metric: Metric) -> None:
    rng = np.random.default_rng(5)
    targets = np.where(rng.random((40, 3)) < 0.3, np.nan, rng.random((40, 3)) < 0.4)
    if metric.name == "accuracy":
        targets = np.where(np.eye(3)[rng.integers(0, 3, 40)] == 1, 1, np.where(np.isnan(targets), np.nan, 0))
    targets[:, 2] = np.nan if metric.name in ("eer", "lwlrap") else targets[:, 2]
    scores, groups = rng.random(targets.shape), np.arange(40) // 5
    others = np.where(np.isnan(targets), rng.random(targets.shape), scores) if metric is not PEAK else scores
    counts = draw_groups(8, 20)
    tables = [resampled_figures(metric, targets, own, groups, counts) for own in (scores, others)]
    np.testing.assert_array_equal(*tables)
    assert not np.isnan(tables[0][:, 0]).all()


@pytest.mark.parametrize("name", ["eer", "ap", "auroc", "dprime"])
def test_a_draw_of_partly_known_labels_is_one_of_the_clips_where_they_are_known(name: str) -> None:
    rng = np.random.default_rng(6)
    targets = np.where(rng.random((60, 2)) < 0.3, np.nan, rng.random((60, 2)) < 0.4)
    scores, groups, counts = rng.random(targets.shape), np.arange(60) // 5, draw_groups(12, 20)
    found = resampled_figures(METRICS[name], targets, scores, groups, counts)
    for k, known in enumerate(~np.isnan(targets.T)):
        own = resampled_figures(METRICS[name], targets[known, k, None], scores[known, k, None], groups[known], counts)
        np.testing.assert_array_equal(found[:, k], own[:, 0])
