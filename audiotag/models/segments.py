"""Systems that hear blocks of frames: a block is trained with its clip's target, a clip scored by the mean of blocks.

Shapes: N clips, T frames of a clip, L frames of a block, C values a frame, K tags.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

AT_ONCE = 1024  # blocks that are scored together: some 100 MB in the largest system


@dataclass(frozen=True)
class Framing:
    """How a clip is cut: frames of a block, and from one block's first frame to the next's."""

    frames: int
    hop: int

    def starts(self, frames: int) -> range:
        """First frames of the blocks in a clip: whole blocks only, but at least one."""
        return range(0, max(frames - self.frames, 0) + 1, self.hop)


def padded(x: Tensor, frames: int) -> Tensor:
    """Features (B, T, F), standardised, with zeros (the mean) behind them where a clip is shorter than a block."""
    return F.pad(x, (0, 0, 0, max(frames - x.shape[1], 0)))


def mean_over_blocks(encoded: Tensor, frames: int, classify: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean over all blocks of a clip, one begun at every frame: (N, T, C) to (N, K).

    What is the same in every block that a frame lies in is thus computed once a frame, before this; the rest is what
    `classify` makes of blocks: (B, L, C) to (B, K).
    """
    return torch.cat([scores.mean(dim=1) for scores in _block_scores(encoded, frames, classify)])


def block_curves(encoded: Tensor, frames: int, classify: Callable[[Tensor], Tensor]) -> Tensor:
    """As `mean_over_blocks`, but all blocks of a clip in turn: (N, T, C) to (N, blocks, K)."""
    return torch.cat(list(_block_scores(encoded, frames, classify)))


def _block_scores(encoded: Tensor, frames: int, classify: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    blocks = encoded.unfold(1, frames, 1).transpose(2, 3)  # (N, blocks, L, C), a view
    for part in blocks.split(max(1, AT_ONCE // blocks.shape[1])):
        yield classify(part.flatten(0, 1)).unflatten(0, part.shape[:2])
