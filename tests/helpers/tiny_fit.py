"""A network and clips so small that a fold trains in a moment, for the tests of training."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.config import TrialConfig
from audiotag.corpus.splits import FoldSplit
from audiotag.training.epochs import EpochResult
from audiotag.training.fit import FitState, fit, start_fit

TINY = TrialConfig(learning_rate=1e-2, batch_size=4, max_epochs=4, gru_units=4)
STILL = 1e-30  # a learning rate that moves no weight
FEATURES = np.random.default_rng(0).normal(size=(16, 12, 8)).astype(np.float32)  # (N, T, M)
TARGETS = np.random.default_rng(1).integers(0, 2, (16, 3)).astype(np.float32)  # (N, K)
SPLIT = FoldSplit(np.arange(10), np.arange(10, 16), np.arange(10, 16))


def start(config: TrialConfig = TINY, seed: int = 0, fold: int = 0, **changes: Any) -> FitState:
    arguments: dict[str, Any] = {"features": FEATURES, "n_tags": 3, "train": SPLIT.train, **changes}
    return start_fit(config, **arguments, seed=seed, fold=fold, device="cpu")


def epochs(
    state: FitState, config: TrialConfig = TINY, seed: int = 0, fold: int = 0, **changes: Any
) -> Iterator[EpochResult]:
    arguments: dict[str, Any] = {"features": FEATURES, "targets": TARGETS, "split": SPLIT, **changes}
    return fit(state, config, **arguments, seed=seed, fold=fold, device="cpu")


def trained(config: TrialConfig = TINY, seed: int = 0, fold: int = 0, **changes: Any) -> FitState:
    state = start(config, seed, fold)
    list(epochs(state, config, seed, fold, **changes))
    return state


def history(state: FitState) -> list[str]:
    """The epochs without their durations, to the bit; as text, in which NaN equals itself."""
    return [str(replace(result, seconds=0.0)) for result in state.history]


def same_tensors(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def same_bits(first: FitState, second: FitState) -> bool:
    moments = [
        {f"{k} {name}": v for k, values in state.optimizer.state_dict()["state"].items() for name, v in values.items()}
        for state in (first, second)
    ]
    return (
        same_tensors(first.model.state_dict(), second.model.state_dict())
        and same_tensors(first.best, second.best)
        and torch.equal(first.best_scores, second.best_scores)
        and same_tensors(*moments)
        and history(first) == history(second)
    )


def with_losses(*losses: float) -> FitState:
    """A state whose epochs had these validation losses."""
    model = nn.Linear(1, 1)
    results = [EpochResult(epoch, 0.5, 0.5, loss, 0.5, {"eer": 0.5}, 0.0) for epoch, loss in enumerate(losses)]
    return FitState(model, torch.optim.Adam(model.parameters()), history=results)


def reopened(state: FitState, config: TrialConfig, begin: Callable[[TrialConfig], FitState] = start) -> FitState:
    """The state after a journey through a file."""
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    fresh = begin(config)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh
