"""Training steps of each network on a GPU: against a CPU's, against themselves, and recorded; of gpu_check.py."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from verdicts import Report, Skipped

from audiotag.config import TrialConfig
from audiotag.models.segments import Segmentation
from audiotag.training.batches import gather, segment_index
from audiotag.training.device import place_features
from audiotag.training.fit import FitState, build_step, predict, start_fit, tagging_loss
from audiotag.training.rng import Stream, seed_torch

TAGS = 7
# largest difference between a GPU and a CPU, of the largest value; of bf16 to the CPU's fp32
LIMITS = {
    "fp32": {"outputs": 1e-4, "gradients": 1e-3, "loss": 0.02},
    "bf16": {"outputs": 0.05, "gradients": 0.2, "loss": 0.1},
}


@dataclass(frozen=True)
class Size:
    """How much is computed."""

    batch: int = 44
    frames: int = 124
    steps: int = 50
    clips: int = 1946  # CHiME-Home's
    evaluation: int = 816
    folds: int = 5
    epochs: int = 5
    trials: int = 4


SMALL = Size(batch=4, frames=45, steps=3, clips=12, evaluation=2, folds=2, epochs=1, trials=1)


def make_clips(config: TrialConfig, clips: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, T, F) and targets (N, K) of noise."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(clips, frames, config.front_end.columns)).astype(np.float32)
    return features, (rng.random((clips, TAGS)) < 0.3).astype(np.float32)


def make_batches(config: TrialConfig, state: FitState, size: Size, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of whole size, as training cuts them."""
    features, targets = make_clips(config, 3 * size.batch, size.frames)
    segments: Segmentation | None = getattr(state.model, "segments", None)
    order = np.random.default_rng(1).permutation(segment_index(np.arange(len(features)), size.frames, segments))
    placed = place_features(features, device)
    for number in range(size.steps):
        batch = order.take(range(number * size.batch, (number + 1) * size.batch), axis=0, mode="wrap")
        yield gather(placed, batch, segments), torch.from_numpy(targets[batch[:, 0]]).to(device)


@dataclass(frozen=True)
class Outcome:
    """What training some batches gave, on the CPU."""

    outputs: Tensor  # of the first batch
    gradients: Tensor  # likewise, one row
    losses: list[float]
    weights: Tensor  # after all, one row

    @property
    def loss(self) -> float:
        """The mean of the last ten."""
        return float(np.mean(self.losses[-10:]))


def train_batches(config: TrialConfig, size: Size, device: str) -> Outcome:
    """Take the steps of a training, in the order of fit."""
    features, _ = make_clips(config, 3 * size.batch, size.frames)
    state = start_fit(config, features, TAGS, np.arange(len(features)), seed=0, fold=0, device=device)
    model: Any = state.model
    model.train()
    step, losses = build_step(state, config, device), []
    with seed_torch(0, 0, 0, Stream.DROPOUT, device):
        for number, (x, y) in enumerate(make_batches(config, state, size, device)):
            if number == 0:
                loss, _ = tagging_loss(model, x, y, device)
                loss.backward()
                parts = [part.grad for part in model.parameters() if part.grad is not None]
                gradients = torch.cat([part.flatten().cpu() for part in parts])
                state.optimizer.zero_grad()
                del loss, parts
                outputs = torch.from_numpy(predict(model, x.cpu().numpy(), np.arange(len(x)), device=device))
                model.train()
            losses.append(float(step(x, y)[0]) / len(x))
    weights = torch.cat([part.detach().flatten().cpu() for part in model.parameters()])
    return Outcome(outputs, gradients, losses, weights)


@cache
def train_on_cpu(config: TrialConfig, size: Size) -> Outcome:
    """Take the same steps on a CPU, once for both precisions."""
    return train_batches(config, size, "cpu")


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def check_steps(report: Report, model: str, precision: str, size: Size, device: str) -> None:
    """Compare the steps of a network with a CPU's, with themselves, and with recorded ones."""
    name = f"{model} {precision}"
    config = TrialConfig(model=model, precision=precision, batch_size=size.batch)
    still = TrialConfig.from_dict(config.to_dict() | {"dropout": 0.0})  # devices draw masks of their own
    there, here = train_batches(still, size, device), train_on_cpu(replace(still, precision="fp32"), size)
    limits = LIMITS[precision]
    report.line(f"{name}, outputs against a CPU's", difference(there.outputs, here.outputs), most=limits["outputs"])
    report.line(
        f"{name}, gradients against a CPU's", difference(there.gradients, here.gradients), most=limits["gradients"]
    )
    apart = abs(there.loss - here.loss) / here.loss
    report.line(f"{name}, loss after {size.steps} steps against a CPU's", apart, most=limits["loss"])
    first, second = train_batches(config, size, device), train_batches(config, size, device)
    differing = int((first.weights != second.weights).sum())
    report.line(f"{name}, weights that differ when trained twice", differing, most=0)
    if device == "cpu":
        raise Skipped("recorded steps need a GPU")
    recorded = train_batches(replace(config, cuda_graphs=True), size, device)
    differing = int((recorded.weights != first.weights).sum())
    report.line(f"{name}, weights that differ when recorded", differing, most=0)
