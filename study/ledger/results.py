"""The results of a study, made from the records of its folds."""

import math
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.labels import as_lists
from audiotag.metrics import METRICS, Metric, mean_defined, sample_variance
from study.ledger.ledger import Ledger
from study.ledger.paper import published_row
from study.ledger.pruning import read_pruned
from study.ledger.schema import (
    CorpusRecord,
    FailedPartition,
    Figures,
    FoldRecord,
    FoldResult,
    OverPartitions,
    PartitionResult,
    SeedFold,
    SeedResult,
    StudyRecord,
    StudyResults,
    TrialResult,
)
from study.ledger.trial_folder import TrialFolder


def study_results(ledger: Ledger, status: str) -> StudyResults:
    """The content of results.json; `status` is finished or interrupted.

    A trial that has neither finished the corpus's own folds nor failed, and was not pruned, is left out: its folds are
    in the ledger, but it has no result yet.
    """
    results = [trial_result(ledger, folder) for folder in ledger.trials()]
    return StudyResults(ledger.study, status, tuple(result for result in results if result is not None))


def count_ended(ledger: Ledger) -> int:
    """How many trials of a study have finished, in all partitions, or failed, or were pruned."""
    results = (trial_result(ledger, folder) for folder in ledger.trials())
    return sum(result is not None and not result.goes_on for result in results)


def folds_done(ledger: Ledger) -> dict[str, int]:
    """How many folds, of all partitions, each trial has finished that goes on; by its key."""
    study, found = ledger.study, {}
    for folder in ledger.trials():
        if (result := trial_result(ledger, folder)) is None or result.goes_on:
            parts = [folder.for_partition(partition) for partition in study.partitions_of(folder.key)]
            found[folder.key] = sum(len(finished_folds(part, study)) for part in parts)
    return found


def is_complete(ledger: Ledger) -> bool:
    """Whether every trial of a study has ended, and it gets no more partitions by itself."""
    study = ledger.study
    return count_ended(ledger) >= study.trials and (not study.is_until_clear or bool(study.settled))


def trial_result(ledger: Ledger, folder: TrialFolder) -> TrialResult | None:
    """The result of a trial; None while it has neither finished the corpus's own folds nor ended otherwise.

    Results of ended trials are kept by the ledger: reading a trial's files takes 4 ms of CPU time, and a session needs
    every result several times. One that goes on is read anew each time, so that damage is reported each time.
    """
    ended = ledger.ended
    if (known := ended.get(folder.key)) is not None:
        return known
    if (result := _read_result(ledger, folder)) is not None and not result.goes_on:
        ended[folder.key] = result
    return result


def _read_result(ledger: Ledger, folder: TrialFolder) -> TrialResult | None:
    study, trial, failure = ledger.study, folder.trial, folder.read_failure()
    folds = _read_folds(ledger, folder)
    pruned = read_pruned(folder) if failure is None else None
    whole = failure is None and pruned is None
    if whole and len(folds) < len(study.folds):
        return None
    scored = folds if whole else []
    seeds = seed_results(scored, study) if study.has_several_seeds else ()
    partitions = _read_partitions(ledger, folder) if whole else ()
    stopped = _read_stop(folder, study) if whole else None
    return TrialResult(
        key=folder.key,
        number=trial.number,
        params=trial.config,
        status="finished" if whole else "failed" if pruned is None else "pruned",
        seconds=sum(fold.seconds for fold in folds),
        figures=with_seed_spread(summarise(scored, study.tags), seeds),
        evaluation=score_evaluation(folder, study) if whole else {},
        folds=tuple(folds),
        objective=study.objective,
        seeds=seeds,
        reason=failure if failure is not None else pruned.reason if pruned is not None else None,
        pruned=pruned,
        published=published_row(trial.config) if study.corpus.kind == "chime_home" else None,
        partitions=partitions,
        over_partitions=over_partitions(folds, partitions, study.tags),
        failed_partition=stopped,
        goes_on=whole and stopped is None and 1 + len(partitions) < len(study.partitions_of(folder.key)),
    )


def _read_folds(ledger: Ledger, folder: TrialFolder) -> list[FoldResult]:
    """The finished folds of a partition, in which `folder` is the trial's, with all metrics."""
    study = ledger.study
    parts = folder.for_seeds(study.seeds)
    return [
        merge_seeds([with_all_metrics(*pair, ledger) for pair in zip(records, parts, strict=True)], study.seeds)
        for records in finished_folds(folder, study)
    ]


def _read_partitions(ledger: Ledger, folder: TrialFolder) -> tuple[PartitionResult, ...]:
    """What a trial has of the partitions that were drawn: those that it has finished, one after the other."""
    study, found = ledger.study, []
    for partition in study.partitions_of(folder.key)[1:]:
        part = folder.for_partition(partition)
        folds = _read_folds(ledger, part)
        if len(folds) < len(study.folds):
            break
        figures, evaluation = summarise(folds, study.tags), score_evaluation(part, study)
        found.append(PartitionResult(partition, figures, evaluation, tuple(folds), sum(fold.seconds for fold in folds)))
    return tuple(found)


def over_partitions(
    folds: Sequence[FoldResult], partitions: Sequence[PartitionResult], tags: Sequence[str]
) -> OverPartitions | None:
    """Summarise the corpus's own folds with those of the partitions that were drawn; None where there are none."""
    if not partitions:
        return None
    every = [*folds, *(fold for own in partitions for fold in own.folds)]
    return OverPartitions(1 + len(partitions), summarise(every, tags))


def _read_stop(folder: TrialFolder, study: StudyRecord) -> FailedPartition | None:
    """Why a trial has no result of a partition that was drawn, and is not trained on later ones."""
    drawn = study.partitions_of(folder.key)[1:]
    reasons = {partition: folder.for_partition(partition).read_failure() for partition in drawn}
    return next((FailedPartition(number, reason) for number, reason in reasons.items() if reason is not None), None)


def in_progress(folder: TrialFolder, study: StudyRecord) -> TrialFolder:
    """A trial's folder for the first partition that it has not finished, or else for the last."""
    parts = [folder.for_partition(partition) for partition in study.partitions_of(folder.key)]
    return next((part for part in parts if len(finished_folds(part, study)) < len(study.folds)), parts[-1])


def finished_folds(folder: TrialFolder, study: StudyRecord) -> list[list[FoldRecord]]:
    """The records of a trial's folds that are finished with every seed, one list per fold with one record per seed.

    They are those of the partition for which `folder` is.
    """
    parts = folder.for_seeds(study.seeds)
    found = []
    for fold in study.folds:
        records = [record for part in parts if (record := part.read_fold(fold)) is not None]
        found += [records] if len(records) == len(parts) else []
    return found


def merged_folds(folder: TrialFolder, study: StudyRecord) -> list[FoldResult]:
    """A trial's folds that are finished with every seed."""
    return [merge_seeds(records, study.seeds) for records in finished_folds(folder, study)]


def with_all_metrics(record: FoldRecord, folder: TrialFolder, ledger: Ledger) -> FoldRecord:
    """A fold's record with the metrics that are newer than it, from its scores.

    `folder` is that of its seed and partition. Without the study's clips, or with scores that do not fit them, it has
    those that it has.
    """
    if METRICS.keys() <= record.figures.keys():
        return record
    try:
        if (clips := ledger.clips(folder.partition)) is None:
            return record
        scores = folder.read_scores(record.fold, "held_out", "held_out_clips")
        targets = clips.held_out(record.fold, scores["held_out_clips"]).targets
        found = score(targets, scores["held_out"], ledger.study.tags)
    except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile):
        return record
    return replace(record, figures=found | record.figures)


def merge_seeds(records: Sequence[FoldRecord], seeds: Sequence[int]) -> FoldResult:
    """A fold's records, one per seed, as one: figures and epochs are means, seconds a sum.

    A figure of a tag is None with every seed or with none, because all score the same clips. A metric
    that is newer than one of the records has no figure.
    """
    first = records[0]
    if len(records) == 1:
        return FoldResult(first.fold, first.figures, first.best_epoch, first.epochs, first.seconds)
    return FoldResult(
        fold=first.fold,
        figures={
            name: _mean_figures([record.figures[name] for record in records])
            for name in first.figures
            if all(name in record.figures for record in records)
        },
        best_epoch=fmean(record.best_epoch for record in records),
        epochs=fmean(record.epochs for record in records),
        seconds=sum(record.seconds for record in records),
        repeats=tuple(
            SeedFold(seed, record.figures, record.best_epoch, record.epochs, record.seconds)
            for seed, record in zip(seeds, records, strict=True)
        ),
    )


def _mean_figures(parts: Sequence[Figures]) -> Figures:
    by_tag = {tag: _mean([part.by_tag[tag] for part in parts]) for tag in parts[0].by_tag}
    return Figures(by_tag, _mean([part.mean for part in parts]))


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None


def seed_results(folds: Sequence[FoldResult], study: StudyRecord) -> tuple[SeedResult, ...]:
    """What each seed alone gives."""
    return tuple(
        SeedResult(seed, summarise([fold.repeats[place] for fold in folds], study.tags))
        for place, seed in enumerate(study.seeds)
    )


def with_seed_spread(figures: dict[str, Figures], seeds: Sequence[SeedResult]) -> dict[str, Figures]:
    """The figures with the standard deviation of their means over seeds."""
    if not seeds:
        return figures
    spread = {name: np.sqrt(sample_variance([_number(s.figures[name].mean) for s in seeds])) for name in figures}
    return {
        name: Figures(part.by_tag, part.mean, part.var_classes, part.var_folds, plain(spread[name]))
        for name, part in figures.items()
    }


def summarise(folds: Sequence[FoldResult | SeedFold | FoldRecord], tags: Sequence[str]) -> dict[str, Figures]:
    """Of each metric that all folds have: mean over folds of each tag's figure, their mean, and the two variances.

    The mean of a metric of labels is that of the folds' own, in which a tag weighs as much as it has clips. Without
    folds each metric has figures that do not exist.
    """
    if not folds:
        return {name: Figures(dict.fromkeys(tags), None) for name in METRICS}
    names = [name for name in METRICS if all(name in fold.figures for fold in folds)]
    return {name: _over_folds([fold.figures[name] for fold in folds], tags, METRICS[name]) for name in names}


def _over_folds(folds: Sequence[Figures], tags: Sequence[str], metric: Metric) -> Figures:
    by_fold = np.array([[_number(fold.by_tag[tag]) for tag in tags] for fold in folds])  # (folds, K)
    by_tag = mean_defined(by_fold, axis=0)
    own = np.array([_number(fold.mean) for fold in folds]) if metric.by_label else mean_defined(by_fold, axis=1)
    return Figures(
        {tag: plain(value) for tag, value in zip(tags, by_tag, strict=True)},
        plain(mean_defined(own if metric.by_label else by_tag)),
        plain(sample_variance(by_tag)),
        plain(sample_variance(own)),
    )


def running_means(folds: Sequence[FoldResult], study: StudyRecord) -> list[float]:
    """Mean of the objective over a trial's first fold, its first two, ... as far as they are finished and have one."""
    means: list[float] = []
    for done, (number, fold) in enumerate(zip(study.folds, folds, strict=False), start=1):
        mean = summarise(folds[:done], study.tags)[study.metric].mean
        if fold.fold != number or mean is None:
            break
        means.append(mean)
    return means


def seed_means(records: Sequence[FoldRecord], study: StudyRecord) -> list[float | None]:
    """Mean of the objective in a fold over its first seed, its first two, ...: records of one fold, one per seed."""
    figures = [record.figures.get(study.metric, Figures({}, None)).mean for record in records]
    return [_mean(figures[:done]) for done in range(1, 1 + len(figures))]


def score(targets: np.ndarray, scores: np.ndarray, tags: Sequence[str]) -> dict[str, Figures]:
    """The figures of each metric for some clips: targets (n, K), NaN where unknown, and scores (n, K)."""
    found = {}
    for name, metric in METRICS.items():
        values, mean = metric.score(targets, scores)
        by_tag = {tag: plain(value) for tag, value in zip(tags, values, strict=True)}
        found[name] = Figures(by_tag, plain(mean), plain(sample_variance(values)))
    return found


def score_evaluation(folder: TrialFolder, study: StudyRecord) -> dict[str, Figures]:
    """Figures on the evaluation split of the mean probability of all fold models; empty without such a split.

    The models are those of the partition for which `folder` is. Nothing is selected on the figures.
    """
    rows = study.corpus.evaluation_targets
    if not rows:
        return {}
    targets = np.array(list(rows.values()), dtype=np.float32)
    folders = folder.for_seeds(study.seeds)
    parts = [part.read_scores(fold, "evaluation")["evaluation"] for fold in study.folds for part in folders]
    return score(targets, np.mean(parts, axis=0), study.tags)


def corpus_record(corpus: Corpus) -> CorpusRecord:
    """What a study file says of its corpus."""
    evaluated = [corpus.clips[clip] for clip in corpus.evaluation]
    return CorpusRecord(
        name=corpus.name,
        fingerprint=corpus.fingerprint,
        tags=tuple(corpus.tags),
        folds=tuple(corpus.fold_numbers),
        evaluation_targets=dict(zip(evaluated, as_lists(corpus.targets[corpus.evaluation]), strict=True)),
        kind=corpus.kind,
        path=str(corpus.root),
        development_clips=len(corpus.development),
        evaluation_clips=len(corpus.evaluation),
        clip_seconds=corpus.clip_seconds,
        skipped=corpus.skipped,
        tag_separator=corpus.tag_separator,
        asked_seconds=corpus.asked_seconds,
        split=corpus.split_sizes if corpus.has_fixed_split else None,
    )


def plain(value: float | np.ndarray) -> float | None:
    """A number as JSON holds it: NaN becomes None."""
    return None if math.isnan(value) else float(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
