"""One trial: its configuration trained and scored in every fold, ledger first, then Ray Tune."""

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from ray import tune

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus
from audiotag.declarations.own_code import as_text
from audiotag.features.store import CacheError
from audiotag.models.backend import ConvolutionError
from audiotag.training.device import GPUError, explain_full_memory, use_gpu
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from audiotag.training.fit import Diverged
from study.ledger.context import StudyContext
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.keeper import Keeper, trainings_of
from study.ledger.partitions import in_partition
from study.ledger.progress import Report
from study.ledger.results import merge_seeds, seed_means, summarise
from study.ledger.saved_state import SavedState, unpack_state
from study.ledger.schema import FoldRecord, FoldResult, StudyRecord
from study.tuning.features import TrialFeatures
from study.tuning.fold_training import FoldTraining, SaveTimes
from study.tuning.shared_features import SharedFeatures
from study.tuning.writer import RemoteKeeper, Writer

SHOWN = (LedgerWarning,)  # warnings that reach the user


def run_trial(
    parameters: dict[str, Any],
    *,
    context: StudyContext,
    corpus: Corpus,
    features: SharedFeatures,
    writer: Writer,
    save_seconds: float,
    report_seconds: float,
    threads: int,
    card: float,
) -> None:
    """Train what the ledger lacks of a trial and report its epochs: the function that Ray Tune runs.

    A loss that is not finite ends the trial: the reason goes into the ledger and into a last report. A ledger that
    cannot be written, a cache that was deleted, or a GPU that does not start or is too small, ends the study. Warnings
    travel with the reports.

    Args:
        parameters: The search-space parameters.
        context: What the trials share.
        corpus: Its audio is not read.
        features: Of all trials, of which this one takes its own.
        writer: Writes the ledger.
        save_seconds: See `SaveTimes`.
        report_seconds: Epochs that end within so many seconds of a report are reported later, several at once.
        threads: Of torch.
        card: The share of a GPU that the trial may use, 0 for none.
    """
    torch.set_num_threads(threads)
    config, worst = context.config(parameters), context.study.objective.worst
    keeper = RemoteKeeper(writer, context.key(config))
    with warnings.catch_warnings(record=True) as caught:
        for shown in SHOWN:
            warnings.simplefilter("always", shown)
        try:
            device = use_gpu(card) if card else "cpu"
            save_times = SaveTimes(save_seconds)
            reports = trial_reports(config, keeper, context, corpus, features.of(config), device, save_times)
            for report in coalesce(reports, report_seconds):
                texts = tuple(str(warning.message) for warning in caught if issubclass(warning.category, SHOWN))
                caught.clear()
                tune.report(replace(report, warnings=texts).to_dict())
        except (LedgerError, CacheError, ConvolutionError, GPUError) as error:
            tune.report(Report(worst, halted=str(error)).to_dict())
        except torch.OutOfMemoryError as error:
            reason = f"{explain_full_memory(card)} ({str(error).splitlines()[0]})"
            tune.report(Report(worst, halted=reason).to_dict())
        except MemoryError:  # its kind tells the driver what to do
            raise
        except Exception as error:
            told = as_text(error, config.code) if config.own_names else error
            if told is error:
                raise
            raise told from None


def coalesce(reports: Iterable[Report], seconds: float) -> Iterator[Report]:
    """Put epochs of a training that end within so many seconds of a report into the next one; others come at once."""
    waiting: Report | None = None
    last = -math.inf
    for report in reports:
        if waiting is not None:
            if report.epoch is not None and waiting.epoch is not None and report.training == waiting.training:
                report = replace(report, earlier=(*waiting.earlier, waiting.epoch))
            else:
                yield waiting
            waiting = None
        if report.epoch is not None and time.monotonic() < last + seconds:
            waiting = report
        else:
            last = time.monotonic()
            yield report
    if waiting is not None:
        yield waiting


def trial_reports(
    config: TrialConfig,
    keeper: Keeper,
    context: StudyContext,
    corpus: Corpus,
    features: TrialFeatures,
    device: str,
    save_times: SaveTimes,
) -> Iterator[Report]:
    """A trial's reports, one per epoch and one at the end of each fold, after which it may be pruned.

    A fold is in the ledger before its end is reported; epochs are as often as `save_times` says. A fold is trained with
    each seed before the next one begins, and is done when all seeds have it; so are all folds of a partition before
    those of the next.
    """
    study, start = context.study, keeper.begin()
    if start.failure is not None:
        yield Report(study.objective.worst, failed=start.failure)
        return
    saved = _unpack(start.state, keeper)
    done: list[FoldResult] = []
    records = dict(start.finished)
    trainings = trainings_of(study, context.key(config))
    for first in range(0, len(trainings), study.repeats):
        each = trainings[first : first + study.repeats]  # of a fold
        divided = in_partition(corpus, study, each[0].partition)
        left = [training for training in each if training not in records]
        if done and left:
            yield Report(_mean(done, study), len(done))
        for training in left:
            if study.has_fixed_split and training is not each[0]:
                yield _report_seeds([records[other] for other in each[: each.index(training)]], study)
            state = saved.state if saved is not None and saved.names == training.names else None
            saved = saved if state is None else None  # used up
            fold = FoldTraining(config, training, study, divided, features, device, start.trial)
            try:
                for result in fold.run(state, keeper, save_times):
                    mean = _mean(done, study) if done else _so_far(result, study)
                    where = Report(mean, len(done), training.fold, fold.own_seed, partition=training.partition)
                    yield _report(result, where)
            except Diverged as diverged:
                reason = str(diverged) + (f" with seed {fold.own_seed}" if len(study.seeds) > 1 else "")
                yield _end(keeper, training.partition, reason, done, context, config)
                return
            records[training] = fold.record
        done.append(merge_seeds([records[training] for training in each], study.seeds))
    yield Report(_mean(done, study), len(done))


def _report_seeds(records: Sequence[FoldRecord], study: StudyRecord) -> Report:
    """Report the end of a seed on a fixed split, after which the trial may be pruned; `records` are of those done."""
    mean = seed_means(records, study)[-1]
    return Report(study.objective.worst if mean is None else mean, seeds_done=len(records))


def _unpack(content: bytes | None, keeper: Keeper) -> SavedState | None:
    """A saved state of the trial; one that cannot be read is set aside."""
    if content is None:
        return None
    try:
        return unpack_state(content)
    except Exception as error:  # whatever a torn file makes of the unpickler
        keeper.set_state_aside(type(error).__name__)
        return None


def _end(
    keeper: Keeper, partition: int, reason: str, done: list[FoldResult], context: StudyContext, config: TrialConfig
) -> Report:
    """Record that a trial failed in a partition; of a later one it keeps the result of those before."""
    keeper.fail(partition, reason)
    if partition == 1:
        return Report(context.study.objective.worst, len(done), failed=reason)
    key = context.key(config)
    text = f"Trial {key} failed in partition {partition}: {reason}; it keeps its result of those before."
    warnings.warn(text, LedgerWarning, stacklevel=2)
    return Report(_mean(done, context.study), len(done))


def _report(result: EpochResult | PretrainingEpoch, report: Report) -> Report:
    if isinstance(result, EpochResult):
        return replace(report, epoch=result)
    return replace(report, pretraining=result)


def _mean(done: list[FoldResult], study: StudyRecord) -> float:
    """Mean of the objective over finished folds of the corpus's own partition; Optuna must never get NaN."""
    mean = summarise(done[: len(study.folds)], study.tags)[study.metric].mean
    return study.objective.worst if mean is None else mean


def _so_far(result: EpochResult | PretrainingEpoch, study: StudyRecord) -> float:
    """The objective on the validation set, before a fold is done."""
    mean = result.val_means[study.metric] if isinstance(result, EpochResult) else math.nan
    return study.objective.worst if math.isnan(mean) else mean
