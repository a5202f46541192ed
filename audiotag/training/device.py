"""Where a network computes, and what a GPU needs so that its kernels, not Python, decide how long a step takes.

On a CPU all of this is the plain call. On a GPU the features lie in its memory, what the host draws is sent without
waiting for it, and a training step is recorded once for each shape of batch, as a CUDA graph, and replayed: one launch
for all its kernels.
Shapes: N clips, T frames, F values a frame.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

CONTEXT = 6e8  # bytes that CUDA itself takes a process, of which torch's allocator knows nothing
WARM_UP = 3  # steps before one is recorded, in which libraries choose kernels and take their workspaces

Loss = Callable[..., tuple[Tensor, Tensor]]


class DeviceWarning(UserWarning):
    """Something that a GPU was to do faster is done the plain way."""


class GPUShareError(ValueError):
    """A part of a GPU with which nothing can be done."""


def use_gpu(share: float) -> None:
    """Settles this process on a part of a card: its share of the memory, the same bits in each run, whole fp32.

    To be called before anything is on the card. With it a trial that needs more than its share ends with torch's
    OutOfMemoryError instead of taking what its neighbours need.

    Raises:
        GPUShareError: when the share holds no more than CUDA itself takes.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS and cuDNN's GRU may sum in any order
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # convolutions with ten bits of mantissa are not fp32
    total = torch.cuda.get_device_properties(0).total_memory
    fraction = min(share, 1.0) - CONTEXT / total
    if fraction <= 0:
        raise GPUShareError(f"{share:g} of a GPU with {total / 1e9:.1f} GB is no more than CUDA itself takes")
    torch.cuda.set_per_process_memory_fraction(fraction, 0)


def resident(features: np.ndarray, device: str) -> np.ndarray | Tensor:
    """Features (N, T, F) where batches are cut from them: as they lie in shared memory, or copied to a GPU whole."""
    return features if torch.device(device).type == "cpu" else torch.tensor(features, device=device)


def sent(values: np.ndarray, device: str | torch.device) -> Tensor:
    """Values of the host on a device; a GPU copies them when their turn comes, and nobody waits."""
    there = torch.from_numpy(values)
    return there if torch.device(device).type == "cpu" else there.pin_memory().to(device, non_blocking=True)


class TrainingStep:
    """Forward, backward and optimiser on a batch; what batches give is added up in `sums` (n,), on the device.

    Args:
        network, optimizer: changed in place, both on the device.
        loss: of a batch's tensors: the mean loss to minimise, and the n figures to add up.
        figures: their number n.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss, figures: int, device: str
    ) -> None:
        self._network, self._optimizer, self._loss = network, optimizer, loss
        self.sums = torch.zeros(figures, device=device)
        self._recorded: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}
        self._recording = self.sums.is_cuda

    def __call__(self, *batch: Tensor) -> None:
        """A step."""
        shapes = tuple(part.shape for part in batch)
        if self._recording and shapes not in self._recorded:
            self._record(shapes, batch)
        if shapes not in self._recorded:
            self._step(*batch)
            return
        graph, places = self._recorded[shapes]
        for place, part in zip(places, batch, strict=True):
            place.copy_(part)
        graph.replay()

    def _step(self, *batch: Tensor) -> None:
        loss, figures = self._loss(*batch)
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()  # at once: left there, gradients cut the room of the next activations to pieces
        self.sums += figures

    def _record(self, shapes: tuple[torch.Size, ...], batch: tuple[Tensor, ...]) -> None:
        """Records a step on batches of these shapes; the step itself is not taken."""
        places, graph = tuple(part.clone() for part in batch), torch.cuda.CUDAGraph()
        pool = next(iter(self._recorded.values()))[0].pool() if self._recorded else None
        try:
            with undone(self._network, self._optimizer, self.sums):
                aside = torch.cuda.Stream()
                aside.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(aside):
                    for _ in range(WARM_UP):
                        self._step(*places)
                torch.cuda.current_stream().wait_stream(aside)
                with torch.cuda.graph(graph, pool=pool):
                    self._step(*places)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._recording = False
            warnings.warn(f"training steps are not recorded on the GPU: {error}", DeviceWarning, stacklevel=2)
        else:
            self._recorded[shapes] = graph, places


@contextmanager
def undone(network: nn.Module, optimizer: torch.optim.Optimizer, *others: Tensor) -> Iterator[None]:
    """What the block does to weights, statistics, the optimiser's state, other tensors and the device's random numbers
    is undone, in place: graphs know the tensors by their addresses.

    State that the optimiser has made in the block becomes zero, from which Adam and SGD go on as from none.
    """
    values = [*network.parameters(), *network.buffers(), *others]
    kept = [value.detach().clone() for value in values]
    moments = {id(value): value.clone() for state in optimizer.state.values() for value in state.values()}
    cards = [values[0].device] if values[0].is_cuda else []
    with torch.random.fork_rng(devices=cards):
        try:
            yield
        finally:
            with torch.no_grad():
                for value, was in zip(values, kept, strict=True):
                    value.copy_(was)
                for value in (value for state in optimizer.state.values() for value in state.values()):
                    if id(value) in moments:
                        value.copy_(moments[id(value)])
                    else:
                        value.zero_()
