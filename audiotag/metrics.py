"""The metrics of audio tagging: METRICS, the equal error rate (EER) first.

Convention: scores are higher where the tag is more likely; targets are 0 or 1. In the targets (n, K) of METRICS NaN
stands for a label that is unknown, which is left out: the clip is not there for this tag. Figures are computed per fold
and tag and then averaged, never pooled over folds; NaN stands for one that does not exist.

The EER, in [0, 1] with 0 best and 0.5 chance, is that of the scorer of DCASE 2016 task 4. It differs from "the
threshold where false alarms and misses are nearest": between two ROC points the challenge interpolates linearly, which
on small folds moves the number by up to half a step of 1 / positives, in either direction.

The others equal scikit-learn's, which is not used here: its import takes a second, and every worker, and every process
that reads a study, would pay for it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

EER = "eer"  # its name among METRICS
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
    _check_values(targets, scores)
    return targets, scores


def _validate_tags(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays (n, K), the targets as bool, for metrics that compare the tags of a clip.

    An unknown tag is none that the clip has, and scores lower than all others.
    """
    targets, scores = np.asarray(targets), np.asarray(scores)
    if targets.ndim != 2 or targets.shape != scores.shape:
        raise ValueError(
            f"The shapes of `targets` and `scores` are {targets.shape} and {scores.shape}, but must be one (n, K)."
        )
    unknown = np.isnan(targets)
    _check_values(targets[~unknown], scores)
    return targets > 0, np.where(unknown, -np.inf, scores) if unknown.any() else scores


def _check_values(targets: np.ndarray, scores: np.ndarray) -> None:
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("`targets` holds values other than 0 and 1: pass the clips' own tags, not mixed ones.")
    if not np.isfinite(scores).all():
        raise ValueError("`scores` holds NaN or infinity: the model that gave them has diverged.")


def roc_points(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates (p,), one point per distinct score, highest first, with (0, 0) in front.

    Both classes must occur in the targets (n,) of 0 and 1.
    """
    false, true = _counts(targets, scores)
    return false / false[-1], true / true[-1]


def _counts(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positives (p,) down to each distinct score, highest first, with 0 in front."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(targets[order], dtype=np.float64)
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.append(0, hits[last_of_ties])
    false = np.append(0, last_of_ties + 1 - hits[last_of_ties])
    return false, true


def average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of one tag: the precision down to the score of each clip that has it, averaged over them.

    Shapes and errors as for `equal_error_rate`. Chance is the share of clips with the tag; NaN where a class is absent.
    """
    targets, scores = validate(targets, scores)
    if not 0 < targets.sum() < len(targets):
        return float("nan")
    false, true = _counts(targets, scores)
    precision = true[1:] / (true[1:] + false[1:])
    return float(np.diff(true) @ precision / true[-1])


def area_under_roc(targets: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve of one tag: in how many pairs the clip with the tag has the higher score; a tie is half.

    Shapes and errors as for `equal_error_rate`. Chance is 0.5; NaN where a class is absent.
    """
    targets, scores = validate(targets, scores)
    if not 0 < targets.sum() < len(targets):
        return float("nan")
    false, true = _counts(targets, scores)
    pairs = np.diff(false) @ (true[1:] + true[:-1]) / 2  # exact: halves of whole numbers
    return float(pairs / (false[-1] * true[-1]))


def d_prime(targets: np.ndarray, scores: np.ndarray) -> float:
    """Sensitivity index d' of one tag: sqrt(2) times the standard normal quantile of its area under the ROC curve.

    Without an error, or with nothing but errors, it would be infinite: there half a pair of clips is taken for wrong,
    or for right, so that a perfect tag can be averaged with others.

    Shapes and errors as for `equal_error_rate`. Chance is 0; NaN where a class is absent.

    Source: Macmillan and Kaplan 1985, "Detection theory analysis of group data", for the half.
    """
    area, positives = area_under_roc(targets, scores), float(np.sum(targets))
    if math.isnan(area):
        return area
    half = 0.5 / (positives * (len(targets) - positives))
    return math.sqrt(2) * NormalDist().inv_cdf(min(max(area, half), 1 - half))


def label_precisions(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each label of each clip (n, K), the precision among the clip's tags down to it; NaN where there is no label.

    Tags of equal scores are included. The mean over all labels is the label-weighted label-ranking average precision
    (lwlrap). Here tags of a clip are compared, where the metrics above compare clips; tags that are unknown (NaN) are
    not among them.

    Shapes: targets (n, K) of 0 and 1, or NaN; scores (n, K) finite.
    """
    labelled, scores = _validate_tags(targets, scores)
    figures = np.full(labelled.shape, np.nan)
    for k in np.flatnonzero(labelled.any(axis=0)):
        clips = labelled[:, k]
        above = scores[clips] >= scores[clips, k, None]  # (positives, K)
        figures[clips, k] = (above & labelled[clips]).sum(axis=1) / above.sum(axis=1)
    return figures


def labels_found(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each label of each clip (n, K), 1 where its tag has the highest score, the first of equals, or 0; else NaN.

    The mean over all labels is the accuracy. It exists where each clip has exactly one tag: with others all are NaN.
    Tags that are unknown (NaN) are not among those that are compared.

    Shapes: targets (n, K) of 0 and 1, or NaN; scores (n, K) finite.
    """
    labelled, scores = _validate_tags(targets, scores)
    figures = np.full(labelled.shape, np.nan)
    if labelled.size and (labelled.sum(axis=1) == 1).all():
        found = scores.argmax(axis=1)[:, None] == np.arange(labelled.shape[1])
        figures[labelled] = found[labelled]
    return figures


def each_tag(
    figure: Callable[[np.ndarray, np.ndarray], float],
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A figure of one tag, of targets (n,) and scores (n,), as that of all tags (K,), of targets and scores (n, K).

    It is computed over the clips of which is known whether they have the tag.
    """

    def by_tag(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
        columns = zip(targets.T, scores.T, ~np.isnan(targets.T), strict=True)
        return np.array([figure(own_targets[known], own_scores[known]) for own_targets, own_scores, known in columns])

    return by_tag


def each_label(
    figures: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Figures of single labels (n, K) as their mean of each tag (K,), NaN for a tag without labels."""

    def by_tag(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return mean_defined(figures(targets, scores), axis=0)

    return by_tag


def tag_eers(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """EER of each tag (K,) from targets (n, K) and scores (n, K); NaN where a tag has one class only."""
    return each_tag(equal_error_rate)(targets, scores)


def tag_thresholds(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The `equal_error_threshold` of each tag (K,) from targets (n, K) and scores (n, K)."""
    return each_tag(equal_error_threshold)(targets, scores)


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
    """A figure by which a study's trials are judged. Nothing else knows which way is better.

    Attributes:
        name: Its key in results.json and MLflow.
        title: Its name.
        by_tag: Targets (n, K) of 0, 1 and NaN (unknown) and scores (n, K) to the figure of each tag (K,), NaN where it
            does not exist.
        lower_is_better: Whether small figures are good.
        short: Its name in narrow columns, if that is another one.
        mean_name: The name of its mean over tags, if that is another one than "mean" and its own.
        by_label: The same to figures of single labels (n, K), NaN where a clip lacks a tag. Given for a metric whose
            figure of a tag, and whose mean, are means over labels: in that mean a tag weighs as much as it has clips.
        limits: Of its figures.
        needs: What clips must have for it, if that is more than tags.
        margin: Means that differ by no more count as the same, unless a study has a margin of its own. One point in a
            hundred: tables of the field print two places, and Benavoli et al. (2017) take as much for accuracies. Of
            d' a tenth, which around 2 is what a hundredth of AUROC makes.
    """

    name: str
    title: str
    by_tag: Callable[[np.ndarray, np.ndarray], np.ndarray]
    lower_is_better: bool
    short: str = ""
    mean_name: str = ""
    by_label: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    limits: tuple[float, float] = (0.0, 1.0)
    needs: str = ""
    margin: float = 0.01

    @property
    def column(self) -> str:
        """The name of single figures in narrow columns."""
        return self.short or self.title

    @property
    def mean_column(self) -> str:
        """The name of its means in narrow columns."""
        return self.mean_name or self.column

    @property
    def mean_title(self) -> str:
        """The name of its means in sentences."""
        return self.mean_name or f"mean {self.column}"

    @property
    def sign(self) -> int:
        """What makes a smaller figure the better one by multiplication: 1 or -1."""
        return 1 if self.lower_is_better else -1

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """What a search does with it: "minimize" or "maximize", the words of Optuna."""
        return "minimize" if self.lower_is_better else "maximize"

    @property
    def worst(self) -> float:
        """A figure that no search takes for good, for where a number must stand and there is none."""
        return 1.0 if self.lower_is_better else 0.0

    def rank(self, figure: float | None) -> float:
        """A figure as a number that is smallest for the best; no figure comes last."""
        return math.inf if figure is None else self.sign * figure

    def score(self, targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, float]:
        """The figure of each tag (K,) of some clips, targets (n, K) and scores (n, K), and their mean."""
        figures = self.by_tag(targets, scores)
        singles = figures if self.by_label is None else self.by_label(targets, scores)
        return figures, float(mean_defined(singles))


# every metric is in the ledger, results.json, MLflow, tables and report
METRICS = {
    metric.name: metric
    for metric in (
        Metric(EER, "Equal error rate", tag_eers, lower_is_better=True, short="EER"),
        Metric("ap", "Average precision", each_tag(average_precision), False, short="AP", mean_name="mAP"),
        Metric("auroc", "Area under the ROC curve", each_tag(area_under_roc), False, short="AUROC"),
        Metric(
            "dprime",
            "Sensitivity index d'",
            each_tag(d_prime),
            False,
            short="d'",
            limits=(-math.inf, math.inf),
            margin=0.1,
        ),
        Metric(
            "lwlrap",
            "Label-weighted label-ranking average precision",
            each_label(label_precisions),
            lower_is_better=False,
            short="lwlrap",
            mean_name="lwlrap",
            by_label=label_precisions,
        ),
        Metric(
            "accuracy",
            "Accuracy of the most probable tag",
            each_label(labels_found),
            lower_is_better=False,
            short="recall",
            mean_name="accuracy",
            by_label=labels_found,
            needs="exactly one tag",
        ),
    )
}
DEFAULT = next(iter(METRICS))  # what a study searches for, unless it is told
