"""Networks trained on segments of clips: a segment has its clip's target, a clip scores the mean over segments.

Shapes: N clips, T frames of a clip, L frames of a segment, C values per frame, K tags.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

TOGETHER = 1024  # segments that are scored at a time: some 100 MB in the largest network


@dataclass(frozen=True)
class Segmentation:
    """How a clip is cut: frames of a segment, and from the first frame of one to that of the next."""

    frames: int
    hop: int

    def starts(self, frames: int) -> range:
        """Give the first frames of the segments of a clip: whole segments only, but at least one."""
        return range(0, max(frames - self.frames, 0) + 1, self.hop)


@dataclass(frozen=True)
class Pretraining:
    """The epochs without tags that come before the training: on segments, by stochastic gradient descent."""

    epochs: int
    segments: Segmentation
    batch_size: int  # segments
    learning_rate: float
    momentum: float


def pad_frames(x: Tensor, frames: int) -> Tensor:
    """Append zeros (the mean) to standardised features (B, T, F) where a clip is shorter than a segment."""
    return F.pad(x, (0, 0, 0, max(frames - x.shape[1], 0)))


def segment_curves(encoded: Tensor, frames: int, classify: Callable[[Tensor], Tensor]) -> Tensor:
    """Score all segments of a clip in turn, one starting at every frame: (N, T, C) to (N, segments, K).

    `classify` takes segments (B, L, C) to (B, K). What does not depend on the segment that a frame lies in is computed
    once per frame, before this.
    """
    segments = encoded.unfold(1, frames, 1).transpose(2, 3)  # (N, segments, L, C), a view
    parts = segments.split(max(1, TOGETHER // segments.shape[1]))
    return torch.cat([classify(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in parts])
