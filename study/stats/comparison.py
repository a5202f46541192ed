"""Trials against the baseline, fold by fold: tested with Holm's correction, in the objective, a second metric, by tag.

All of it works on vectors of paired differences, one per fold and partition, NaN where a figure does not exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audiotag.metrics import EER, METRICS, Metric
from study.ledger.schema import Figures, FoldResult, StudyRecord, TrialResult
from study.stats.interims import Looks, looks_of
from study.stats.posterior import DECIDED, Posterior, posterior_of
from study.stats.power import Resolution, resolution_of
from study.stats.remedy import Remedy, find_remedy
from study.stats.significance import (
    ALPHA,
    Outcome,
    PairedTest,
    Untested,
    adjust,
    corrected_t,
    holm_levels,
    outcome,
    share_of_test,
)


@dataclass(frozen=True)
class Comparison:
    """A trial against the baseline in one figure.

    Attributes:
        adjusted: Holm's p; None where nothing is tested.
        posterior: Whether it is better, the same or worse; None where nothing is tested, as the next two.
        resolution: What the test could have shown.
        remedy: What would show a difference of the observed size.
    """

    test: PairedTest | Untested
    adjusted: float | None
    outcome: Outcome
    posterior: Posterior | None = None
    resolution: Resolution | None = None
    remedy: Remedy | None = None


def compare_trials(
    trials: Sequence[TrialResult], baseline: TrialResult, study: StudyRecord, margin: float
) -> list[Comparison]:
    """Compare trials with the baseline in the objective, with all that can be said of each comparison.

    Of a study that adds partitions until it is clear, levels are those at each look, and so is what it takes to be the
    same.
    """
    objective, share, looks = study.objective, share_of_test(len(study.folds)), looks_of(study)
    differences = [differences_of(trial, baseline, objective.name) for trial in trials]
    found = compare_figures(differences, share, objective, looks)
    levels = holm_levels([part.test.p if isinstance(part.test, PairedTest) else 1.0 for part in found])
    decided = DECIDED if looks is None else 1 - looks.nominal(ALPHA)
    whole = []
    for trial, own, part, level in zip(trials, differences, found, levels, strict=True):
        if isinstance(part.test, PairedTest):
            there = ~np.isnan(own)
            by_seed = differences_by_seed(trial, baseline)
            at_look = level if looks is None else looks.nominal(level)
            resolution = resolution_of(own[there], share, at_look)
            if resolution is not None and looks is not None:
                resolution = replace(resolution, seen=resolution.sd * looks.seen(level))
            part = replace(
                part,
                posterior=posterior_of(own[there], share, margin, objective, decided),
                resolution=resolution,
                remedy=find_remedy(
                    own[there], share, at_look, margin, None if by_seed is None else by_seed[there], decided
                ),
            )
        whole.append(part)
    return whole


def compare_second(
    trials: Sequence[TrialResult], baseline: TrialResult, study: StudyRecord
) -> Sequence[Comparison | None]:
    """Compare trials with the baseline in the second metric; None of all of them where one has no such figure."""
    second = second_metric(study.objective)
    differences = [differences_of(trial, baseline, second.name) for trial in trials]
    if any(np.isnan(own).all() for own in differences):
        return [None] * len(trials)
    return compare_figures(differences, share_of_test(len(study.folds)), second, looks_of(study))


def compare_by_tag(trial: TrialResult, baseline: TrialResult, study: StudyRecord) -> dict[str, Comparison]:
    """Compare a trial with the baseline in the objective of each tag; Holm's correction is over the tags."""
    objective = study.objective
    differences = [differences_of(trial, baseline, objective.name, tag) for tag in study.tags]
    found = compare_figures(differences, share_of_test(len(study.folds)), objective, looks_of(study))
    return dict(zip(study.tags, found, strict=True))


def compare_figures(
    differences: Sequence[np.ndarray], test_share: float, metric: Metric, looks: Looks | None = None
) -> list[Comparison]:
    """Test several vectors of paired differences (n,), a trial's figure minus the baseline's, as one family."""
    tests = [corrected_t(own[~np.isnan(own)], test_share) if looks is None else looks.test(own) for own in differences]
    return [
        Comparison(test, adjusted, outcome(test, adjusted, metric))
        for test, adjusted in zip(tests, adjust(tests), strict=True)
    ]


def second_metric(objective: Metric) -> Metric:
    """The metric by which a verdict is asked for a second time: mAP beside the EER, and the EER beside all others."""
    return METRICS["ap"] if objective.name == EER else METRICS[EER]


def differences_of(trial: TrialResult, baseline: TrialResult, metric: str, tag: str | None = None) -> np.ndarray:
    """A trial's figure in each fold minus the baseline's, (n,): a metric's mean, or its figure of a tag."""
    found = [[_figure(fold.figures.get(metric), tag) for fold in pair] for pair in _paired_folds(trial, baseline)]
    own, other = np.array(found, dtype=np.float64).reshape(-1, 2).T  # NaN for None
    return own - other


def _figure(figures: Figures | None, tag: str | None) -> float | None:
    if figures is None:
        return None
    return figures.mean if tag is None else figures.by_tag.get(tag)


def differences_by_seed(
    trial: TrialResult, baseline: TrialResult, metric: str | None = None, tag: str | None = None
) -> np.ndarray | None:
    """The differences with each seed, (n, seeds), in the objective by default; None with one seed, or with others."""
    seeds = [[part.seed for part in each.seeds] for each in (trial, baseline)]
    if len(seeds[0]) < 2 or seeds[0] != seeds[1]:
        return None
    metric = metric or trial.objective.name
    own, other = (
        np.array(
            [[_figure(part.figures.get(metric), tag) for part in fold.repeats] for fold in folds], dtype=np.float64
        )
        for folds in zip(*_paired_folds(trial, baseline), strict=True)
    )
    return own - other


def _paired_folds(trial: TrialResult, baseline: TrialResult) -> list[tuple[FoldResult, FoldResult]]:
    """The folds of both, in pairs, of each partition that both have finished."""
    partitions = zip(trial.folds_by_partition, baseline.folds_by_partition, strict=False)
    return [pair for own, other in partitions for pair in zip(own, other, strict=True)]
