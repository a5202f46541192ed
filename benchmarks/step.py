"""How fast is a training step of the paper's CRNN? `python benchmarks/step.py`

One thread, batch 44, (124, 128) features: forward, backward and optimiser, against the same network written plainly
with torch's modules (peer), and against its seven convolutions alone, forwards and backwards, in the layout and
precision that are fastest here (floor). The three alternate; times are the process's CPU seconds, which neighbours on
the machine disturb least. Ratios are of each round's own times.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.config import TrialConfig
from audiotag.precision import computing
from audiotag.train import start_fit

BATCH, FRAMES, BANDS, TAGS = 44, 124, 128, 7
FILTERS = (8, 16, 32, 64, 64, 64, 64)


class Plain(nn.Module):
    """The network as one would write it."""

    def __init__(self, tags: int = TAGS) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for channels, filters in zip((1, *FILTERS), FILTERS, strict=False):
            blocks += [nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ELU()]
            blocks += [nn.MaxPool2d((1, 2)), nn.Dropout(0.1)]
        self.blocks = nn.Sequential(*blocks)
        self.gru = nn.GRU(FILTERS[-1], 128, batch_first=True, bidirectional=True)
        self.tagging, self.localisation = nn.Linear(256, tags), nn.Linear(256, tags)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, M) to (B, K)."""
        h, _ = self.gru(self.blocks(x.unsqueeze(1)).squeeze(3).transpose(1, 2))
        weight = torch.softmax(self.localisation(h), dim=2)
        return (torch.sigmoid(self.tagging(h)) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """Forward, backward, optimiser."""
    optimizer.zero_grad()
    with computing(model, "cpu"):
        probabilities = model(x)
    F.binary_cross_entropy(probabilities, y).backward()
    optimizer.step()


def our_step(precision: str, x: Tensor, y: Tensor) -> Callable[[], None]:
    """A step of the study's own network."""
    config = TrialConfig(precision=precision)
    state = start_fit(config, x.numpy(), TAGS, np.arange(BATCH), seed=0, fold=0, device="cpu")
    return lambda: training_step(state.model, state.optimizer, x, y)


def convolutions(dtype: torch.dtype, layout: torch.memory_format) -> Callable[[], None]:
    """The seven convolutions, forwards and backwards, nothing between them."""
    parts = []
    for block, (channels, filters) in enumerate(zip((1, *FILTERS), FILTERS, strict=False)):
        bands = BANDS >> block
        x = torch.randn(BATCH, channels, FRAMES, bands).to(dtype).to(memory_format=layout).requires_grad_(block > 0)
        conv = nn.Conv2d(channels, filters, 3, padding=1, bias=False).to(dtype).to(memory_format=layout)  # type: ignore[call-overload]
        gradient = torch.randn(BATCH, filters, FRAMES, bands).to(dtype).to(memory_format=layout)
        parts.append((conv, x, gradient))

    def run() -> None:
        for conv, x, gradient in parts:
            x.grad = conv.weight.grad = None
            conv(x).backward(gradient)

    return run


def seconds(run: Callable[[], None]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def start_like_a_worker() -> None:
    """Starts this program again with the allocator's settings of the study's workers: glibc reads them at the start."""
    from study.cluster import ALLOCATOR

    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = torch.randn(BATCH, FRAMES, BANDS), (torch.rand(BATCH, TAGS) < 0.3).float()
    plain = Plain()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3)
    runs = {
        "ours, fp32": our_step("fp32", x, y),
        "ours, bf16": our_step("bf16", x, y),
        "plain network (peer)": lambda: training_step(plain, adam, x, y),
        "convolutions, fp32": convolutions(torch.float32, torch.contiguous_format),
        "convolutions, fp32, channels last": convolutions(torch.float32, torch.channels_last),
        "convolutions, bf16, channels last": convolutions(torch.bfloat16, torch.channels_last),
    }
    for run in runs.values():
        run()
    times = np.array([[seconds(run) for run in runs.values()] for _ in range(arguments.rounds)])
    table = Table("CPU seconds a step", "min", "median", "max", "times ours in fp32: min", "median", "max")
    for name, column in zip(runs, times.T, strict=True):
        figures = [(part.min(), np.median(part), part.max()) for part in (column, column / times[:, 0])]
        table.add_row(name, *(f"{value:.3f}" for part in figures for value in part))
    Console().print(table)
    return 0


if __name__ == "__main__":
    start_like_a_worker()
    sys.exit(main())
