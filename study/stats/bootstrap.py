"""How far a figure would move on other recordings: the bootstrap over groups.

Clips of one recording are near-duplicates, so whole groups are drawn with replacement, and a clip counts as often as
its group was drawn. All rows of a study share the draws. The networks are fixed: the intervals do not cover the
variation between training runs.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtri

from audiotag.metrics import CROSSING, Metric, mean_defined
from study.ledger.clips import ScoredFold

DRAWS, SEED = 1000, 0
CONFIDENCE = 0.95

# points of each draw's ROC curve (R,) to false and true positive rates (R, 2)
Rates = Callable[[np.ndarray], np.ndarray]


def draw_groups(n_groups: int, draws: int = DRAWS) -> np.ndarray:
    """Draw how often each group counts, (draws, groups) float32; each row sums to the number of groups."""
    shares = np.full(n_groups, 1 / n_groups)
    return np.random.default_rng(SEED).multinomial(n_groups, shares, size=draws).astype(np.float32)


def resampled_eers(targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Compute the EER of one tag (R,) in each draw: `equal_error_rate` with every clip repeated as often as its group.

    Args:
        targets: (n,) of 0 and 1.
        scores: (n,).
        groups: (n,), columns of `counts`.
        counts: (R, G).

    Returns:
        (R,), NaN where no positive or no negative clip was drawn.
    """
    draws, n_groups = counts.shape  # one takes time of clips x groups, the other of clips x draws
    points, rates = (_rates_by_group if n_groups < draws else _rates_by_clip)(targets, scores, groups, counts)
    low, high = np.zeros(len(counts), np.int64), np.full(len(counts), points - 1)
    while (high - low > 1).any():  # both rates rise along the curve: halve the way to where it crosses
        middle = (low + high) // 2
        beyond = rates(middle).sum(axis=1) >= 1 - CROSSING
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    (x0, y0), (x1, y1) = rates(low).astype(np.float64).T, rates(high).astype(np.float64).T
    with np.errstate(invalid="ignore"):  # where the line from (x0, y0) to (x1, y1) meets y = 1 - x
        return x0 + (x1 - x0) * (1 - x0 - y0) / (x1 - x0 + y1 - y0)


def _rates_by_group(
    targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> tuple[int, Rates]:
    """Count the points of the curves and give their rates; arguments as of `resampled_eers`.

    With 60 groups of 1,946 clips this takes a twelfth of the time that `_rates_by_clip` takes.
    """
    order = np.argsort(-scores, kind="stable")
    passed = np.zeros((len(scores) + 1, 2, counts.shape[1]), np.float32)
    passed[np.arange(len(scores)) + 1, targets[order].astype(np.int64), groups[order]] = 1
    passed = passed.cumsum(axis=0)[_ends_of_ties(scores[order])]  # (points, 2, G)
    totals = np.einsum("rg,kg->rk", counts, passed[-1])  # (R, 2)

    def rates(points: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.matmul(passed[points], counts[:, :, None])[:, :, 0] / totals

    return len(passed), rates


def _rates_by_clip(
    targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> tuple[int, Rates]:
    """As `_rates_by_group`, to the same bits; what this takes does not grow with the groups."""
    false, true = _drawn_counts(targets, scores, groups, counts)
    draws = np.arange(len(counts))

    def rates(points: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.stack([passed[points, draws] / passed[-1] for passed in (false, true)], axis=1)

    return len(false), rates


def _ends_of_ties(ranked: np.ndarray) -> np.ndarray:
    """Count the clips at and above each distinct score of some, the highest first; 0 in front."""
    return np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1, [len(ranked)]])


def resampled_aurocs(targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Compute the area under the ROC curve of one tag in each draw; arguments and result as of `resampled_eers`."""
    false, true = map(_by_draw, _drawn_counts(targets, scores, groups, counts))
    with np.errstate(invalid="ignore"):
        return (np.diff(false) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1) / (false[:, -1] * true[:, -1])


def resampled_d_primes(targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Compute the d' of one tag in each draw; arguments and result as of `resampled_eers`."""
    areas = resampled_aurocs(targets, scores, groups, counts)
    drawn = counts[:, groups].astype(np.float64)  # (R, n)
    half = 0.5 / np.maximum((drawn @ targets) * (drawn @ (1 - targets)), 1)
    return np.sqrt(2) * ndtri(np.clip(areas, half, 1 - half))


def resampled_average_precisions(
    targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Compute the average precision of one tag in each draw; arguments and result as of `resampled_eers`."""
    false, true = map(_by_draw, _drawn_counts(targets, scores, groups, counts))
    both = (false[:, -1] > 0) & (true[:, -1] > 0)
    precision = true[:, 1:] / np.maximum(true[:, 1:] + false[:, 1:], 1)  # nothing drawn down to a score: nothing found
    return np.divide((np.diff(true) * precision).sum(axis=1), true[:, -1], out=np.full(len(counts), np.nan), where=both)


def _drawn_counts(
    targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """False and true positives (points, R) float32 of each draw, down to each distinct score, zeros in front."""
    order = np.argsort(-scores, kind="stable")
    drawn, positive = counts.T[groups[order]], targets[order] == 1  # (n, R), (n,)
    found = []
    for label in (False, True):
        passed = np.zeros((len(order) + 1, len(counts)), np.float32)
        np.cumsum(drawn * (positive == label)[:, None], axis=0, out=passed[1:])
        found.append(passed[_ends_of_ties(scores[order])])
    return found[0], found[1]


def _by_draw(passed: np.ndarray) -> np.ndarray:
    """Such numbers as float64, (R, points)."""
    return passed.T.astype(np.float64, order="C")


RESAMPLED = {  # faster than clips repeated in each draw
    "eer": resampled_eers,
    "ap": resampled_average_precisions,
    "auroc": resampled_aurocs,
    "dprime": resampled_d_primes,
}


def resampled_figures(
    metric: Metric, targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Compute a metric's figure of each tag in each draw, (R, K), every clip repeated as often as its group.

    Args:
        metric: Whose figures.
        targets: (n, K) of 0 and 1, or NaN for a clip that is left out for a tag.
        scores: (n, K).
        groups: (n,), columns of `counts`.
        counts: (R, G).
    """
    if (resampled := RESAMPLED.get(metric.name)) is not None:
        tags = zip(targets.T, scores.T, ~np.isnan(targets.T), strict=True)  # (n,) each
        return np.stack(
            [
                resampled(own[known], its[known], groups[known], counts)
                if known.any()
                else np.full(len(counts), np.nan)
                for own, its, known in tags
            ],
            axis=1,
        )
    drawn = counts[:, groups]  # (R, n)
    if metric.by_label is not None:
        labels = metric.by_label(targets, scores)
        there = ~np.isnan(labels)
        return _ratio(drawn @ np.where(there, labels, 0), drawn @ there)
    repeated = [np.repeat(np.arange(len(targets)), own.astype(np.int64)) for own in drawn]
    return np.array([metric.by_tag(targets[clips], scores[clips]) for clips in repeated])


def resampled_table(folds: Sequence[tuple[ScoredFold, np.ndarray]], counts: np.ndarray, metric: Metric) -> np.ndarray:
    """Compute the mean over folds of each tag's figure in each draw, (R, K), as the table does.

    Args:
        folds: Clips and their scores (n, K).
        counts: (R, G).
        metric: Whose figures.
    """
    cells = []
    for fold, scores in folds:
        present, groups = np.unique(fold.groups, return_inverse=True)
        cells.append(resampled_figures(metric, fold.targets, scores, groups, counts[:, present]))
    return mean_defined(np.array(cells), axis=0)  # of (folds, R, K)


def _ratio(sums: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.divide(sums, numbers, out=np.full(sums.shape, np.nan), where=numbers > 0)


def resampled_label_means(
    folds: Sequence[tuple[ScoredFold, np.ndarray]], counts: np.ndarray, metric: Metric
) -> np.ndarray:
    """Compute the mean over folds (R,) of the mean over labels in each draw, for a metric of labels."""
    assert metric.by_label is not None, "others have `resampled_means`"
    means = []
    for fold, scores in folds:
        labels, drawn = metric.by_label(fold.targets, scores), counts[:, fold.groups].astype(np.float64)
        means.append(_ratio(drawn @ np.nansum(labels, axis=1), drawn @ (~np.isnan(labels)).sum(axis=1)))
    return mean_defined(np.array(means), axis=0)


def resampled_means(table: np.ndarray) -> np.ndarray:
    """Compute the mean over tags (R,) of each draw; NaN for a draw without a tag that other draws have."""
    there = ~np.isnan(table).all(axis=0)
    return table[:, there].mean(axis=1) if there.any() else np.full(len(table), np.nan)


def centred(draws: np.ndarray, figure: float) -> np.ndarray:
    """Shift the draws so that their mean is the figure.

    Bootstrap figures are too good: draws repeat recordings, and with fewer distinct recordings an EER comes out lower.
    """
    return draws - mean_defined(draws) + figure


def interval(draws: np.ndarray, figure: float, metric: Metric) -> tuple[float, float] | None:
    """Compute the percentile interval of a metric's figure from its draws.

    Returns:
        Low and high end; None where fewer than half of the draws are numbers, or all are the same.
    """
    if (ends := interval_of_difference(draws, figure)) is None:
        return None
    least, most = metric.limits
    return max(least, ends[0]), min(most, ends[1])


def interval_of_difference(draws: np.ndarray, difference: float) -> tuple[float, float] | None:
    """Compute the percentile interval of a difference of figures, which has no limits, from its draws; as `interval`.

    The draws are paired: both figures are of the same recordings in each.
    """
    defined = draws[~np.isnan(draws)]
    if len(defined) < max(2, len(draws) / 2) or np.ptp(defined) == 0:
        return None
    low, high = np.quantile(centred(defined, difference), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
