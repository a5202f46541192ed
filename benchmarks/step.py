"""How fast is a training step of the paper's CRNN? `python benchmarks/step.py`

One thread, batch 44, (124, 128) features: forward, backward and optimiser, against the same network written plainly
with torch's modules (peer: fp32; channels last, and with torch's autocast, for comparison), and against its seven
convolutions alone, forwards and backwards, in the layout that is fastest here (floors: torch's in the same precision,
and the fastest of all, ours among them); and with mixing, of log-mels and of powers. All alternate; times are the
process's CPU seconds, which neighbours on the machine disturb least. Ratios are of each round's own times.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rounds import show
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.augment import build_augmentations
from audiotag.config import TrialConfig
from audiotag.models.backend import fastest_convolution
from audiotag.models.layers import conv3x3
from audiotag.models.precision import computing
from audiotag.training.fit import start_fit

BATCH, FRAMES, BANDS, TAGS = 44, 124, 128, 7
FILTERS = (8, 16, 32, 64, 64, 64, 64)
CONVOLUTIONS = "convolutions, "
OURS = f"{CONVOLUTIONS}fp32, as ours are"
MIXED, MIXED_POWERS = "ours, fp32, mixing log-mels", "ours, fp32, mixing powers"


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
    F.binary_cross_entropy(probabilities.float(), y).backward()
    optimizer.step()


def our_step(precision: str, x: Tensor, y: Tensor, **augmentation: Any) -> Callable[[], None]:
    """A step of the study's own network."""
    config = TrialConfig(precision=precision, convolution=fastest_convolution(), **augmentation)
    state = start_fit(config, x.numpy(), TAGS, np.arange(BATCH), seed=0, fold=0, device="cpu")
    steps, rng = build_augmentations(config), np.random.default_rng(0)

    def step() -> None:
        batch = x, y
        for augment in steps:
            batch = augment(*batch, rng)
        training_step(state.model, state.optimizer, *batch)

    return step


def plain_step(
    precision: str, x: Tensor, y: Tensor, layout: torch.memory_format = torch.contiguous_format
) -> Callable[[], None]:
    """A step of the plain network."""
    plain = Plain()
    plain.to(memory_format=layout)  # type: ignore[call-overload]
    plain.precision = precision  # type: ignore[assignment]
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3)
    return lambda: training_step(plain, adam, x, y)


def by_torch(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution as torch computes it."""
    return F.conv2d(x, weight, padding=1)


def by_us(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution as the study's trials on this CPU compute it."""
    return conv3x3(x, weight, fastest_convolution())


def convolutions(
    dtype: torch.dtype, layout: torch.memory_format, frames_in_rows: bool, convolve: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[], None]:
    """The seven convolutions, forwards and backwards, nothing between them."""
    parts = []
    for block, (channels, filters) in enumerate(zip((1, *FILTERS), FILTERS, strict=False)):
        image = (BANDS >> block, FRAMES) if frames_in_rows else (FRAMES, BANDS >> block)
        x = torch.randn(BATCH, channels, *image).to(dtype).to(memory_format=layout).requires_grad_(block > 0)
        weight = (torch.randn(filters, channels, 3, 3) / 10).to(dtype).to(memory_format=layout).requires_grad_()
        gradient = torch.randn(BATCH, filters, *image).to(dtype).to(memory_format=layout)
        parts.append((x, weight, gradient))

    def run() -> None:
        for x, weight, gradient in parts:
            x.grad = weight.grad = None
            convolve(x, weight).backward(gradient)

    return run


def seconds(run: Callable[[], None]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def start_like_a_worker() -> None:
    """Start this program again with the allocator's settings of the study's workers: glibc reads them at the start."""
    from study.tuning.cluster import ALLOCATOR

    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ALLOCATOR})


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = torch.randn(BATCH, FRAMES, BANDS), (torch.rand(BATCH, TAGS) < 0.3).float()
    runs = {
        "ours, fp32": our_step("fp32", x, y),
        "ours, bf16": our_step("bf16", x, y),
        MIXED: our_step("fp32", x, y, augmentation="mix"),
        MIXED_POWERS: our_step("fp32", x, y, augmentation="mix", domain="power"),
        "plain network": plain_step("fp32", x, y),
        "plain network, channels last": plain_step("fp32", x, y, torch.channels_last),
        "plain network, bf16 by autocast": plain_step("bf16", x, y),
    }
    for frames_in_rows, rows in ((False, "bands in rows"), (True, "frames in rows")):
        for name, dtype, layout in (
            ("fp32", torch.float32, torch.contiguous_format),
            ("fp32, channels last", torch.float32, torch.channels_last),
            ("bf16, channels last", torch.bfloat16, torch.channels_last),
        ):
            runs[f"{CONVOLUTIONS}{name}, {rows}"] = convolutions(dtype, layout, frames_in_rows, by_torch)
    runs[OURS] = convolutions(torch.float32, torch.channels_last, True, by_us)
    for run in runs.values():
        run()
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(arguments.rounds)]
    show("CPU seconds a step", {name: [times[name] for times in rounds] for name in runs})
    show("ratios of CPU seconds", ratios(rounds))
    return 0


def ratios(rounds: list[dict[str, float]]) -> dict[str, list[float]]:
    """What the rounds are for: ours against the peer and against the floors."""
    middle = {name: np.median([times[name] for times in rounds]) for name in rounds[0]}
    floors = [name for name in middle if name.startswith(CONVOLUTIONS)]
    peers = [name for name in middle if name.startswith("plain")]
    found = {}
    for precision in ("fp32", "bf16"):
        ours = f"ours, {precision}"
        of_torch = [name for name in floors if precision in name and name != OURS]
        for peer in peers:
            found[f"{peer} / {ours}"] = [times[peer] / times[ours] for times in rounds]
        for floor in sorted({min(choice, key=middle.__getitem__) for choice in (of_torch, floors)}):
            found[f"{ours} / {floor}"] = [times[ours] / times[floor] for times in rounds]
    found[f"{MIXED_POWERS} / {MIXED}"] = [times[MIXED_POWERS] / times[MIXED] for times in rounds]
    return found


if __name__ == "__main__":
    start_like_a_worker()
    sys.exit(main())
