"""What may be concluded from a study: its rows, each tested against the baseline, with intervals and an outcome."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from statistics import fmean
from typing import Any

import numpy as np

from audiotag.metrics import Metric
from audiotag.training.epochs import EpochResult
from study.format import show
from study.ledger.ledger import Ledger
from study.ledger.results import finished_folds
from study.ledger.schema import Figures, StudyRecord, StudyResults
from study.stats.bootstrap import (
    centred,
    interval,
    interval_of_difference,
)
from study.stats.comparison import (
    compare_by_tag,
    compare_second,
    compare_trials,
    second_metric,
)
from study.stats.draws import Draws, draw_figures
from study.stats.fixed_split import Estimate, compare_on_test
from study.stats.rows import SHOWN_ROWS, Interval, ResultRow, choose_baseline, make_rows, name_rows
from study.stats.selection_bias import early_stopping_bias, winners_curse


@dataclass(eq=False)
class Analysis:
    """A study as its report shows it.

    Attributes:
        ledger: For what a report draws; of several studies together, that of the first.
        scientific: Hyperparameters that differ between the trials that have them.
        rows: Finished trials, by number.
        shown: All of them, or the best and the baseline.
        margin: Means that differ by no more count as the same.
        missing: What could not be computed, and why.
        selection_bias: What to add to the best mean, because it was chosen as the best.
        stopping_bias: What to add to it, because its folds chose their own epochs.
    """

    ledger: Ledger
    results: StudyResults
    scientific: list[str]
    rows: list[ResultRow]
    baseline: ResultRow | None
    baseline_reason: str
    shown: list[ResultRow]
    margin: float = 0.0
    missing: list[str] = field(default_factory=list)
    selection_bias: float | None = None
    stopping_bias: float | None = None

    @property
    def study(self) -> StudyRecord:
        """The study's record."""
        return self.results.study

    @property
    def objective(self) -> Metric:
        """The metric that rows are judged by."""
        return self.study.objective

    @property
    def own_margin(self) -> float:
        """The study's own margin, whatever this analysis has."""
        return margin_of(self.study)

    @property
    def second(self) -> Metric | None:
        """The metric in which rows are compared a second time; None where none is."""
        there = any(row.second is not None for row in self.rows)
        return second_metric(self.objective) if there else None

    @property
    def best(self) -> ResultRow | None:
        """The row with the best mean, the first of equals: the one that cross-validation chooses."""
        return min(self.rows, key=attrgetter("rank"), default=None)

    @property
    def others(self) -> list[ResultRow]:
        """All rows but the baseline."""
        return [row for row in self.rows if row is not self.baseline]

    def values(self, name: str) -> list[Any]:
        """The values of a hyperparameter in the rows that have it."""
        return [row.params[name] for row in self.rows if name in row.params]

    @property
    def seed_sd(self) -> float | None:
        """Standard deviation over seeds of a row's mean: root mean square over rows, since a single row has few seeds.

        None without repeats.
        """
        found = [row.result.figures[self.objective.name].sd_seeds for row in self.rows]
        defined = [deviation for deviation in found if deviation is not None]
        return math.sqrt(fmean(deviation**2 for deviation in defined)) if defined else None

    @property
    def seed_sd_of_difference(self) -> float | None:
        """Standard deviation over other sets of R seeds of a difference between rows: sqrt(2 / R) times `seed_sd`.

        An upper estimate: rows share seeds, which may move them together.
        """
        return None if self.seed_sd is None else self.seed_sd * math.sqrt(2 / self.study.repeats)


def analyse(ledger: Ledger, results: StudyResults, margin: float | None = None) -> Analysis:
    """Analyse a study from its ledger and its results; `margin` stands in for the study's own."""
    study = ledger.study
    margin = margin_of(study) if margin is None else margin
    rows, draws = make_rows(results), Draws(ledger)
    baseline, reason = choose_baseline(rows, study)
    compare_rows(rows, baseline, study, draws, margin)
    named = name_rows([row.params for row in rows], study)
    analysis = Analysis(
        ledger,
        results,
        scientific=[name for name in named if len({show(row.params[name]) for row in rows if name in row.params}) > 1],
        rows=rows,
        baseline=baseline,
        baseline_reason=reason,
        shown=rows if len(rows) <= SHOWN_ROWS + 1 else best_rows(rows, baseline),
        margin=margin,
        selection_bias=winners_curse(fold_means(rows)[:, : len(study.folds)], study.objective)
        if len(rows) > 1 and study.confirms is None
        else None,
    )
    compare_tags(analysis.shown, baseline, study, draws)
    if analysis.best is not None:
        resample(analysis.shown, draws, analysis.missing, baseline)
        analysis.stopping_bias = stopping_bias(ledger, analysis.best.key) if study.protocol == "paper" else None
    return analysis


def fold_means(rows: Sequence[ResultRow]) -> np.ndarray:
    """Mean of the objective of each row in each fold of each partition, (rows, r k).

    The corpus's own folds come first. NaN where a fold has no mean, and for partitions that a row has not finished.
    """
    means = [
        [[fold.figures[row.result.objective.name].mean for fold in folds] for folds in row.result.folds_by_partition]
        for row in rows
    ]
    most = max(map(len, means), default=1)
    padded = [own + [[None] * len(own[0])] * (most - len(own)) for own in means]
    return np.array(padded, dtype=np.float64).reshape(len(rows), -1)  # NaN for None


def margin_of(study: StudyRecord) -> float:
    """The margin of a study: its own, or else that of its metric."""
    return study.objective.margin if study.margin is None else study.margin


def compare(rows: list[ResultRow], baseline: ResultRow | None, study: StudyRecord, margin: float | None = None) -> None:
    """Fill in what each row's comparison with the baseline shows; Holm's correction is over all of them.

    With several partitions the differences are those in the folds of all of them. With repeats a fold's figure is its
    mean over seeds, and the test still counts folds, not trainings: repeats make the differences steadier and add no
    degrees of freedom, which is conservative.
    """
    if baseline is None or len(rows) < 2:
        return
    margin = margin_of(study) if margin is None else margin
    others = [row for row in rows if row is not baseline]
    trials = [row.result for row in others]
    for row, part in zip(others, compare_trials(trials, baseline.result, study, margin), strict=True):
        row.test, row.adjusted, row.outcome = part.test, part.adjusted, part.outcome
        row.posterior, row.resolution, row.remedy = part.posterior, part.resolution, part.remedy
    for row, second in zip(others, compare_second(trials, baseline.result, study), strict=True):
        row.second = second


def compare_rows(
    rows: list[ResultRow], baseline: ResultRow | None, study: StudyRecord, draws: Draws, margin: float
) -> None:
    """Fill in what each row's comparison with the baseline shows, over folds or on the test clips of a fixed split."""
    if not study.has_fixed_split:
        compare(rows, baseline, study, margin)
    elif baseline is not None and len(rows) > 1:
        _compare_on_test_clips(rows, baseline, study.objective, draws, margin)


def compare_tags(rows: Sequence[ResultRow], baseline: ResultRow | None, study: StudyRecord, draws: Draws) -> None:
    """Fill in each row's comparison with the baseline tag by tag; Holm's correction is over the tags of a row."""
    for row in rows:
        if baseline is None or row is baseline:
            continue
        if study.has_fixed_split:
            found = draws.estimates(row, baseline, study.objective, study.tags)
            row.by_tag = dict(zip(study.tags, compare_on_test(found, study.objective), strict=True))
        else:
            row.by_tag = compare_by_tag(row.result, baseline.result, study)


def _compare_on_test_clips(
    rows: list[ResultRow], baseline: ResultRow, objective: Metric, draws: Draws, margin: float
) -> None:
    second = second_metric(objective)
    others = [row for row in rows if row is not baseline]
    found = [draws.estimates(row, baseline, objective)[0] for row in others]
    for row, part in zip(others, compare_on_test(found, objective, margin), strict=True):
        row.test, row.adjusted, row.outcome = part.test, part.adjusted, part.outcome
        row.posterior, row.resolution, row.remedy = part.posterior, part.resolution, part.remedy
    found = [draws.estimates(row, baseline, second)[0] for row in others]
    if all(isinstance(each, Estimate) for each in found):
        for row, part in zip(others, compare_on_test(found, second), strict=True):
            row.second = part


def best_rows(rows: list[ResultRow], baseline: ResultRow | None) -> list[ResultRow]:
    """The best rows, best first, and the baseline."""
    best = sorted(rows, key=attrgetter("rank"))[:SHOWN_ROWS]
    return best if baseline is None or baseline in best else [*best, baseline]


def better_with(row: ResultRow, baseline: ResultRow) -> int:
    """With how many seeds a row's mean is better than the baseline's with the same seed."""
    pairs = zip(row.result.seeds, baseline.result.seeds, strict=True)
    objective = row.result.objective
    ranks = [[objective.rank(seed.figures[objective.name].mean) for seed in pair] for pair in pairs]
    return sum(own < other for own, other in ranks)


def resample(rows: list[ResultRow], draws: Draws, missing: list[str], baseline: ResultRow | None = None) -> None:
    """Fill in the rows' intervals, and those of differences from the baseline, or say in `missing` why not."""
    if draws.clips is None:
        missing.append(
            "No intervals, no curves by tag, and no metrics that are newer than the folds: the study's folder has no "
            "clips.npz with targets and groups (an earlier version wrote none). `python study/run.py --resume NAME` "
            "adds it where the corpus still is."
        )
        return
    means = []
    try:
        for row in rows:
            means.append(_resample_row(row, draws))
    except (KeyError, OSError, ValueError, IndexError) as error:
        missing.append(f"No intervals: the probabilities of {row.label} do not fit the clips ({error}).")
        return
    if baseline in rows:
        others = means[rows.index(baseline)]
        for row, own in zip(rows, means, strict=True):
            if row is not baseline:
                row.paired_interval = interval_of_difference(own - others, row.mean - baseline.mean)
    drawn = rows[0].result.objective.sign * np.array(means)
    if len(rows) > 1 and (defined := ~np.isnan(drawn).any(axis=0)).any():
        wins = np.bincount(drawn[:, defined].argmin(axis=0), minlength=len(rows)) / defined.sum()
        for row, share in zip(rows, wins, strict=True):
            row.best_share = float(share)


def _resample_row(row: ResultRow, draws: Draws) -> np.ndarray:
    """Fill in a row's intervals and return its mean of the objective in each draw, (R,)."""
    objective, ledger, clips = row.result.objective, draws.ledger_of(row), draws.clips
    assert clips is not None, "the caller has looked"
    figures = row.result.figures[objective.name]
    table, drawn = draws.of(row, objective)
    row.intervals = _intervals(table, drawn, figures, objective)
    if objective.name in row.result.evaluation:
        parts = ledger.trial(row.key).for_seeds(ledger.study.seeds)
        scores = [
            part.read_scores(fold.fold, "evaluation", "evaluation_clips") for fold in row.result.folds for part in parts
        ]
        whole = clips.evaluation(scores[0]["evaluation_clips"])
        mean = np.mean([own["evaluation"] for own in scores], axis=0)
        parts_drawn = draw_figures([[(whole, mean)]], draws.counts, objective)
        row.eval_intervals = _intervals(*parts_drawn, row.result.evaluation[objective.name], objective)
    return centred(drawn, np.nan if figures.mean is None else figures.mean)


def _intervals(table: np.ndarray, means: np.ndarray, figures: Figures, metric: Metric) -> dict[str, Interval]:
    draws = zip({**figures.by_tag, "mean": figures.mean}.items(), [*table.T, means], strict=True)  # (R,) each
    return {name: None if value is None else interval(column, value, metric) for (name, value), column in draws}


def histories(ledger: Ledger, key: str) -> list[Sequence[EpochResult]]:
    """A trial's epochs, one list per finished fold; with repeats one per seed of each such fold."""
    return [record.history for fold in finished_folds(ledger.trial(key), ledger.study) for record in fold]


def stopping_bias(ledger: Ledger, key: str) -> float | None:
    """Estimate the early-stopping bias of a trial's mean, the mean over seeds."""
    by_seed, objective = zip(*finished_folds(ledger.trial(key), ledger.study), strict=True), ledger.study.objective
    found = [
        early_stopping_bias([own.history for own in records], [own.best_epoch for own in records], objective)
        for records in by_seed
    ]
    defined = [bias for bias in found if bias is not None]
    return fmean(defined) if defined and len(defined) == len(found) else None
