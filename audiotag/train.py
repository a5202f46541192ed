"""Training one fold: `fit` is a generator, one EpochResult an epoch.

All chance derives from (seed, fold, epoch): trials of a study share initial weights and batch order, so that their
comparisons are paired, and a fold that is saved and taken up again continues bit for bit.
"""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.augment import mix
from audiotag.config import TrialConfig
from audiotag.features import band_statistics
from audiotag.folds import FoldSplit
from audiotag.metrics import mean_defined, tag_eers
from audiotag.models.crnn import CRNN

SCORING_BATCH = 64  # clips; no gradients are kept, so it may be larger than a training batch


class Diverged(ArithmeticError):
    """A network whose outputs or loss are not finite."""


class Stream(IntEnum):
    """Independent streams of random numbers under one (seed, fold, epoch)."""

    WEIGHTS = 0
    ORDER = 1
    MIXING = 2
    DROPOUT = 3


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave. Losses are binary cross-entropies, means over clips and tags; accuracies the share of tag
    decisions at 0.5 that are right (in training: of the mixed batch against its mixed targets, cut at 0.5)."""

    epoch: int  # from 0
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_eer_mean: float  # NaN where no tag has both classes in the validation set
    seconds: float


@dataclass
class FitState:
    """Everything that training a fold has come to; saved after an epoch, it continues from there."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the epoch with the lowest validation loss
    history: list[EpochResult] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The first epoch with the lowest validation loss; -1 before any."""
        losses = [result.val_loss for result in self.history]
        return losses.index(min(losses)) if losses else -1

    def stopped(self, config: TrialConfig) -> bool:
        """Whether training is over: `patience` epochs without a lower validation loss, or `max_epochs` in all."""
        done = len(self.history)
        return done >= config.max_epochs or (done > 0 and done - 1 - self.best_epoch >= config.patience)

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values, which `torch.load(..., weights_only=True)` reads."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": [asdict(result) for result in self.history],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes back to what `state_dict` gave."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.best = saved["best"]
        self.history = [EpochResult(**result) for result in saved["history"]]


def start_fit(
    config: TrialConfig, features: np.ndarray, n_tags: int, train: np.ndarray, *, seed: int, fold: int, device: str
) -> FitState:
    """A fold before its first epoch: initial weights from (seed, fold), standardisation from the training clips.

    Shapes: features (N, T, M), train (n,) clip indices.
    """
    mean, scale = band_statistics(features, train)
    with _seeded(seed, fold, 0, Stream.WEIGHTS, device):
        model = CRNN(
            features.shape[2],
            n_tags,
            dropout=config.dropout,
            gru_units=config.gru_units,
            gru_layers=config.gru_layers,
            mean=torch.from_numpy(mean),
            scale=torch.from_numpy(scale),
        )
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return FitState(model, torch.optim.Adam(model.parameters(), lr=config.learning_rate))


def fit(
    state: FitState,
    config: TrialConfig,
    features: np.ndarray,
    targets: np.ndarray,
    split: FoldSplit,
    *,
    seed: int,
    fold: int,
    device: str,
) -> Iterator[EpochResult]:
    """Trains a fold until it stops early or `max_epochs` are done; afterwards the best weights are in `state.best`.

    Shapes: features (N, T, M), targets (N, K). `state` is brought up to date before each yield, so that the listener
    may save it; a state that was saved goes on with the next epoch.

    Raises:
        Diverged: when an output or a loss is not finite.
    """
    while not state.stopped(config):
        started = time.perf_counter()
        epoch = len(state.history)
        train_loss, train_accuracy = _train_epoch(state, config, features, targets, split.train, seed, fold, device)
        scores = predict(state.model, features, split.validation, device=device)
        truth = targets[split.validation]
        val_loss = _mean_loss(scores, truth)
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            raise Diverged(f"the loss is not finite in epoch {epoch} of fold {fold}")
        result = EpochResult(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=float(((scores > 0.5) == (truth > 0.5)).mean()),
            val_eer_mean=float(mean_defined(tag_eers(truth, scores))),
            seconds=time.perf_counter() - started,
        )
        state.history.append(result)
        if state.best_epoch == epoch:
            state.best = copy.deepcopy(state.model.state_dict())
        yield result


def _train_epoch(
    state: FitState,
    config: TrialConfig,
    features: np.ndarray,
    targets: np.ndarray,
    train: np.ndarray,
    seed: int,
    fold: int,
    device: str,
) -> tuple[float, float]:
    """One pass over the training clips: mean loss and accuracy, weighted by the batches' sizes.

    Raises:
        Diverged: when the network gives NaN.
    """
    epoch = len(state.history)
    order = train[_generator(seed, fold, epoch, Stream.ORDER).permutation(len(train))]
    mixing = _generator(seed, fold, epoch, Stream.MIXING)
    loss_sum = torch.zeros((), device=device)
    right = torch.zeros((), device=device)
    state.model.train()
    with _seeded(seed, fold, epoch, Stream.DROPOUT, device):
        for start in range(0, len(order), config.batch_size):
            clips = order[start : start + config.batch_size]
            x = torch.from_numpy(features[clips]).to(device)
            y = torch.from_numpy(targets[clips]).to(device)
            x, y = mix(x, y, config.augmentation, config.alpha, mixing)
            probabilities = state.model(x)
            if not torch.isfinite(probabilities).all():  # torch's loss would raise an error of its own
                raise Diverged(f"the outputs are not finite in epoch {epoch} of fold {fold}")
            loss = F.binary_cross_entropy(probabilities, y)
            state.optimizer.zero_grad()
            loss.backward()
            state.optimizer.step()
            loss_sum += loss.detach() * len(clips)
            right += ((probabilities.detach() > 0.5) == (y > 0.5)).sum()
    return float(loss_sum) / len(train), float(right) / (len(train) * targets.shape[1])


@torch.inference_mode()
def predict(model: nn.Module, features: np.ndarray, clips: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """Probabilities of some clips, (n, K) float32, with augmentation and dropout off. `clips` (n,) are indices."""
    model.eval()
    batches = [clips[start : start + SCORING_BATCH] for start in range(0, len(clips), SCORING_BATCH)]
    scores = [model(torch.from_numpy(features[batch]).to(device)).cpu() for batch in batches]
    return torch.cat(scores).numpy()


def _mean_loss(scores: np.ndarray, truth: np.ndarray) -> float:
    if not np.isfinite(scores).all():
        return math.nan
    return float(F.binary_cross_entropy(torch.from_numpy(scores), torch.from_numpy(truth)))


def _generator(seed: int, fold: int, epoch: int, stream: Stream) -> np.random.Generator:
    return np.random.default_rng((seed, fold, epoch, stream))


@contextmanager
def _seeded(seed: int, fold: int, epoch: int, stream: Stream, device: str) -> Iterator[None]:
    """Torch's default generators, which weights and dropout draw from, seeded; the caller's state comes back after."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(int(_generator(seed, fold, epoch, stream).integers(2**63)))
        yield
