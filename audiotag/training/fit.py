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

from audiotag.augment.mixing import mix
from audiotag.augment.schedule import final_stretch, mixing_on
from audiotag.config import TrialConfig
from audiotag.corpus.splits import FoldSplit
from audiotag.features.standardise import band_statistics
from audiotag.metrics import METRICS, mean_defined
from audiotag.models.build import build_model
from audiotag.models.precision import computing
from audiotag.training.batches import cut, units_of
from audiotag.training.device import Loss, TrainingStep, resident, sent
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from audiotag.training.optim import SGD, build_optimizer
from audiotag.training.rng import Stream, generator, seeded

SCORING_BATCH = 64  # clips; no gradients are kept, so it may be larger than a training batch


class Diverged(ArithmeticError):
    """A network whose outputs or loss are not finite."""


@dataclass
class FitState:
    """Everything that training a fold has come to; saved after an epoch, it continues from there."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the epoch with the lowest validation loss
    best_scores: Tensor = field(default_factory=lambda: torch.zeros(0))  # and its scores of the validation clips (n, K)
    history: list[EpochResult] = field(default_factory=list)
    first_choice: int = 0  # the epoch from which on one may be the best, and patience is counted
    unsupervised_optimizer: torch.optim.Optimizer | None = (
        None  # of a system with a stage before the training with tags
    )
    unsupervised: list[PretrainingEpoch] = field(default_factory=list)

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
            "best_scores": self.best_scores,
            "history": [result.to_dict() for result in self.history],
            "unsupervised_optimizer": self.unsupervised_optimizer and self.unsupervised_optimizer.state_dict(),
            "unsupervised": [asdict(result) for result in self.unsupervised],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes back to what `state_dict` gave."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.unsupervised_optimizer is not None:
            self.unsupervised_optimizer.load_state_dict(saved["unsupervised_optimizer"])
        self.best, self.best_scores = saved["best"], saved["best_scores"]
        self.history = [EpochResult.from_dict(result) for result in saved["history"]]
        self.unsupervised = [PretrainingEpoch(**result) for result in saved["unsupervised"]]


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
) -> Iterator[PretrainingEpoch]:
    """Trains what a system learns without tags, from the training clips alone; for most systems that is nothing.

    Shapes: features (N, T, F), train (n,) clip indices. `state` is brought up to date before each yield, so that the
    listener may save it; a state that was saved goes on with the next epoch.

    Raises:
        Diverged: when the loss is not finite.
    """
    model: Any = state.model
    if state.unsupervised_optimizer is None or len(state.unsupervised) >= config.pretrain_epochs:
        return
    stage, there = model.unsupervised, resident(features, device)
    step = TrainingStep(model, state.unsupervised_optimizer, _unsupervised_loss(model, device), 1, device)
    while len(state.unsupervised) < config.pretrain_epochs:
        started = time.perf_counter()
        epoch = len(state.unsupervised)
        order = units_of(train, features.shape[1], stage.framing)
        order = order[generator(seed, fold, epoch, Stream.UNSUPERVISED_ORDER).permutation(len(order))]
        model.train()
        step.sums.zero_()
        with seeded(seed, fold, epoch, Stream.UNSUPERVISED_DROPOUT, device):
            for start in range(0, len(order), stage.batch_size):
                step(cut(there, order[start : start + stage.batch_size], stage.framing))
        mean = float(step.sums[0]) / len(order)
        if not math.isfinite(mean):
            raise Diverged(f"the loss without tags is not finite in epoch {epoch} of fold {fold}")
        state.unsupervised.append(PretrainingEpoch(epoch, mean, time.perf_counter() - started))
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
    if state.stopped(config):
        return
    there = resident(features, device)
    step = TrainingStep(state.model, state.optimizer, _tagging_loss(state.model, device), 3, device)
    while not state.stopped(config):
        started = time.perf_counter()
        epoch = len(state.history)
        train_loss, train_accuracy = _train_epoch(step, state, config, there, targets, split.train, seed, fold, device)
        scores = predict(state.model, there, split.validation, device=device)
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
            val_means={name: float(mean_defined(metric.by_tag(truth, scores))) for name, metric in METRICS.items()},
            seconds=time.perf_counter() - started,
        )
        state.history.append(result)
        if state.best_epoch == epoch:
            state.best, state.best_scores = copy.deepcopy(state.model.state_dict()), torch.from_numpy(scores)
        yield result


def _train_epoch(
    step: TrainingStep,
    state: FitState,
    config: TrialConfig,
    features: np.ndarray | Tensor,
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
    state.model.train()
    step.sums.zero_()
    with seeded(seed, fold, epoch, Stream.DROPOUT, device):
        for start in range(0, len(order), config.batch_size):
            units = order[start : start + config.batch_size]
            y = sent(targets[units[:, 0]], device)
            step(*mix(cut(features, units, framing), y, augmentation, config.alpha, mixing))
    loss, right, broken = step.sums.tolist()
    if broken:
        raise Diverged(f"the outputs are not finite in epoch {epoch} of fold {fold}")
    return loss / len(order), right / (len(order) * targets.shape[1])


def _tagging_loss(model: nn.Module, device: str) -> Loss:
    """Of features x (B, L, F) and targets y (B, K); adds up the loss, right decisions, and outputs that are NaN.

    For these, at which torch's loss would stop the program, it takes 0.5: the epoch ends before it is known of them.
    """

    def loss(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with computing(model, device):
            probabilities = model(x)
        mean = F.binary_cross_entropy(probabilities.nan_to_num(0.5), y)
        right = ((probabilities.detach() > 0.5) == (y > 0.5)).sum()
        return mean, torch.stack([mean.detach() * len(x), right, probabilities.detach().isnan().sum()])

    return loss


def _unsupervised_loss(model: Any, device: str) -> Loss:
    """Of features x (B, L, F); adds up the loss."""

    def loss(x: Tensor) -> tuple[Tensor, Tensor]:
        with computing(model, device):
            mean = model.unsupervised_loss(x)
        return mean, mean.detach()[None] * len(x)

    return loss


@torch.inference_mode()
def predict(model: nn.Module, features: np.ndarray | Tensor, clips: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """Probabilities of some clips, (n, K) float32, with augmentation and dropout off. `clips` (n,) are indices."""
    model.eval()
    score = getattr(model, "score", model)
    units = units_of(clips, features.shape[1], None)
    batches = [units[start : start + SCORING_BATCH] for start in range(0, len(units), SCORING_BATCH)]
    with computing(model, device):
        scores = [score(cut(features, batch, None).to(device)) for batch in batches]
    return torch.cat(scores).cpu().numpy()


def _mean_loss(scores: np.ndarray, truth: np.ndarray) -> float:
    if not np.isfinite(scores).all():
        return math.nan
    return float(F.binary_cross_entropy(torch.from_numpy(scores), torch.from_numpy(truth)))
