"""Recorded training steps, as far as a CPU can tell: a stand-in for torch's graphs runs what was recorded."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.tiny_fit import TINY, epochs, reopened, same_bits, start, trained
from torch import Tensor, nn
from torch.nn import functional as F

import audiotag.training.fit
from audiotag.config import TrialConfig
from audiotag.declarations.own_code import OwnCode
from audiotag.training.device import GPUError
from audiotag.training.fit import FitState
from audiotag.training.recorded import RecordedStep, recording_stream, restore_after

KINDS: list[Callable[..., torch.optim.Optimizer]] = [
    lambda weights: torch.optim.Adam(weights, lr=0.05),
    lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
]
BATCHES = [torch.randn(5, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


class FakeGraph:
    """Stands for a CUDA graph: replayed, it takes the step that was recorded, on what lies in its places now."""

    recorded: list[RecordedStep]

    def __init__(self) -> None:
        self._of = self.recorded[-1]

    def replay(self) -> None:
        self._of._figures.copy_(self._of._step(self._of._x, self._of._y))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RecordedStep]]:
    """Let fits record their steps; gives them. Recording runs a step, as warming up does: it must leave no trace."""
    made: list[RecordedStep] = []

    @contextmanager
    def stands_for(*_: Any, **__: Any) -> Iterator[None]:
        yield

    def build(state: FitState, config: TrialConfig, device: str, partly: bool) -> Any:
        step = plain(state, config, device, partly)
        made.append(recorded := RecordedStep(step, state.model, state.optimizer))
        return lambda x, y: recorded(x, y) if len(x) == config.batch_size else step(x, y)

    plain = audiotag.training.fit.build_step
    monkeypatch.setattr(audiotag.training.fit, "build_step", build)
    monkeypatch.setattr(FakeGraph, "recorded", made, raising=False)
    stream = SimpleNamespace(wait_stream=lambda other: None)
    patches = {"CUDAGraph": FakeGraph, "graph": stands_for, "stream": stands_for}
    for name, value in patches.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: copy.copy(stream))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    recording_stream.cache_clear()
    yield made
    recording_stream.cache_clear()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_recorded_steps_train_as_plain_ones(optimizer: str, card: list[RecordedStep]) -> None:
    """Batches of 4 of 10 clips: the last one is smaller and is not recorded."""
    config = replace(TINY, optimizer=optimizer)
    recorded = trained(config)
    assert card[0]._graph is not None
    assert len(card[0]._x) == 4
    card.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordedStep, "__call__", lambda self, x, y: self._step(x, y))
        plain = trained(config)
    assert same_bits(recorded, plain)


def test_a_fold_that_is_resumed_ends_as_an_unbroken_one(card: list[RecordedStep]) -> None:
    half = start()
    steps = epochs(half)
    next(steps), next(steps)
    resumed = reopened(half, TINY)
    list(epochs(resumed))
    list(steps)
    assert same_bits(resumed, half)
    assert len(card) == 2


def test_all_recordings_have_one_stream(card: list[RecordedStep], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream has a workspace of cuBLAS that stays."""
    seen: list[Any] = []
    graph = torch.cuda.graph
    monkeypatch.setattr(torch.cuda, "graph", lambda *args, stream: seen.append(stream) or graph(*args))  # type: ignore
    for fold in range(2):
        trained(fold=fold)
    assert len(seen) == 2
    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    ("error", "kind"), [("not permitted when capturing", GPUError), (None, torch.OutOfMemoryError)]
)
def test_a_step_that_cannot_be_recorded_is_told(
    error: str | None, kind: type[Exception], card: list[RecordedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(error) if error else torch.OutOfMemoryError("memory")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    state = start()
    before = copy.deepcopy(state.model.state_dict())
    with pytest.raises(kind, match=error or "memory"):
        list(epochs(state))
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("kind", KINDS, ids=["Adam", "SGD"])
def test_what_is_restored_stays_where_it_was(kind: Callable[..., torch.optim.Optimizer], before: int) -> None:
    """Graphs know tensors by their addresses; moments that were made in the block are zero after it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    optimizer = kind(model.parameters())

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), x[:, :2]).backward()
        optimizer.step()

    for x in BATCHES[:before]:
        step(x)
    weights, moments = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()["state"])
    drawn, addresses = torch.get_rng_state(), [value.data_ptr() for value in model.state_dict().values()]
    with restore_after(model, optimizer):
        for x in BATCHES:
            step(x)
        assert not torch.equal(model.state_dict()["0.weight"], weights["0.weight"])
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert [value.data_ptr() for value in model.state_dict().values()] == addresses
    assert torch.equal(torch.get_rng_state(), drawn)
    for parameter, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(value, moments[parameter][name] if before else torch.zeros_like(value))


def test_it_is_an_option_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GPUError, match=r"^The value of `cuda_graphs` is True, but this trial has no GPU"):
        start(replace(TINY, cuda_graphs=True))
    own = OwnCode("question.py", "class Odd(torch.nn.Module):\n    def __init__(self, n_columns, n_tags): ...\n")
    for values in ({"augmentation": "manifold_mixup"}, {"model": "Odd", "code": own}):
        TrialConfig(**values)
        with pytest.raises(ValueError, match=r"^The value of `cuda_graphs` is True, but what `(manifold_mixup|Odd)`"):
            TrialConfig(**values, cuda_graphs=True)
    state, kinds = start(), []
    monkeypatch.setattr(RecordedStep, "__call__", lambda self, x, y: kinds.append("recorded"))
    step = audiotag.training.fit.build_step(state, replace(TINY, cuda_graphs=True), "cuda")
    step(torch.zeros(4, 12, 8), torch.zeros(4, 3))
    assert kinds == ["recorded"]
