"""Training one fold: `fit` is a generator, one EpochResult an epoch.

All chance derives from (seed, fold, epoch): trials of a study share initial weights and batch order, so that their
comparisons are paired, and a fold that is saved and taken up again continues bit for bit.
Shapes: N clips, T frames, F values a frame (bands, or more), K tags, B units of a batch, L frames of a unit.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.augment import final_stretch, mix, mixing_on
from audiotag.chance import Stream, generator, seeded
from audiotag.config import TrialConfig
from audiotag.features import band_statistics
from audiotag.folds import FoldSplit
from audiotag.metrics import mean_defined, tag_eers
from audiotag.optimizers import SGD
from audiotag.precision import computing
from audiotag.systems import build_model, build_optimizer
from audiotag.units import cut, units_of

SCORING_BATCH = 64  # clips; no gradients are kept, so it may be larger than a training batch


class Diverged(ArithmeticError):
    """A network whose outputs or loss are not finite."""


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave. Losses are binary cross-entropies, means over clips and tags; accuracies the share of tag
    decisions at 0.5 that are right. In training both are those of the batches' units (clips, or blocks of frames) after
    mixing, against their mixed targets, cut at 0.5."""

    epoch: int  # from 0
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_eer_mean: float  # NaN where no tag has both classes in the validation set
    seconds: float


@dataclass(frozen=True)
class UnsupervisedEpoch:
    """What one epoch of the stage without tags gave: the mean loss over its units."""

    epoch: int  # from 0
    loss: float
    seconds: float


@dataclass
class FitState:
    """Everything that training a fold has come to; saved after an epoch, it continues from there."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the epoch with the lowest validation loss
    history: list[EpochResult] = field(default_factory=list)
    first_choice: int = 0  # the epoch from which on one may be the best, and patience is counted
    unsupervised_optimizer: torch.optim.Optimizer | None = (
        None  # of a system with a stage before the training with tags
    )
    unsupervised: list[UnsupervisedEpoch] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The first epoch with the lowest validation loss; -1 before any that may be chosen."""
        losses = [result.val_loss for result in self.history[self.first_choice :]]
        return self.first_choice + losses.index(min(losses)) if losses else -1

    @property
    def seconds(self) -> float:
        """What all epochs of both stages took."""
        return sum(stage.seconds for stage in self.unsupervised) + sum(result.seconds for result in self.history)

    def stopped(self, config: TrialConfig) -> bool:
        """Whether training is over: `patience` epochs without a lower validation loss, or `max_epochs` in all."""
        done = len(self.history)
        return done >= config.max_epochs or (self.best_epoch >= 0 and done - 1 - self.best_epoch >= config.patience)

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values, which `torch.load(..., weights_only=True)` reads."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": [asdict(result) for result in self.history],
            "unsupervised_optimizer": self.unsupervised_optimizer and self.unsupervised_optimizer.state_dict(),
            "unsupervised": [asdict(result) for result in self.unsupervised],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes back to what `state_dict` gave."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.unsupervised_optimizer is not None:
            self.unsupervised_optimizer.load_state_dict(saved["unsupervised_optimizer"])
        self.best = saved["best"]
        self.history = [EpochResult(**result) for result in saved["history"]]
        self.unsupervised = [UnsupervisedEpoch(**result) for result in saved["unsupervised"]]


def start_fit(
    config: TrialConfig, features: np.ndarray, n_tags: int, train: np.ndarray, *, seed: int, fold: int, device: str
) -> FitState:
    """A fold before its first epoch: initial weights from (seed, fold), standardisation from the training clips.

    Shapes: features (N, T, F) of the configuration's front end, train (n,) clip indices.
    """
    mean, scale = map(torch.from_numpy, band_statistics(features, train))
    with seeded(seed, fold, 0, Stream.WEIGHTS, device):
        model = build_model(config, features.shape[2], n_tags, mean, scale)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = FitState(model, build_optimizer(config, model.parameters()))
    state.first_choice = final_stretch(config.schedule, config.max_epochs)
    if (stage := getattr(model, "unsupervised", None)) is not None:
        state.unsupervised_optimizer = SGD(model.parameters(), lr=stage.learning_rate, momentum=stage.momentum)
    return state


def fit_unsupervised(
    state: FitState, config: TrialConfig, features: np.ndarray, train: np.ndarray, *, seed: int, fold: int, device: str
) -> Iterator[UnsupervisedEpoch]:
    """Trains what a system learns without tags, from the training clips alone; for most systems that is nothing.

    Shapes: features (N, T, F), train (n,) clip indices. `state` is brought up to date before each yield, so that the
    listener may save it; a state that was saved goes on with the next epoch.

    Raises:
        Diverged: when the loss is not finite.
    """
    model: Any = state.model
    optimizer = state.unsupervised_optimizer
    while optimizer is not None and len(state.unsupervised) < config.pretrain_epochs:
        started = time.perf_counter()
        epoch, stage = len(state.unsupervised), model.unsupervised
        order = units_of(train, features.shape[1], stage.framing)
        order = order[generator(seed, fold, epoch, Stream.UNSUPERVISED_ORDER).permutation(len(order))]
        total = torch.zeros((), device=device)
        model.train()
        with seeded(seed, fold, epoch, Stream.UNSUPERVISED_DROPOUT, device):
            for start in range(0, len(order), stage.batch_size):
                units = order[start : start + stage.batch_size]
                x = torch.from_numpy(cut(features, units, stage.framing)).to(device)
                with computing(model, device):
                    loss = model.unsupervised_loss(x)
                _step(optimizer, loss)
                total += loss.detach() * len(units)
        mean = float(total) / len(order)
        if not math.isfinite(mean):
            raise Diverged(f"the loss without tags is not finite in epoch {epoch} of fold {fold}")
        state.unsupervised.append(UnsupervisedEpoch(epoch, mean, time.perf_counter() - started))
        yield state.unsupervised[-1]


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

    Shapes: features (N, T, F), targets (N, K). `state` is brought up to date before each yield, so that the listener
    may save it; a state that was saved goes on with the next epoch. What is left of the stage without tags comes first.

    Raises:
        Diverged: when an output or a loss is not finite.
    """
    for _ in fit_unsupervised(state, config, features, split.train, seed=seed, fold=fold, device=device):
        pass
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
    framing = getattr(state.model, "framing", None)
    order = units_of(train, features.shape[1], framing)
    order = order[generator(seed, fold, epoch, Stream.ORDER).permutation(len(order))]
    mixing = generator(seed, fold, epoch, Stream.MIXING)
    augmentation = config.augmentation if mixing_on(config.schedule, epoch, config.max_epochs) else "none"
    loss_sum = torch.zeros((), device=device)
    right = torch.zeros((), device=device)
    state.model.train()
    with seeded(seed, fold, epoch, Stream.DROPOUT, device):
        for start in range(0, len(order), config.batch_size):
            units = order[start : start + config.batch_size]
            x = torch.from_numpy(cut(features, units, framing)).to(device)
            y = torch.from_numpy(targets[units[:, 0]]).to(device)
            x, y = mix(x, y, augmentation, config.alpha, mixing)
            with computing(state.model, device):
                probabilities = state.model(x)
            if not torch.isfinite(probabilities).all():  # torch's loss would raise an error of its own
                raise Diverged(f"the outputs are not finite in epoch {epoch} of fold {fold}")
            loss = F.binary_cross_entropy(probabilities, y)
            _step(state.optimizer, loss)
            loss_sum += loss.detach() * len(units)
            right += ((probabilities.detach() > 0.5) == (y > 0.5)).sum()
    return float(loss_sum) / len(order), float(right) / (len(order) * targets.shape[1])


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.inference_mode()
def predict(model: nn.Module, features: np.ndarray, clips: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """Probabilities of some clips, (n, K) float32, with augmentation and dropout off. `clips` (n,) are indices."""
    model.eval()
    score = getattr(model, "score", model)
    batches = [clips[start : start + SCORING_BATCH] for start in range(0, len(clips), SCORING_BATCH)]
    with computing(model, device):
        scores = [score(torch.from_numpy(features[batch]).to(device)).cpu() for batch in batches]
    return torch.cat(scores).numpy()


def _mean_loss(scores: np.ndarray, truth: np.ndarray) -> float:
    if not np.isfinite(scores).all():
        return math.nan
    return float(F.binary_cross_entropy(torch.from_numpy(scores), torch.from_numpy(truth)))
