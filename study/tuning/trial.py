"""One trial: its configuration trained and scored in every fold, ledger first, then Ray Tune."""

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from ray import tune

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.partitions import partition_seed
from audiotag.corpus.splits import FoldSplit, split_fold
from audiotag.declarations.own_code import as_text
from audiotag.models.backend import ConvolutionError
from audiotag.training.device import GPUError, explain_full_memory, use_gpu
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from audiotag.training.fit import Diverged, FitState, fit, predict, pretrain, start_fit
from study.ledger.context import StudyContext
from study.ledger.files import LedgerWarning, WriteError
from study.ledger.ledger import trial_folder
from study.ledger.partitions import in_partition
from study.ledger.progress import Report
from study.ledger.results import merge_seeds, score, summarise
from study.ledger.schema import FoldRecord, FoldResult, StudyRecord
from study.ledger.trial_folder import TrialFolder
from study.tuning.features import StudyFeatures, TrialFeatures

SHOWN = (LedgerWarning,)  # warnings that reach the user


def run_trial(
    parameters: dict[str, Any],
    *,
    context: StudyContext,
    corpus: Corpus,
    features: StudyFeatures,
    threads: int,
    card: float,
) -> None:
    """Train what the ledger lacks of a trial and report each epoch: the function that Ray Tune runs.

    A loss that is not finite ends the trial: the reason goes into the ledger and into a last report. A ledger that
    cannot be written, or a GPU that does not start or is too small, ends the study. Warnings travel with the reports.

    Args:
        parameters: The search-space parameters.
        context: What the trials share.
        corpus: Its audio is not read.
        features: Of all trials, of which this one takes its own.
        threads: Of torch.
        card: The share of a GPU that the trial may use, 0 for none.
    """
    torch.set_num_threads(threads)
    config, worst = context.config(parameters), context.study.objective.worst
    folder = trial_folder(context.root, context.key(config))
    with warnings.catch_warnings(record=True) as caught:
        for shown in SHOWN:
            warnings.simplefilter("always", shown)
        try:
            device = use_gpu(card) if card else "cpu"
            with folder.locked():
                for report in trial_reports(config, folder, context, corpus, features.of(config), device):
                    texts = tuple(str(warning.message) for warning in caught if issubclass(warning.category, SHOWN))
                    caught.clear()
                    tune.report(replace(report, warnings=texts).to_dict())
        except (WriteError, ConvolutionError, GPUError) as error:
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


def trial_reports(
    config: TrialConfig,
    folder: TrialFolder,
    context: StudyContext,
    corpus: Corpus,
    features: TrialFeatures,
    device: str,
) -> Iterator[Report]:
    """A trial's reports, one per epoch and one at the end of each fold, after which it may be pruned.

    Each is in the ledger before it is yielded. A fold is trained with each seed before the next one begins, and is done
    when all seeds have it; so are all folds of a partition before those of the next.
    """
    study, seeds = context.study, context.study.seeds
    done: list[FoldResult] = []
    for partition, fold in product(study.partitions_of(folder.key), corpus.fold_numbers):
        parts = folder.for_partition(partition).for_seeds(seeds)
        divided = in_partition(corpus, study, partition)
        left = [(seed, part) for seed, part in zip(seeds, parts, strict=True) if part.read_fold(fold) is None]
        if done and left:
            yield Report(_mean(done, study), len(done))
        for seed, part in left:
            drawn = partition_seed(seed, partition)
            try:
                for result in train_fold(config, part, study.protocol, divided, features, fold, drawn, device):
                    mean = _mean(done, study) if done else _so_far(result, study)
                    yield _report(result, Report(mean, len(done), fold, seed, partition=partition))
            except Diverged as diverged:
                reason = str(diverged) + (f" with seed {seed}" if len(seeds) > 1 else "")
                yield _end(parts[0], reason, done, study)
                return
        records = [record for part in parts if (record := part.read_fold(fold)) is not None]
        assert len(records) == len(seeds), "train_fold ends with the fold's record"
        done.append(merge_seeds(records, seeds))
    yield Report(_mean(done, study), len(done))


def _end(folder: TrialFolder, reason: str, done: list[FoldResult], study: StudyRecord) -> Report:
    """Record that a trial failed in the partition of `folder`; of a later one it keeps the result of those before."""
    folder.write_failure(reason)
    if folder.partition == 1:
        return Report(study.objective.worst, len(done), failed=reason)
    text = f"Trial {folder.key} failed in partition {folder.partition}: {reason}; it keeps its result of those before."
    warnings.warn(text, LedgerWarning, stacklevel=2)
    return Report(_mean(done, study), len(done))


def train_fold(
    config: TrialConfig,
    folder: TrialFolder,
    protocol: str,
    corpus: Corpus,
    features: TrialFeatures,
    fold: int,
    seed: int,
    device: str,
) -> Iterator[EpochResult | PretrainingEpoch]:
    """Train one fold, from its last saved epoch where there is one, and end with the fold's record in the ledger.

    `folder` is the trial's for this seed and partition, `corpus` has the partition's folds, and `seed` is that of the
    training (`partition_seed`).
    """
    folder.set_fold_aside(fold)
    split = split_fold(corpus, fold, protocol, seed)
    training: dict[str, Any] = {"seed": seed, "fold": fold, "device": device}
    state = start_fit(config, features.clips, len(corpus.tags), split.train, **training)
    if (saved := folder.read_running(fold)) is not None:
        try:
            state.load_state_dict(saved)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:  # of another network
            folder.set_running_aside(error)
            state = start_fit(config, features.clips, len(corpus.tags), split.train, **training)
    for epoch in pretrain(state, features.clips, split.train, **training):
        folder.write_running(fold, state.state_dict())
        yield epoch
    training |= {"variants": features.variants, "waves": features.waves}
    for result in fit(state, config, features.clips, corpus.targets, split, **training):
        folder.write_running(fold, state.state_dict())
        yield result
    _finish_fold(folder, fold, state, split, corpus, features.clips, device)


def _finish_fold(
    folder: TrialFolder,
    fold: int,
    state: FitState,
    split: FoldSplit,
    corpus: Corpus,
    features: np.ndarray,
    device: str,
) -> None:
    """Score the held-out and the evaluation clips with the best weights, and write the finished fold.

    Held-out clips that are the validation set (protocol `paper`) have been scored when these weights were the newest.
    """
    started = time.perf_counter()
    state.model.load_state_dict(state.best)
    clips = {"held_out": split.held_out, "evaluation": corpus.evaluation}
    scores = {"held_out": state.best_scores.numpy()} if np.array_equal(split.held_out, split.validation) else {}
    for name, indices in clips.items():
        if name not in scores and len(indices):
            scores[name] = predict(state.model, features, indices, device=device)
    scores.setdefault("evaluation", np.zeros((0, len(corpus.tags)), np.float32))
    names = {f"{name}_clips": np.array([corpus.clips[clip] for clip in part], np.str_) for name, part in clips.items()}
    record = FoldRecord(
        fold=fold,
        figures=score(corpus.targets[split.held_out], scores["held_out"], corpus.tags),
        best_epoch=state.best_epoch,
        epochs=len(state.history),
        seconds=state.seconds + time.perf_counter() - started,
        epoch_rows=tuple(_without_nan(result.to_dict()) for result in state.history),
        pretraining=tuple(state.pretraining),
        trial=folder.trial,
    )
    folder.write_fold(record, {**scores, **names}, state.best)


def _without_nan(row: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in row.items()}


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
