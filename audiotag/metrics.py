"""The equal error rate (EER), as the scorer of DCASE 2016 task 4 defines it.

Convention: scores (n,) are higher where the tag is more likely; targets (n,) are 0 or 1; an EER lies in [0, 1], 0 is
best, 0.5 is chance. It is computed per fold and tag and then averaged, never pooled over folds.

It differs from "the threshold where false alarms and misses are nearest": between two ROC points the challenge
interpolates linearly, which on small folds moves the number by up to half a step of 1 / positives, in either direction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CROSSING = 1e-6  # the scorer's tolerance where fpr meets 1 - tpr


def equal_error_rate(targets: np.ndarray, scores: np.ndarray) -> float:
    """EER of one tag over n clips.

    Shapes: targets (n,) of 0 and 1, scores (n,) finite.
    Returns NaN where a class is absent: without positives or without negatives the rate does not exist.

    Raises:
        ValueError: Shapes that differ, targets other than 0 and 1, scores that are not finite.

    Source: DCASE 2016 task 4, equal error rate of the evaluation script.
    """
    targets, scores = validate(targets, scores)
    if (met := _crossing(targets, scores)) is None:
        return float("nan")
    fpr, tpr, crossing = met
    x0, x1, y0, y1 = fpr[crossing - 1], fpr[crossing], tpr[crossing - 1], tpr[crossing]
    if x1 == x0:  # a vertical step: the line meets tpr = 1 - fpr at its own fpr
        return float(x0)
    slope = (y1 - y0) / (x1 - x0)
    return float((1 - y0 + slope * x0) / (1 + slope))


def equal_error_threshold(targets: np.ndarray, scores: np.ndarray) -> float:
    """The score at which the miss rate equals the false alarm rate; n clips of one tag.

    A clip counts as having the tag from this score upwards. The cut of a ROC point lies midway between the lowest score
    that it lets through and the highest that it does not; between two points it is interpolated as the EER is.

    Shapes: targets (n,) of 0 and 1, scores (n,) finite.
    Returns NaN where a class is absent.

    Raises:
        ValueError: As `equal_error_rate`.
    """
    targets, scores = validate(targets, scores)
    if (met := _crossing(targets, scores)) is None:
        return float("nan")
    fpr, tpr, crossing = met
    distinct = np.unique(scores)[::-1]
    cuts = np.concatenate([distinct[:1], (distinct[:-1] + distinct[1:]) / 2, distinct[-1:]])  # of the ROC points
    before, after = ((fpr + tpr)[point] for point in (crossing - 1, crossing))
    share = min((1 - before) / (after - before), 1.0)  # of the way to the later point
    return float(cuts[crossing - 1] + share * (cuts[crossing] - cuts[crossing - 1]))


def _crossing(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, int] | None:
    """The ROC points (p,) and (p,), and the first of them where fpr meets 1 - tpr; None where a class is absent."""
    if not 0 < targets.sum() < len(targets):
        return None
    fpr, tpr = roc_points(targets, scores)
    return fpr, tpr, int(np.argmax(fpr + CROSSING >= 1 - tpr))


def validate(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays as float64, checked as `equal_error_rate` needs them.

    Raises:
        ValueError: As there.
    """
    targets = np.asarray(targets, dtype=np.float64)
    scores = np.asarray(scores, dtype=np.float64)
    if targets.ndim != 1 or targets.shape != scores.shape:
        raise ValueError(
            f"The shapes of `targets` and `scores` are {targets.shape} and {scores.shape}, but must be one (n,): "
            "pass one tag at a time."
        )
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("`targets` holds values other than 0 and 1: pass the clips' own tags, not mixed ones.")
    if not np.isfinite(scores).all():
        raise ValueError("`scores` holds NaN or infinity: the model that gave them has diverged.")
    return targets, scores


def roc_points(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates (p,), one point per distinct score, highest first, with (0, 0) in front.

    Both classes must occur in the targets (n,) of 0 and 1.
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(targets[order], dtype=np.float64)
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.append(0, hits[last_of_ties])
    false = np.append(0, last_of_ties + 1 - hits[last_of_ties])
    return false / false[-1], true / true[-1]


def tag_eers(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """EER of each tag (K,) from targets (n, K) and scores (n, K); NaN where a tag has one class only."""
    return np.array([equal_error_rate(targets[:, k], scores[:, k]) for k in range(targets.shape[1])])


def tag_thresholds(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The `equal_error_threshold` of each tag (K,) from targets (n, K) and scores (n, K)."""
    return np.array([equal_error_threshold(targets[:, k], scores[:, k]) for k in range(targets.shape[1])])


def mean_defined(values: Sequence[float] | np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean over the values that are not NaN; NaN where there is none."""
    values = np.asarray(values, dtype=np.float64)
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def sample_variance(values: Sequence[float] | np.ndarray) -> float:
    """Sample variance (ddof = 1) of the values that are not NaN; NaN below two of them.

    Over the tags' EERs it is the paper's Var column (times 1e3 there); over the folds' mean EERs it is another number,
    with a name of its own.
    """
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    return float(defined.var(ddof=1)) if len(defined) > 1 else float("nan")


@dataclass(frozen=True)
class Metric:
    """A figure by which a study's trials are judged.

    Attributes:
        name: Its key in results.json and MLflow.
        title: Its name.
        by_tag: Targets (n, K) of 0 and 1 and scores (n, K) to the figure of each tag (K,), NaN where it does not exist.
        lower_is_better: Whether small figures are good.
        short: Its name in narrow columns, if that is another one.
    """

    name: str
    title: str
    by_tag: Callable[[np.ndarray, np.ndarray], np.ndarray]
    lower_is_better: bool
    short: str = ""

    @property
    def column(self) -> str:
        """Its name in narrow columns."""
        return self.short or self.title


# every metric is in the ledger, results.json, MLflow, tables and report; the first is what a study searches for
METRICS = {
    metric.name: metric for metric in (Metric("eer", "Equal error rate", tag_eers, lower_is_better=True, short="EER"),)
}
