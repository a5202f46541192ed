"""Training one fold: `fit` is a generator, one EpochResult per epoch.

All randomness is seeded by (seed, fold, epoch): trials of a study share initial weights and batch order, so that their
comparisons are paired, and a fold that is saved and resumed continues bit for bit.
Shapes: N clips, T frames, F values per frame (bands, or more), K tags, B segments (or clips) of a batch, L frames of a
segment.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.augment import Augment, build_augmentations
from audiotag.augment.schedule import final_stretch, mixing_on
from audiotag.augment.variants import Variants
from audiotag.config import TrialConfig
from audiotag.corpus.labels import have_unknown
from audiotag.corpus.splits import FoldSplit
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.features.standardise import band_statistics
from audiotag.features.waves import Waves
from audiotag.metrics import METRICS
from audiotag.models.backend import check_convolution
from audiotag.models.build import build_network, standardise
from audiotag.models.precision import computing
from audiotag.training.batches import cut_windows, gather, segment_index
from audiotag.training.device import GPUError, place_features, to_device
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from audiotag.training.loss import apply_loss, final_probabilities, masked_bce, mean_loss
from audiotag.training.optim import SGD, build_optimizer, load_optimizer_state
from audiotag.training.recorded import RecordedStep, Step
from audiotag.training.rng import Stream, make_rng, seed_torch
from audiotag.training.sampling import draw_clips
from audiotag.training.variation import ORIGINAL, draw_variants, gather_variants
from audiotag.training.windows import Windows

G = TypeVar("G")
SCORING_BATCH = 64  # clips; no gradients are kept, so it may be larger than a training batch


class Diverged(ArithmeticError):
    """A network whose outputs or loss are not finite."""


@dataclass
class FitState:
    """The state of training a fold; saved after an epoch, training continues from it."""

    model: nn.Module  # as after the newest epoch
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the epoch with the lowest validation loss
    best_scores: Tensor = field(default_factory=lambda: torch.zeros(0))  # theirs of the validation clips (n, K)
    history: list[EpochResult] = field(default_factory=list)
    first_choice: int = 0  # the epoch from which on one may be the best, and patience is counted
    pretraining_optimizer: torch.optim.Optimizer | None = None  # where the network has a pretraining
    pretraining: list[PretrainingEpoch] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The first epoch with the lowest validation loss; -1 before any that may be chosen."""
        losses = [result.val_loss for result in self.history[self.first_choice :]]
        return self.first_choice + losses.index(min(losses)) if losses else -1

    @property
    def seconds(self) -> float:
        """The duration of all epochs, pretraining included."""
        return sum(epoch.seconds for epoch in self.pretraining) + sum(epoch.seconds for epoch in self.history)

    def stopped(self, config: TrialConfig) -> bool:
        """Whether training is over: `patience` epochs without a lower validation loss, or `max_epochs` in all."""
        done = len(self.history)
        return done >= config.max_epochs or (self.best_epoch >= 0 and done - 1 - self.best_epoch >= config.patience)

    def state_dict(self) -> dict[str, Any]:
        """Give the state as tensors and plain values, which `torch.load(..., weights_only=True)` reads."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "best_scores": self.best_scores,
            "history": [result.to_dict() for result in self.history],
            "unsupervised_optimizer": self.pretraining_optimizer and self.pretraining_optimizer.state_dict(),
            "unsupervised": [asdict(result) for result in self.pretraining],  # as the files of earlier versions have it
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go back to what `state_dict` gave."""
        self.model.load_state_dict(saved["model"])
        load_optimizer_state(self.optimizer, saved["optimizer"])
        if self.pretraining_optimizer is not None:
            load_optimizer_state(self.pretraining_optimizer, saved["unsupervised_optimizer"])
        self.best, self.best_scores = saved["best"], saved["best_scores"]
        self.history = [EpochResult.from_dict(result) for result in saved["history"]]
        self.pretraining = [PretrainingEpoch(**result) for result in saved["unsupervised"]]


def start_fit(
    config: TrialConfig,
    features: np.ndarray,
    n_tags: int,
    train: np.ndarray,
    *,
    seed: int,
    fold: int,
    device: str,
    windows: Windows | None = None,
) -> FitState:
    """Prepare a fold: initial weights from (seed, fold), standardisation from the training clips, indices (n,).

    With `windows` it comes from the frames in which they lie.

    Raises:
        ConvolutionError: When the configuration's convolution does not run here.
        GPUError: When it has `cuda_graphs` on a CPU.
    """
    check_convolution(config.get("convolution"), device)
    if config.cuda_graphs and device == "cpu":
        raise GPUError("The value of `cuda_graphs` is True, but this trial has no GPU: leave it out.")
    mean, scale = map(torch.from_numpy, band_statistics(features, train, None if windows is None else windows.spans))
    with seed_torch(seed, fold, 0, Stream.WEIGHTS, device):
        model = build_network(config, features.shape[2], n_tags, mean, scale)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = FitState(model, build_optimizer(config, model.parameters()))
    state.first_choice = final_stretch(config.schedule, config.max_epochs)
    if (first := getattr(model, "pretraining", None)) is not None:
        state.pretraining_optimizer = SGD(model.parameters(), lr=first.learning_rate, momentum=first.momentum)
    return state


def pretrain(
    state: FitState, features: np.ndarray, train: np.ndarray, *, seed: int, fold: int, device: str
) -> Iterator[PretrainingEpoch]:
    """Run the network's pretraining, on the training clips alone; most networks have none.

    `state` is up to date before each yield, so that the caller may save it; a saved one continues with the next epoch.

    Raises:
        Diverged: When the loss is not finite.
    """
    model: Any = state.model
    if (optimizer := state.pretraining_optimizer) is None or len(state.pretraining) >= model.pretraining.epochs:
        return
    settings, placed = model.pretraining, place_features(features, device)
    while len(state.pretraining) < settings.epochs:
        started = time.perf_counter()
        epoch = len(state.pretraining)
        order = segment_index(train, features.shape[1], settings.segments)
        order = order[make_rng(seed, fold, epoch, Stream.PRETRAINING_ORDER).permutation(len(order))]
        model.train()
        total = torch.zeros((), device=device)
        with seed_torch(seed, fold, epoch, Stream.PRETRAINING_DROPOUT, device):
            for start in range(0, len(order), settings.batch_size):
                x = gather(placed, order[start : start + settings.batch_size], settings.segments).to(device)
                with computing(model, device):
                    loss = model.pretraining_loss(standardise(model, x))
                take_step(optimizer, loss)
                total += loss.detach() * len(x)
        mean = float(total) / len(order)
        if not math.isfinite(mean):
            raise Diverged(f"the loss of pretraining is not finite in epoch {epoch} of fold {fold}")
        state.pretraining.append(PretrainingEpoch(epoch, mean, time.perf_counter() - started))
        yield state.pretraining[-1]


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
    variants: Variants | None = None,
    waves: Waves | None = None,
    windows: Windows | None = None,
) -> Iterator[EpochResult]:
    """Train a fold until it stops early or `max_epochs` are done; afterwards the best weights are in `state.best`.

    `state` is kept up to date as by `pretrain`, of which what is left comes first. `variants` are those of the training
    clips, and maybe of others, where the configuration has an augmentation of waveforms; `waves` are those of the same
    clips where it mixes waveforms; `windows` are those of all clips where it crops them.

    Raises:
        Diverged: When an output or a loss is not finite.
        GPUError: When the step cannot be recorded, with `cuda_graphs`.
        ValueError: When such variants, waveforms or windows are not given.
    """
    needed = (
        _needed("variants", variants, bool(config.waveform_parts), config.augmentation),
        _needed("waves", waves, config.mixes_waveforms, config.augmentation),
        _needed("windows", windows, bool(config.crop_seconds), "crop_seconds"),
    )
    for _ in pretrain(state, features, split.train, seed=seed, fold=fold, device=device):
        pass
    partly = have_unknown(targets[split.train])
    placed, step = place_features(features, device), build_step(state, config, device, partly)
    while not state.stopped(config):
        started = time.perf_counter()
        epoch = len(state.history)
        train_loss, train_accuracy = _train_epoch(
            state, step, config, placed, targets, split.train, seed, fold, device, *needed
        )
        scores = predict(state.model, placed, split.validation, device=device, windows=needed[-1])
        truth = targets[split.validation]
        val_loss = mean_loss(config.loss, torch.from_numpy(scores), torch.from_numpy(truth))
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            raise Diverged(f"the loss is not finite in epoch {epoch} of fold {fold}")
        result = EpochResult(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=float(((scores > 0.5) == (truth > 0.5))[~np.isnan(truth)].mean()),
            val_means={name: metric.score(truth, scores)[1] for name, metric in METRICS.items()},
            seconds=time.perf_counter() - started,
        )
        state.history.append(result)
        if state.best_epoch == epoch:
            state.best, state.best_scores = copy.deepcopy(state.model.state_dict()), torch.from_numpy(scores)
        yield result


def _needed(name: str, given: G | None, is_needed: bool, by: str) -> G | None:
    """What is given, where the configuration needs it; else None."""
    if is_needed and given is None:
        raise ValueError(f"The value of `{name}` is None, but `{by}` needs those of the clips.")
    return given if is_needed else None


def _train_epoch(
    state: FitState,
    step: Step,
    config: TrialConfig,
    features: np.ndarray | Tensor,
    targets: np.ndarray,
    train: np.ndarray,
    seed: int,
    fold: int,
    device: str,
    variants: Variants | None = None,
    waves: Waves | None = None,
    windows: Windows | None = None,
) -> tuple[float, float]:
    """One pass over as many clips as train: mean loss and accuracy, weighted by the batches' sizes."""
    model, epoch = state.model, len(state.history)
    segments = getattr(model, "segments", None)
    on = mixing_on(config.schedule, epoch, config.max_epochs)
    rng = make_rng(seed, fold, epoch, Stream.ORDER)
    clips = draw_clips(train, targets[train], config.sampling, rng)
    numbers = np.full(len(clips), ORIGINAL)
    if variants is not None and on:
        own_rng = make_rng(seed, fold, epoch, Stream.VARIANTS)
        numbers = draw_variants(variants, clips, train, config.variant_probability, own_rng)
    frames = features.shape[1] if windows is None else windows.frames
    order = segment_index(clips, frames, segments)
    if windows is not None:
        segments = cut_windows(frames, segments)
        starts = windows.draw(clips, make_rng(seed, fold, epoch, Stream.WINDOWS))
        order[:, 1] += np.repeat(starts, len(order) // len(clips))
    order = np.column_stack([order, np.repeat(numbers, len(order) // len(clips))])[rng.permutation(len(order))]
    built = build_augmentations(config, model) if on else []
    augmenting = [(each, make_rng(seed, fold, epoch, Stream.MIXING, place)) for place, each in enumerate(built)]
    model.train()
    totals = torch.zeros((), device=device)
    with seed_torch(seed, fold, epoch, Stream.DROPOUT, device):
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            y, steps = targets[batch[:, 0]], augmenting
            if waves is None or not augmenting:
                x, y = gather_variants(features, variants, batch, segments).to(device), to_device(y, device)
            else:
                first, *steps = augmenting
                cut = waves.cut(batch[:, 0], batch[:, 1], segments.frames if segments else frames)
                x, y = _mix_waves(*first, cut, y, waves.front_end, device)
            for augment, rng in steps:
                x, y = augment(x, y, rng)
            totals = totals + step(x, y)
    loss_sum, right, broken, *known = totals.tolist()
    if broken:
        raise Diverged(f"the outputs are not finite in epoch {epoch} of fold {fold}")
    if known:  # the loss is a sum over labels then
        return loss_sum / max(known[0], 1), right / max(known[0], 1)
    return loss_sum / len(order), right / (len(order) * targets.shape[1])


def _mix_waves(
    mix: Augment, rng: np.random.Generator, waves: np.ndarray, targets: np.ndarray, front_end: LogMel, device: str
) -> tuple[Tensor, Tensor]:
    """Mix waveforms (B, S) on the host; give the features (B, L, F) of the mixtures, and their targets (B, K)."""
    x, y = mix(torch.from_numpy(waves), torch.from_numpy(targets), rng)
    return to_device(log_mel(x.numpy(), front_end), device), to_device(y.numpy(), device)


def build_step(state: FitState, config: TrialConfig, device: str, partly: bool = False) -> Step:
    """Build the training step: features (B, L, F) and targets (B, K) to what an epoch adds up, see `tagging_loss`.

    With `cuda_graphs` it is recorded for whole batches; the last one of an epoch may be smaller. Where some targets are
    unknown (`partly`), the loss is `partial_loss`.
    """

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss, figures = (partial_loss if partly else tagging_loss)(state.model, x, y, device)
        take_step(state.optimizer, loss)
        return figures

    if not config.cuda_graphs:
        return step
    recorded = RecordedStep(step, state.model, state.optimizer)
    return lambda x, y: recorded(x, y) if len(x) == config.batch_size else step(x, y)


def tagging_loss(model: Any, x: Tensor, y: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """The mean loss of features (B, L, F) and targets (B, K), and what an epoch adds up.

    These (3,) are the sum of the loss, the right decisions, and the outputs that are NaN. torch's cross-entropy raises
    for NaN; 0.5 takes its place, and the epoch's end raises Diverged.
    """
    with computing(model, device):
        probabilities = model(standardise(model, x))
    mean, decided = apply_loss(model.loss, probabilities.nan_to_num(0.5), y)
    right = ((decided.detach() > 0.5) == (y > 0.5)).sum()
    return mean, torch.stack([mean.detach() * len(x), right, probabilities.detach().isnan().sum()])


def partial_loss(model: Any, x: Tensor, y: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """The mean loss over the known ones of targets (B, K), NaN where they are unknown, and what an epoch adds up.

    These (4,) are the sum of the loss over known targets, the right decisions among them, the outputs that are NaN, and
    how many targets are known.
    """
    with computing(model, device):
        probabilities = model(standardise(model, x))
    decided, known = probabilities.nan_to_num(0.5), ~y.isnan()
    mean, number = masked_bce(decided, y), known.sum()
    right = (((decided.detach() > 0.5) == (y > 0.5)) & known).sum()
    return mean, torch.stack([mean.detach() * number, right, probabilities.detach().isnan().sum(), number])


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take a step of an optimiser and free the gradients.

    Left until the next step, they would fragment the memory of the next activations.
    """
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@torch.inference_mode()
def predict(
    model: Any,
    features: np.ndarray | Tensor,
    clips: np.ndarray,
    *,
    device: str = "cpu",
    windows: Windows | None = None,
) -> np.ndarray:
    """Score some clips, indices (n,): probabilities (n, K) float32, without augmentation and dropout.

    With `windows`, a clip scores what these make of the probabilities in the windows that cover it.
    """
    model.eval()
    score = getattr(model, "score", model)
    if windows is None:
        index, cut = segment_index(clips, features.shape[1], None), None
    else:
        (index, firsts), cut = windows.cover(clips), cut_windows(windows.frames, None)
    scores, levels = [], []
    with computing(model, device):
        for start in range(0, len(index), SCORING_BATCH):
            x = gather(features, index[start : start + SCORING_BATCH], cut).to(device)
            scores.append(score(standardise(model, x)))
            if windows is not None and windows.scores != "mean":
                levels.append(x.mean(dim=(1, 2)).cpu().numpy())
    found: np.ndarray = final_probabilities(model.loss, torch.cat(scores)).cpu().numpy()
    if windows is None:
        return found
    return windows.combine(found, np.concatenate(levels) if levels else np.zeros(0), firsts)
