"""How far an EER would move on other recordings: the bootstrap over groups.

Clips of one recording are near-duplicates, so whole groups are drawn, with replacement, and a clip counts as often as
its group was drawn. All rows of a study see the same draws. The networks stay as they are: what another training run
would give is not in these intervals.
"""

from collections.abc import Sequence

import numpy as np

from audiotag.metrics import CROSSING, mean_defined
from study.ledger.clips import ScoredFold

DRAWS, SEED = 1000, 0
LEVEL = 0.95


def draw_groups(n_groups: int, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """How often each group is drawn, (draws, groups) float32; each row sums to the number of groups."""
    shares = np.full(n_groups, 1 / n_groups)
    return np.random.default_rng(seed).multinomial(n_groups, shares, size=draws).astype(np.float32)


def resampled_eers(targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """EER of one tag (R,) where each clip counts as often as its group: `equal_error_rate` of repeated clips.

    Shapes: targets (n,), scores (n,), groups (n,) as columns of counts (R, G). NaN where no positive or no negative
    clip was drawn.
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
    """Each group's negatives and positives at and above each distinct score, (points, 2, G), with none in front."""
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    passed = np.zeros((len(scores), 2, n_groups), np.float32)
    passed[np.arange(len(scores)), targets[order].astype(np.int64), groups[order]] = 1
    return np.concatenate([np.zeros_like(passed[:1]), passed.cumsum(axis=0)[last_of_ties]])


def resampled_table(folds: Sequence[ScoredFold], scores: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """Mean over folds of each tag's EER in each draw, (R, K), as the table forms it.

    Shapes: scores, a fold each, (n, K); counts (R, groups).
    """
    cells = []
    for fold, held_out in zip(folds, scores, strict=True):
        present, groups = np.unique(fold.groups, return_inverse=True)
        drawn = counts[:, present]
        tags = range(fold.targets.shape[1])
        cells.append([resampled_eers(fold.targets[:, k], held_out[:, k], groups, drawn) for k in tags])
    return mean_defined(np.array(cells), axis=0).T  # of (folds, K, R)


def resampled_means(table: np.ndarray) -> np.ndarray:
    """Mean over tags (R,) of each draw; NaN for a draw that lacks a tag which others have (a mean of other things)."""
    there = ~np.isnan(table).all(axis=0)
    return table[:, there].mean(axis=1) if there.any() else np.full(len(table), np.nan)


def centred(draws: np.ndarray, figure: float) -> np.ndarray:
    """The draws moved so that their mean lies at the figure.

    With fewer different recordings a fold's EER comes out lower; draws repeat recordings and so lie below the figure on
    average, as the figure itself lies below what endless recordings would give.
    """
    return draws - mean_defined(draws) + figure


def interval(draws: np.ndarray, figure: float, level: float = LEVEL) -> tuple[float, float] | None:
    """Where the figure would lie, in `level` of the cases, with as many other recordings of the same kind.

    None where fewer than half of the draws are numbers, or all are the same.
    """
    defined = draws[~np.isnan(draws)]
    if len(defined) < max(2, len(draws) / 2) or np.ptp(defined) == 0:
        return None
    low, high = np.quantile(centred(defined, figure), [(1 - level) / 2, (1 + level) / 2])
    return max(0.0, float(low)), float(high)
