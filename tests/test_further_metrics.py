"""The metrics beside the EER against scikit-learn, by hand, and in degenerate cases; what all of METRICS share."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    label_ranking_average_precision_score,
    recall_score,
    roc_auc_score,
)

from audiotag.metrics import DEFAULT, METRICS


def random_case(seed: int, one_tag: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Targets and scores (n, K), both with ties and tags of one class."""
    rng = np.random.default_rng(seed)
    clips, tags = rng.integers(1, 60), rng.integers(2, 9)
    targets = (rng.random((clips, tags)) < rng.choice([0.0, 0.1, 0.4, 0.9, 1.0], tags)).astype(np.float32)
    if one_tag:
        targets = np.eye(tags, dtype=np.float32)[rng.integers(0, tags, clips)]
    grid = rng.integers(2, 30)
    return targets, (rng.integers(0, grid, targets.shape) / grid).astype(np.float32)


SEEDS = range(150)


@pytest.mark.parametrize(("name", "reference"), [("ap", average_precision_score), ("auroc", roc_auc_score)])
def test_each_tags_figure_is_that_of_scikit_learn(name: str, reference: Callable[..., float]) -> None:
    metric, defined = METRICS[name], 0
    for targets, scores in map(random_case, SEEDS):
        found, mean = metric.score(targets, scores)
        both = [0 < column.sum() < len(column) for column in targets.T]
        wanted = [reference(targets[:, k], scores[:, k]) if both[k] else np.nan for k in range(len(both))]
        np.testing.assert_allclose(found, wanted, atol=1e-9, rtol=0)
        assert mean == pytest.approx(np.nanmean(wanted) if any(both) else np.nan, abs=1e-9, nan_ok=True)
        defined += sum(both)
    assert defined > 300


def test_d_prime_is_the_quantile_of_scikit_learns_area() -> None:
    for targets, scores in map(random_case, SEEDS):
        found, _ = METRICS["dprime"].score(targets, scores)
        for k, own in enumerate(found):
            if np.isnan(own):
                assert not 0 < targets[:, k].sum() < len(targets)
            elif 0 < (area := roc_auc_score(targets[:, k], scores[:, k])) < 1:
                assert own == pytest.approx(np.sqrt(2) * ndtri(area), abs=1e-9)


def test_lwlrap_is_scikit_learns_ranking_precision_weighted_by_labels() -> None:
    for targets, scores in map(random_case, SEEDS):
        found, mean = METRICS["lwlrap"].score(targets, scores)
        labels = targets.sum(axis=1)
        if not labels.any():
            assert np.isnan([*found, mean]).all()
            continue
        wanted = label_ranking_average_precision_score(targets, scores, sample_weight=labels)
        assert mean == pytest.approx(wanted, abs=1e-9)
        clips = targets.sum(axis=0)
        assert np.array_equal(np.isnan(found), clips == 0)
        assert np.nansum(found * clips) / clips.sum() == pytest.approx(wanted, abs=1e-9)


def test_accuracy_is_scikit_learns_where_each_clip_has_one_tag() -> None:
    for seed in SEEDS:
        targets, scores = random_case(seed, one_tag=True)
        found, mean = METRICS["accuracy"].score(targets, scores)
        truth, said = targets.argmax(axis=1), scores.argmax(axis=1)
        assert mean == pytest.approx(accuracy_score(truth, said), abs=1e-9)
        there = np.flatnonzero(targets.any(axis=0))
        wanted = recall_score(truth, said, labels=there, average=None, zero_division=0.0)
        np.testing.assert_allclose(found[there], wanted, atol=1e-9)
        assert np.isnan(np.delete(found, there)).all()


@pytest.mark.parametrize("row", [[0, 0, 0], [1, 1, 0]])
def test_accuracy_does_not_exist_where_a_clip_has_no_tag_or_several(row: list[int]) -> None:
    targets = np.array([[1, 0, 0], [0, 1, 0], row])
    found, mean = METRICS["accuracy"].score(targets, np.random.default_rng(0).random(targets.shape))
    assert np.isnan([*found, mean]).all()


def test_metrics_worked_by_hand() -> None:
    """Tag 0: .9 right, .8 wrong, .7 right: precisions 1 and 2/3; three of four pairs in order."""
    targets, scores = (
        np.array([[1, 0], [0, 1], [1, 0], [0, 1]]),
        np.array([[0.9, 0.1], [0.8, 0.6], [0.7, 0.8], [0.1, 0.9]]),
    )
    figures = {name: metric.score(targets, scores) for name, metric in METRICS.items()}
    assert figures["ap"][0][0] == pytest.approx(5 / 6)
    assert figures["auroc"][0][0] == 0.75
    assert figures["dprime"][0][0] == pytest.approx(0.953873, abs=1e-6)
    assert figures["lwlrap"] == (pytest.approx([0.75, 0.75]), 0.75)
    assert figures["accuracy"] == (pytest.approx([0.5, 0.5]), 0.5)


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (3, 50), (200, 200)])
def test_d_prime_without_an_error_is_finite_and_no_lower_than_with_one(positives: int, negatives: int) -> None:
    targets = np.array([[1]] * positives + [[0]] * negatives)
    perfect = np.arange(len(targets), 0.0, -1)[:, None]
    (best,), _ = METRICS["dprime"].score(targets, perfect)
    (worst,), _ = METRICS["dprime"].score(targets, -perfect)
    tied = perfect.copy()
    tied[positives] = perfect[positives - 1]
    (with_a_tie,), _ = METRICS["dprime"].score(targets, tied)
    assert np.isfinite(best)
    assert best >= with_a_tie - 1e-12
    assert worst == pytest.approx(-best)


def test_the_direction_stands_in_one_place() -> None:
    lower, higher = METRICS["eer"], METRICS["ap"]
    assert (lower.direction, higher.direction) == ("minimize", "maximize")
    assert lower.rank(0.1) < lower.rank(0.2) < lower.rank(None)
    assert higher.rank(0.2) < higher.rank(0.1) < higher.rank(None)
    assert next(iter(METRICS)) == DEFAULT == "eer"


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_better_for_better_scores(name: str) -> None:
    metric, rng = METRICS[name], np.random.default_rng(1)
    targets = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 80)]
    noise = rng.random(targets.shape)
    ranks = [metric.rank(metric.score(targets, noise + gain * targets)[1]) for gain in (0.0, 0.3, 0.8)]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == 3
    assert metric.limits[0] <= metric.score(targets, noise)[1] <= metric.limits[1]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("targets", "scores"),
    [([[0.5], [1.0]], [[0.1], [0.2]]), ([[1], [0]], [[np.nan], [0.2]]), ([[1], [0]], [[0.1, 0.2], [0.3, 0.4]])],
)
def test_every_metric_refuses_what_is_no_tags_or_no_scores(name: str, targets: list[Any], scores: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"targets|scores|zip|shape"):
        METRICS[name].score(np.array(targets), np.array(scores))


def test_metrics_import_nothing_but_numpy() -> None:
    script = "import sys, audiotag.metrics\nprint([n for n in ('sklearn', 'scipy', 'torch') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- unknown labels ---


def hidden(targets: np.ndarray, seed: int, share: float = 0.3) -> np.ndarray:
    """The targets with a share of them unknown."""
    unknown = np.random.default_rng((seed, 1)).random(targets.shape) < share
    return np.where(unknown, np.nan, targets)


@pytest.mark.parametrize("name", METRICS)
def test_scores_of_unknown_labels_change_nothing(name: str) -> None:
    for seed in SEEDS:
        targets, scores = random_case(seed, one_tag=name == "accuracy")
        partly = hidden(targets, seed)
        others = np.where(np.isnan(partly), np.random.default_rng((seed, 2)).random(scores.shape), scores)
        assert str(METRICS[name].score(partly, scores)) == str(METRICS[name].score(partly, others))


@pytest.mark.parametrize("name", ["eer", "ap", "auroc", "dprime"])
def test_a_tags_figure_is_that_of_the_clips_where_it_is_known(name: str) -> None:
    defined = 0
    for seed in SEEDS:
        targets, scores = random_case(seed)
        partly = hidden(targets, seed)
        found = METRICS[name].by_tag(partly, scores)
        for k, known in enumerate(~np.isnan(partly.T)):
            own, its = partly[known, k : k + 1], scores[known, k : k + 1]
            np.testing.assert_array_equal(found[k], METRICS[name].by_tag(own, its)[0])
            if name in ("ap", "auroc") and 0 < own.sum() < len(own):
                reference = average_precision_score if name == "ap" else roc_auc_score
                assert found[k] == pytest.approx(reference(own[:, 0], its[:, 0]), abs=1e-9)
                defined += 1
    assert defined > 200 or name not in ("ap", "auroc")


def test_lwlrap_ranks_the_known_tags_of_each_clip_as_scikit_learn_does() -> None:
    for seed in SEEDS:
        targets, scores = random_case(seed)
        partly = hidden(targets, seed)
        single, weights = [], []
        for own, its in zip(partly, scores, strict=True):
            known = ~np.isnan(own)
            if labels := int(np.nansum(own)):
                single.append(label_ranking_average_precision_score(own[None, known], its[None, known]))
                weights.append(labels)
        wanted = np.average(single, weights=weights) if single else np.nan
        assert METRICS["lwlrap"].score(partly, scores)[1] == pytest.approx(wanted, abs=1e-9, nan_ok=True)


def test_accuracy_is_scikit_learns_among_the_known_tags_of_each_clip() -> None:
    for seed in SEEDS:
        targets, scores = random_case(seed, one_tag=True)
        partly = np.where(targets == 1, 1, hidden(targets, seed))
        said = np.where(np.isnan(partly), -1, scores).argmax(axis=1)
        wanted = accuracy_score(targets.argmax(axis=1), said)
        assert METRICS["accuracy"].score(partly, scores)[1] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_without_a_known_label_there_is_no_figure(name: str) -> None:
    figures, mean = METRICS[name].score(np.full((4, 2), np.nan), np.zeros((4, 2)))
    assert np.isnan([*figures, mean]).all()
