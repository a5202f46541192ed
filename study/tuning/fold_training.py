"""The training of a fold: from its saved state where there is one, to the record that the ledger keeps."""

import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.partitions import partition_seed
from audiotag.corpus.splits import FoldSplit, split_fold
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from audiotag.training.fit import FitState, fit, predict, pretrain, start_fit
from audiotag.training.windows import Windows, make_windows
from study.ledger.keeper import Keeper
from study.ledger.provenance import current_versions
from study.ledger.results import score
from study.ledger.saved_state import Training, pack_fold, pack_state
from study.ledger.schema import FoldRecord, StudyRecord, TrialRecord
from study.tuning.features import TrialFeatures


class SaveTimes:
    """When the state of a training is saved: after the first epoch that ends so many seconds after the last time.

    So each epoch that takes as long is saved; of shorter ones a killed worker costs those seconds of training.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def has_come(self) -> bool:
        """Whether one has come; the next is counted from it."""
        if (now := time.monotonic()) - self._last < self._seconds:
            return False
        self._last = now
        return True


@dataclass
class FoldTraining:
    """The training of a fold with a seed in a partition, whose folds `corpus` has.

    Attributes:
        record: The fold's, once it is trained.
    """

    config: TrialConfig
    training: Training
    study: StudyRecord
    corpus: Corpus
    features: TrialFeatures
    device: str
    trial: TrialRecord
    record: FoldRecord = field(init=False)

    @property
    def own_seed(self) -> int:
        """The seed of the study with which it is trained."""
        return self.study.seed if self.training.seed is None else self.training.seed

    @property
    def drawn_seed(self) -> int:
        """The seed of what is random in it."""
        return partition_seed(self.own_seed, self.training.partition)

    @cached_property
    def _windows(self) -> Windows | None:
        """Those of the corpus's clips, where the configuration crops them."""
        return make_windows(self.config, self.corpus)

    def run(
        self, saved: dict[str, Any] | None, keeper: Keeper, save_times: SaveTimes
    ) -> Iterator[EpochResult | PretrainingEpoch]:
        """Train from a saved state, or from the beginning, and end with the fold's record in the ledger."""
        features, fold = self.features, self.training.fold
        split = split_fold(self.corpus, fold, self.study.protocol, self.drawn_seed)
        state = self._start(saved, split, keeper)
        training: dict[str, Any] = {"seed": self.drawn_seed, "fold": fold, "device": self.device}
        for epoch in pretrain(state, features.clips, split.train, **training):
            self._save(state, keeper, save_times)
            yield epoch
        training |= {"variants": features.variants, "waves": features.waves, "windows": self._windows}
        for result in fit(state, self.config, features.clips, self.corpus.targets, split, **training):
            self._save(state, keeper, save_times)
            yield result
        self._finish(state, split, keeper)

    def _start(self, saved: dict[str, Any] | None, split: FoldSplit, keeper: Keeper) -> FitState:
        """The saved state where it is one of this network, else the initial one."""
        training: dict[str, Any] = {"seed": self.drawn_seed, "fold": self.training.fold, "device": self.device}
        begin = self.config, self.features.clips, len(self.corpus.tags), split.train
        training |= {"windows": self._windows}
        state = start_fit(*begin, **training)
        if saved is None:
            return state
        try:
            state.load_state_dict(saved)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:  # of another network
            keeper.set_state_aside(type(error).__name__)
            state = start_fit(*begin, **training)
        return state

    def _save(self, state: FitState, keeper: Keeper, save_times: SaveTimes) -> None:
        if save_times.has_come():
            keeper.keep_state(pack_state(self.training, state.state_dict()))

    def _finish(self, state: FitState, split: FoldSplit, keeper: Keeper) -> None:
        """Score the held-out and the evaluation clips with the best weights, and hand the finished fold over.

        Held-out clips that are the validation set (protocol `paper`) have been scored when these weights were the
        newest.
        """
        started, corpus = time.perf_counter(), self.corpus
        state.model.load_state_dict(state.best)
        clips = {"held_out": split.held_out, "evaluation": corpus.evaluation}
        scores = {"held_out": state.best_scores.numpy()} if np.array_equal(split.held_out, split.validation) else {}
        for name, indices in clips.items():
            if name not in scores and len(indices):
                where: dict[str, Any] = {"device": self.device, "windows": self._windows}
                scores[name] = predict(state.model, self.features.clips, indices, **where)
        scores.setdefault("evaluation", np.zeros((0, len(corpus.tags)), np.float32))
        names = {
            f"{name}_clips": np.array([corpus.clips[clip] for clip in part], np.str_) for name, part in clips.items()
        }
        self.record = FoldRecord(
            fold=self.training.fold,
            figures=score(corpus.targets[split.held_out], scores["held_out"], corpus.tags),
            best_epoch=state.best_epoch,
            epochs=len(state.history),
            seconds=state.seconds + time.perf_counter() - started,
            epoch_rows=tuple(_without_nan(result.to_dict()) for result in state.history),
            pretraining=tuple(state.pretraining),
            trial=self.trial,
            trained_on=_place(self.device),
        )
        keeper.keep_fold(self.training, self.record, pack_fold({**scores, **names}, state.best))


@cache
def _place(device: str) -> dict[str, str]:
    """Where a fold is trained: the host, what computes there, and the versions."""
    computing = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"host": platform.node(), "device": computing, **current_versions()}


def _without_nan(row: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in row.items()}
