"""A training step recorded on a GPU as a CUDA graph and replayed: one launch instead of one per kernel.

An option (`cuda_graphs`), off until a GPU has shown that it trains to the same bits and is faster;
`benchmarks/gpu_check.py` tells. Shapes: B segments (or clips) of a batch, L frames, F values per frame, K tags.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from audiotag.training.device import GPUError

WARM_UP = 3  # steps before one is recorded, in which libraries choose kernels and allocate their workspaces

Step = Callable[[Tensor, Tensor], Tensor]


class RecordedStep:
    """A step on batches of one shape: recorded on the first one, replayed on each.

    Args:
        step: Forward, backward and optimiser on x (B, L, F) and y (B, K); gives the figures that an epoch adds up.
        network, optimizer: What the step changes, in place: a graph knows tensors by their addresses.
    """

    def __init__(self, step: Step, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._step, self._network, self._optimizer = step, network, optimizer
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Take the step; the figures are overwritten by the next one.

        Raises:
            GPUError: When the step cannot be recorded.
        """
        if self._graph is None:
            self._record(x, y)
        assert self._graph is not None
        self._x.copy_(x)
        self._y.copy_(y)
        self._graph.replay()
        return self._figures

    def _record(self, x: Tensor, y: Tensor) -> None:
        """Record a step on batches of this shape; the step itself is not taken."""
        self._x, self._y, graph, stream = x.clone(), y.clone(), torch.cuda.CUDAGraph(), recording_stream()
        try:
            with restore_after(self._network, self._optimizer):
                stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(stream):
                    for _ in range(WARM_UP):
                        self._step(self._x, self._y)
                torch.cuda.current_stream().wait_stream(stream)
                with torch.cuda.graph(graph, stream=stream):
                    self._figures = self._step(self._x, self._y)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise GPUError(
                f"The value of `cuda_graphs` is True, but this trial's step cannot be recorded: {reason}. Leave it out."
            ) from error
        self._graph = graph


@functools.cache
def recording_stream() -> torch.cuda.Stream:
    """Give the one stream of all recordings of this process: for each stream cuBLAS keeps a workspace of 32 MiB."""
    return torch.cuda.Stream()


@contextmanager
def restore_after(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Undo in place what the block does to weights, statistics, the optimiser's state and the device's random numbers.

    State that the optimiser makes in the block becomes zero, from which Adam and SGD go on as from none.
    """
    values = [*network.parameters(), *network.buffers()]
    kept = [value.detach().clone() for value in values]
    moments = {id(value): value.clone() for value in _moments(optimizer)}
    cards = [values[0].device] if values[0].is_cuda else []
    with torch.random.fork_rng(devices=cards):
        try:
            yield
        finally:
            with torch.no_grad():
                for value, before in zip(values, kept, strict=True):
                    value.copy_(before)
                for value in _moments(optimizer):
                    if id(value) in moments:
                        value.copy_(moments[id(value)])
                    else:
                        value.zero_()


def _moments(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))
