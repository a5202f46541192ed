"""What may be concluded from a study: its rows, each tested against the baseline, with intervals and an outcome."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from statistics import fmean
from typing import Any

import numpy as np

from audiotag.config import NO_AUGMENTATION
from audiotag.metrics import Metric
from audiotag.training.epochs import EpochResult
from study.format import own_params, show, trial_name
from study.ledger.clips import Clips, ScoredFold
from study.ledger.context import resolve
from study.ledger.ledger import Ledger
from study.ledger.results import finished_folds
from study.ledger.schema import Figures, StudyRecord, StudyResults, TrialResult
from study.stats.bootstrap import (
    centred,
    draw_groups,
    interval,
    interval_of_difference,
    resampled_label_means,
    resampled_means,
    resampled_table,
)
from study.stats.comparison import Comparison, compare_by_tag, compare_second, compare_trials, second_metric
from study.stats.posterior import Posterior
from study.stats.power import Resolution
from study.stats.remedy import Remedy
from study.stats.selection_bias import early_stopping_bias, winners_curse
from study.stats.significance import Outcome, PairedTest, Untested

SHOWN_ROWS = 24  # best rows of a larger study, which shows no others
Interval = tuple[float, float] | None


@dataclass(eq=False)
class ResultRow:
    """A finished trial as reports show it.

    Attributes:
        study: The name of its study.
        params: Hyperparameters that it has.
        intervals: Of the objective by tag, and of their "mean".
        eval_intervals: The same on the evaluation split.
        best_share: Of the draws in which it is the best of the shown rows.
        test: Against the baseline; None of the baseline itself.
        adjusted: Holm's p; None where nothing is tested.
        posterior: Whether it is better, the same or worse; None where nothing is tested, as the next two.
        resolution: What its test could have shown.
        remedy: What would show a difference of the observed size.
        paired_interval: Of its difference on other recordings, by the bootstrap.
        second: The same comparison in a second metric, where there is one.
        by_tag: And of each tag, Holm's correction over the tags.
    """

    study: str
    result: TrialResult
    params: dict[str, Any]
    label: str
    intervals: dict[str, Interval] = field(default_factory=dict)
    eval_intervals: dict[str, Interval] = field(default_factory=dict)
    best_share: float | None = None
    test: PairedTest | Untested | None = None
    adjusted: float | None = None
    outcome: Outcome | None = None
    posterior: Posterior | None = None
    resolution: Resolution | None = None
    remedy: Remedy | None = None
    paired_interval: Interval = None
    second: Comparison | None = None
    by_tag: dict[str, Comparison] = field(default_factory=dict)

    @property
    def tested(self) -> PairedTest | None:
        """Its test, if there is one."""
        return self.test if isinstance(self.test, PairedTest) else None

    @property
    def is_open(self) -> bool:
        """Whether it is tested, and neither better than the baseline, nor worse, nor the same."""
        return self.outcome == "indistinguishable" and not (self.posterior is not None and self.posterior.is_same)

    @property
    def key(self) -> str:
        """The key of its trial."""
        return self.result.key

    @property
    def mean(self) -> float:
        """Mean of the objective; trials without one have no row."""
        assert self.result.mean is not None
        return self.result.mean

    @property
    def rank(self) -> float:
        """A number that is smallest for the best row."""
        return self.result.rank


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
    rows = make_rows(results)
    baseline, reason = choose_baseline(rows, study)
    compare(rows, baseline, study, margin)
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
    compare_tags(analysis.shown, baseline, study)
    if analysis.best is not None:
        resample(ledger, analysis.shown, ledger.clips(), analysis.missing, baseline)
        analysis.stopping_bias = stopping_bias(ledger, analysis.best.key) if study.protocol == "paper" else None
    return analysis


def make_rows(results: StudyResults) -> list[ResultRow]:
    """Make the rows of a study: its finished trials that have a mean."""
    done = [trial for trial in results.finished if trial.mean is not None]
    named = name_rows([own_params(trial.params) for trial in done], results.study)
    return [make_row(results.study.name, trial, named) for trial in done]


def name_rows(params: Sequence[dict[str, Any]], study: StudyRecord) -> list[str]:
    """By which of their hyperparameters rows are told apart."""
    differing = [name for name in study.varied if len({show(own.get(name)) for own in params}) > 1]
    return [name for name in differing if not is_implied(name, params, study)] or differing or list(study.varied)


def is_implied(name: str, params: Sequence[dict[str, Any]], study: StudyRecord) -> bool:
    """Whether a hyperparameter follows from the augmentation: each of several has a value of its own, the same always.

    Such as the alpha of mixup and that of Freq-MixStyle, which are no question of the space.
    """
    found: dict[str, set[str]] = {}
    for own in params:
        if name in own:
            found.setdefault(str(own.get("augmentation")), set()).add(show(own[name]))
    return (
        name not in (*study.ranges, "augmentation")
        and len(found) > 1
        and all(len(them) == 1 for them in found.values())
    )


def make_row(study: str, trial: TrialResult, named: Sequence[str]) -> ResultRow:
    """Make the row of a finished trial, labelled by the parameters in `named`."""
    return ResultRow(study, trial, own_params(trial.params), trial_name(trial.params, named) or trial.key)


def choose_baseline(rows: list[ResultRow], study: StudyRecord) -> tuple[ResultRow | None, str]:
    """Choose the row that the others are compared with, and say why."""
    if not rows:
        return None, "there is no finished trial"
    wanted = study.baseline or {}
    named = [row for row in rows if wanted and all(row.params.get(name) == value for name, value in wanted.items())]
    if named:
        return named[0], "named by the space"
    plain = [row for row in rows if row.params["augmentation"] == NO_AUGMENTATION or row.params.get("alpha") == 0]
    if not plain:
        return rows[0], "the first row, because none is without augmentation"
    defaults = resolve(study.settings, {}).to_dict()
    others = [name for name in study.varied if name not in ("augmentation", "alpha")]
    changes = [sum(row.params.get(name) != defaults.get(name) for name in others) for row in plain]
    more = ", and of these the nearest to the default settings" if len(plain) > 1 else ""
    return plain[changes.index(min(changes))], f"the row without augmentation{more}"


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


def compare_tags(rows: Sequence[ResultRow], baseline: ResultRow | None, study: StudyRecord) -> None:
    """Fill in each row's comparison with the baseline tag by tag; Holm's correction is over the tags of a row."""
    for row in rows:
        if baseline is not None and row is not baseline:
            row.by_tag = compare_by_tag(row.result, baseline.result, study)


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


def resample(
    ledger: Ledger,
    rows: list[ResultRow],
    clips: Clips | None,
    missing: list[str],
    baseline: ResultRow | None = None,
) -> None:
    """Fill in the rows' intervals, and those of differences from the baseline, or say in `missing` why not."""
    if clips is None:
        missing.append(
            "No intervals, no curves by tag, and no metrics that are newer than the folds: the study's folder has no "
            "clips.npz with targets and groups (an earlier version wrote none). `python study/run.py --resume NAME` "
            "adds it where the corpus still is."
        )
        return
    counts = draw_groups(int(clips.groups.max()) + 1)
    means = []
    try:
        for row in rows:
            means.append(_resample_row(ledger, row, clips, counts))
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


def _resample_row(ledger: Ledger, row: ResultRow, clips: Clips, counts: np.ndarray) -> np.ndarray:
    """Fill in a row's intervals and return its mean of the objective in each draw, (R,)."""
    objective = row.result.objective
    figures = row.result.figures[objective.name]
    table, drawn = _draw(held_out(ledger, row, clips), counts, objective)
    row.intervals = _intervals(table, drawn, figures, objective)
    if objective.name in row.result.evaluation:
        parts = ledger.trial(row.key).for_seeds(ledger.study.seeds)
        scores = [
            part.read_scores(fold.fold, "evaluation", "evaluation_clips") for fold in row.result.folds for part in parts
        ]
        whole = clips.evaluation(scores[0]["evaluation_clips"])
        mean = np.mean([own["evaluation"] for own in scores], axis=0)
        parts_drawn = _draw([[(whole, mean)]], counts, objective)
        row.eval_intervals = _intervals(*parts_drawn, row.result.evaluation[objective.name], objective)
    return centred(drawn, np.nan if figures.mean is None else figures.mean)


def _draw(
    seeds: list[list[tuple[ScoredFold, np.ndarray]]], counts: np.ndarray, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """A metric of some folds in each draw, by tag (R, K) and on the whole (R,): means over seeds."""
    table = np.mean([resampled_table(folds, counts, metric) for folds in seeds], axis=0)
    if metric.by_label is None:
        return table, resampled_means(table)
    return table, np.mean([resampled_label_means(folds, counts, metric) for folds in seeds], axis=0)


def held_out(ledger: Ledger, row: ResultRow, clips: Clips) -> list[list[tuple[ScoredFold, np.ndarray]]]:
    """Read a row's held-out clips with their scores (n, K) by fold, a list for each seed."""
    found = []
    for part in ledger.trial(row.key).for_seeds(ledger.study.seeds):
        scores = {fold.fold: part.read_scores(fold.fold, "held_out", "held_out_clips") for fold in row.result.folds}
        found.append([(clips.held_out(fold, own["held_out_clips"]), own["held_out"]) for fold, own in scores.items()])
    return found


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
