"""How far an EER would move on other recordings: the bootstrap over groups.

Clips of one recording are near-duplicates, so whole groups are drawn with replacement, and a clip counts as often as
its group was drawn. All rows of a study share the draws. The networks are fixed: the intervals do not cover the
variation between training runs.
"""

from collections.abc import Sequence

import numpy as np

from audiotag.metrics import CROSSING, mean_defined
from study.ledger.clips import ScoredFold

DRAWS, SEED = 1000, 0
CONFIDENCE = 0.95


def draw_groups(n_groups: int, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Draw how often each group counts, (draws, groups) float32; each row sums to the number of groups."""
    shares = np.full(n_groups, 1 / n_groups)
    return np.random.default_rng(seed).multinomial(n_groups, shares, size=draws).astype(np.float32)


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
    passed = _passed(targets, scores, groups, counts.shape[1])
    totals = np.einsum("rg,kg->rk", counts, passed[-1])  # (R, 2)

    def rates(points: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.matmul(passed[points], counts[:, :, None])[:, :, 0] / totals

    low, high = np.zeros(len(counts), np.int64), np.full(len(counts), len(passed) - 1)
    while (high - low > 1).any():  # both rates rise along the curve: halve the way to where it crosses
        middle = (low + high) // 2
        beyond = rates(middle).sum(axis=1) >= 1 - CROSSING
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    (x0, y0), (x1, y1) = rates(low).astype(np.float64).T, rates(high).astype(np.float64).T
    with np.errstate(invalid="ignore"):  # where the line from (x0, y0) to (x1, y1) meets y = 1 - x
        return x0 + (x1 - x0) * (1 - x0 - y0) / (x1 - x0 + y1 - y0)


def _passed(targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Count each group's negatives and positives at and above each distinct score, (points, 2, G), zeros in front."""
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    passed = np.zeros((len(scores), 2, n_groups), np.float32)
    passed[np.arange(len(scores)), targets[order].astype(np.int64), groups[order]] = 1
    return np.concatenate([np.zeros_like(passed[:1]), passed.cumsum(axis=0)[last_of_ties]])


def resampled_table(folds: Sequence[ScoredFold], scores: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """Compute the mean over folds of each tag's EER in each draw, (R, K), as the table does.

    Args:
        folds: With their targets and groups.
        scores: (n, K) per fold.
        counts: (R, G).
    """
    cells = []
    for fold, held_out in zip(folds, scores, strict=True):
        present, groups = np.unique(fold.groups, return_inverse=True)
        drawn = counts[:, present]
        tags = range(fold.targets.shape[1])
        cells.append([resampled_eers(fold.targets[:, k], held_out[:, k], groups, drawn) for k in tags])
    return mean_defined(np.array(cells), axis=0).T  # of (folds, K, R)


def resampled_means(table: np.ndarray) -> np.ndarray:
    """Compute the mean over tags (R,) of each draw; NaN for a draw without a tag that other draws have."""
    there = ~np.isnan(table).all(axis=0)
    return table[:, there].mean(axis=1) if there.any() else np.full(len(table), np.nan)


def centred(draws: np.ndarray, figure: float) -> np.ndarray:
    """Shift the draws so that their mean is the figure.

    Bootstrap EERs are biased low: draws repeat recordings, and with fewer distinct recordings an EER comes out lower.
    """
    return draws - mean_defined(draws) + figure


def interval(draws: np.ndarray, figure: float, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Compute the percentile interval of a figure from its draws.

    Returns:
        Low and high end; None where fewer than half of the draws are numbers, or all are the same.
    """
    defined = draws[~np.isnan(draws)]
    if len(defined) < max(2, len(draws) / 2) or np.ptp(defined) == 0:
        return None
    low, high = np.quantile(centred(defined, figure), [(1 - confidence) / 2, (1 + confidence) / 2])
    return max(0.0, float(low)), float(high)
