"""A GPU's path, as far as a CPU can tell: what is recorded and replayed trains as steps that are taken one by one."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_fit import FEATURES, TARGETS, TINY, same_tensors, start
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.models.segments import Framing
from audiotag.training.batches import cut
from audiotag.training.device import (
    CONTEXT,
    DeviceWarning,
    GPUShareError,
    TrainingStep,
    resident,
    sent,
    undone,
    use_gpu,
)

KINDS: list[Callable[..., torch.optim.Optimizer]] = [
    lambda weights: torch.optim.Adam(weights, lr=0.05),
    lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
]
BATCHES = [torch.randn(size, 3, generator=torch.Generator().manual_seed(n)) for n, size in enumerate((5, 5, 5, 2))]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def training_step(kind: Callable[..., torch.optim.Optimizer]) -> tuple[nn.Module, TrainingStep]:
    model = network()

    def loss(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = F.mse_loss(model(x), x[:, :2])
        return mean, torch.stack([mean.detach() * len(x), torch.tensor(float(len(x)))])

    return model, TrainingStep(model, kind(model.parameters()), loss, 2, "cpu")


def epochs(model: nn.Module, step: TrainingStep, count: int = 2) -> list[float]:
    """Trains; the sums of the last epoch."""
    for seed in range(count):
        step.sums.zero_()
        torch.manual_seed(seed)
        for x in BATCHES:
            step(x)
    return step.sums.tolist()


class FakeGraph:
    """Stands for a CUDA graph: replayed, it takes the step that was recorded, on what lies in its places now."""

    steps: TrainingStep
    pools: list[Any] = []  # noqa: RUF012

    def replay(self) -> None:
        (places,) = [places for graph, places in self.steps._recorded.values() if graph is self]
        self.steps._step(*places)

    def pool(self) -> str:
        return "the first one's"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainingStep], TrainingStep]:
    """Lets a step believe that it is on a GPU; recording runs it, as warming up does, which must leave no trace."""
    stream = SimpleNamespace(wait_stream=lambda other: None)

    @contextmanager
    def stands_for(*_: Any, pool: Any = None) -> Iterator[None]:
        FakeGraph.pools.append(pool)
        yield

    monkeypatch.setattr(FakeGraph, "pools", [])
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", stands_for)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: stands_for())

    def on_card(step: TrainingStep) -> TrainingStep:
        step._recording = True
        monkeypatch.setattr(FakeGraph, "steps", step, raising=False)
        return step

    return on_card


@pytest.mark.parametrize("kind", KINDS, ids=["Adam", "SGD"])
def test_recorded_steps_train_as_plain_ones(
    kind: Callable[..., torch.optim.Optimizer], card: Callable[[TrainingStep], TrainingStep]
) -> None:
    plain, step = training_step(kind)
    expected = epochs(plain, step)
    model, recorded = training_step(kind)
    assert epochs(model, card(recorded)) == expected
    assert same_tensors(model.state_dict(), plain.state_dict())
    assert expected[1] == 17.0
    assert [shapes[0][0] for shapes in recorded._recorded] == [5, 2]  # once for each size
    assert FakeGraph.pools[1::2] == [None, "the first one's"]


def test_steps_that_cannot_be_recorded_are_taken_one_by_one(
    card: Callable[[TrainingStep], TrainingStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, step = training_step(KINDS[0])
    expected = epochs(plain, step)

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    model, other = training_step(KINDS[0])
    with pytest.warns(DeviceWarning, match=r"^training steps are not recorded on the GPU: operation not") as told:
        assert epochs(model, card(other)) == expected
    assert len(told) == 1
    assert same_tensors(model.state_dict(), plain.state_dict())


def test_too_little_memory_is_not_taken_for_a_step_that_cannot_be_recorded(
    card: Callable[[TrainingStep], TrainingStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    _, step = training_step(KINDS[0])
    with pytest.raises(torch.OutOfMemoryError):
        card(step)(BATCHES[0])


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("kind", KINDS, ids=["Adam", "SGD"])
def test_what_is_undone_stays_where_it_was(kind: Callable[..., torch.optim.Optimizer], before: int) -> None:
    """Graphs know tensors by their addresses; moments that were made in the block are zero after it."""
    model, step = training_step(kind)
    optimizer = step._optimizer
    for x in BATCHES[:before]:
        step(x)
    weights, moments = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()["state"])
    chance, sums = torch.get_rng_state(), step.sums.clone()
    addresses = [value.data_ptr() for value in model.state_dict().values()]
    with undone(model, optimizer, step.sums):
        for x in BATCHES:
            step(x)
        assert not same_tensors(model.state_dict(), weights)
    assert same_tensors(model.state_dict(), weights)
    assert [value.data_ptr() for value in model.state_dict().values()] == addresses
    assert torch.equal(torch.get_rng_state(), chance)
    assert torch.equal(step.sums, sums)
    for parameter, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(value, moments[parameter][name] if before else torch.zeros_like(value))


@pytest.mark.parametrize("framing", [None, Framing(4, 3), Framing(50, 3)])
def test_batches_cut_from_a_tensor_are_those_cut_from_an_array(framing: Framing | None) -> None:
    units = np.array([[7, 3], [0, 6], [7, 0]]) if framing != Framing(50, 3) else np.array([[7, 0], [2, 0]])
    cut_there = cut(torch.from_numpy(FEATURES), units, framing)
    assert torch.equal(cut_there, cut(FEATURES, units, framing))
    assert cut_there.shape == (len(units), min(framing.frames if framing else 99, FEATURES.shape[1]), FEATURES.shape[2])


def test_a_fold_trains_alike_on_features_that_lie_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from helpers.tiny_fit import epochs as fit_epochs

    plain, there = start(), start()
    list(fit_epochs(plain))
    monkeypatch.setattr("audiotag.training.fit.resident", lambda features, device: torch.tensor(features))
    list(fit_epochs(there))
    assert same_tensors(there.best, plain.best)


def test_a_cpu_copies_nothing() -> None:
    assert resident(FEATURES, "cpu") is FEATURES
    assert sent(TARGETS, "cpu").data_ptr() == TARGETS.ctypes.data


@pytest.mark.parametrize(("share", "fraction"), [(0.25, 0.25 - CONTEXT / 24e9), (1.0, 1 - CONTEXT / 24e9), (2.0, None)])
def test_a_trial_gets_its_part_of_the_memory(
    share: float, fraction: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=24e9))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, _: taken.append(part))
    use_gpu(share)
    assert taken == [pytest.approx(fraction or 1 - CONTEXT / 24e9)]
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.allow_tf32


def test_a_part_that_cuda_itself_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8e9))
    with pytest.raises(GPUShareError, match=r"^0\.05 of a GPU with 8\.0 GB is no more than CUDA itself takes$"):
        use_gpu(0.05)


def test_an_optimiser_on_a_cpu_is_the_plain_one() -> None:
    group = start(TINY).optimizer.param_groups[0]
    assert not group["fused"]
    assert not group["capturable"]
