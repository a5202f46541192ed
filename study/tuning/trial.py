"""One trial: its configuration trained and scored in every fold, ledger first, then Ray Tune."""

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray import tune

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.splits import FoldSplit, split_fold
from audiotag.features.log_mel import LogMel
from audiotag.models.build import front_end
from audiotag.training.device import DeviceWarning, GPUShareError, use_gpu
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from audiotag.training.fit import (
    Diverged,
    FitState,
    fit,
    fit_unsupervised,
    predict,
    start_fit,
)
from study.ledger.context import TrialSettings
from study.ledger.files import LedgerWarning, WriteError
from study.ledger.ledger import Ledger, TrialFolder
from study.ledger.reports import FAILED, HALTED, METRIC, SAID
from study.ledger.results import fold_eers, summarise
from study.ledger.seeds import merged

TOLD = (LedgerWarning, DeviceWarning)  # warnings that reach the user


def run_trial(
    parameters: dict[str, Any],
    *,
    settings: TrialSettings,
    corpus: Corpus,
    features: dict[LogMel, np.ndarray],
    threads: int,
    card: float,
) -> None:
    """The function that Ray Tune runs: trains what the ledger lacks of a trial and reports each epoch.

    `features` holds those of each front end, of which the trial takes its own; `card` is the part of a GPU that it may
    use, 0 for none. A loss that is not finite ends the trial: the reason goes into the ledger and into a last report. A
    ledger that cannot be written, or a part of a GPU that is too small, ends the study. Warnings travel with the
    reports: nobody reads what a worker prints.
    """
    torch.set_num_threads(threads)
    config = settings.config(parameters)
    folder = Ledger(Path(settings.ledger)).trial(settings.key(config))
    device = "cuda" if card and torch.cuda.is_available() else "cpu"
    with warnings.catch_warnings(record=True) as caught:
        for told in TOLD:
            warnings.simplefilter("always", told)
        try:
            if device == "cuda":
                use_gpu(card)
            with folder.locked():
                for report in trial_reports(config, folder, settings, corpus, features[front_end(config)], device):
                    said = [str(warning.message) for warning in caught if issubclass(warning.category, TOLD)]
                    caught.clear()
                    tune.report(report | {SAID: said})
        except WriteError as error:
            tune.report({METRIC: 1.0, HALTED: str(error)})
        except (GPUShareError, torch.OutOfMemoryError) as error:
            needs = f"--gpus-per-trial is {card:g}, but a trial needs more of the GPU's memory: ask for more."
            tune.report({METRIC: 1.0, HALTED: f"{needs} ({str(error).splitlines()[0]})"})


def trial_reports(
    config: TrialConfig,
    folder: TrialFolder,
    settings: TrialSettings,
    corpus: Corpus,
    features: np.ndarray,
    device: str,
) -> Iterator[dict[str, Any]]:
    """A trial's reports, one an epoch and one at the end of each fold (after which it may be stopped); each is in the
    ledger before it is yielded.

    A fold is trained with each seed before the next one begins, and is done when all its repeats are.
    """
    tags, seeds, parts = list(corpus.tags), settings.seeds, folder.repeats(settings.seeds)
    done: list[dict[str, Any]] = []
    for fold in corpus.fold_numbers:
        left = [(seed, part) for seed, part in zip(seeds, parts, strict=True) if part.fold(fold) is None]
        if done and left:
            yield {METRIC: summarise(done, tags)[METRIC], "folds_done": len(done)}
        for seed, part in left:
            try:
                for result in train_fold(config, part, settings.protocol, corpus, features, fold, seed, device):
                    report = _plain_report(result)
                    so_far = summarise(done, tags)[METRIC] if done else _defined(report.get("val_eer_mean"))
                    yield {METRIC: so_far, "fold": fold, "seed": seed, "folds_done": len(done), **report}
            except Diverged as diverged:
                reason = str(diverged) + (f" with seed {seed}" if len(seeds) > 1 else "")
                folder.write_failure(reason)
                yield {METRIC: 1.0, "folds_done": len(done), FAILED: reason}
                return
        records = [record for part in parts if (record := part.fold(fold)) is not None]
        assert len(records) == len(seeds), "train_fold ends with the fold's record"
        done.append(merged(records, seeds))
    yield {METRIC: summarise(done, tags)[METRIC], "folds_done": len(done)}


def train_fold(
    config: TrialConfig,
    folder: TrialFolder,
    protocol: str,
    corpus: Corpus,
    features: np.ndarray,
    fold: int,
    seed: int,
    device: str,
) -> Iterator[EpochResult | PretrainingEpoch]:
    """Trains one fold, from its last saved epoch where there is one, and ends with the fold's record in the ledger.

    `folder` is the trial's as the repeat with this seed sees it.
    """
    folder.set_aside(fold)
    split = split_fold(corpus, fold, protocol, seed)
    chance: dict[str, Any] = {"seed": seed, "fold": fold, "device": device}
    state = start_fit(config, features, len(corpus.tags), split.train, **chance)
    if (saved := folder.running(fold)) is not None:
        try:
            state.load_state_dict(saved)
        except (
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
            AttributeError,
        ) as error:  # readable, but of no such network
            folder.set_running_aside(error)
            state = start_fit(config, features, len(corpus.tags), split.train, **chance)
    for stage in fit_unsupervised(state, config, features, split.train, **chance):
        folder.write_running(fold, state.state_dict())
        yield stage
    for result in fit(state, config, features, corpus.targets, split, **chance):
        folder.write_running(fold, state.state_dict())
        yield result
    _write_fold(folder, fold, state, split, corpus, features, device)


def _write_fold(
    folder: TrialFolder,
    fold: int,
    state: FitState,
    split: FoldSplit,
    corpus: Corpus,
    features: np.ndarray,
    device: str,
) -> None:
    """Scores the held-out and the evaluation clips with the best weights, and writes the finished fold.

    Held-out clips that are the validation set (protocol `paper`) have been scored when these weights were the newest.
    """
    started = time.perf_counter()
    state.model.load_state_dict(state.best)
    parts = {"held_out": split.held_out, "evaluation": corpus.evaluation}
    known = {"held_out": state.best_scores.numpy()} if np.array_equal(split.held_out, split.validation) else {}
    scores = known | {
        name: predict(state.model, features, clips, device=device)
        if len(clips)
        else np.zeros((0, len(corpus.tags)), np.float32)
        for name, clips in parts.items()
        if name not in known
    }
    names = {
        f"{name}_clips": np.array([corpus.clips[clip] for clip in clips], np.str_) for name, clips in parts.items()
    }
    record = {
        "fold": fold,
        **fold_eers(corpus.targets[split.held_out], scores["held_out"], corpus.tags),
        "best_epoch": state.best_epoch,
        "epochs": len(state.history),
        "seconds": state.seconds + time.perf_counter() - started,
        "history": [{name: _plain(value) for name, value in result.to_dict().items()} for result in state.history],
        "unsupervised": [asdict(result) for result in state.unsupervised],
    }
    folder.write_fold(fold, record, {**scores, **names}, state.best)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain_report(result: EpochResult | PretrainingEpoch) -> dict[str, Any]:
    """What listeners hear of an epoch; one without tags has its own name, for it has neither curve nor score."""
    if isinstance(result, PretrainingEpoch):
        return {"unsupervised_epoch": result.epoch, "seconds": result.seconds}
    return result.to_dict()


def _defined(eer: float | None) -> float:
    """An EER for Optuna, to which NaN must never be reported: 0.5, chance, where there is none."""
    return 0.5 if eer is None or math.isnan(eer) else eer
