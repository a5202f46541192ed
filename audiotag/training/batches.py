"""What batches consist of: whole clips, or segments cut from them.

Shapes: N clips, T frames, F values per frame, B segments (or clips) of a batch, L frames of a segment.
"""

import numpy as np
import torch
from torch import Tensor

from audiotag.models.segments import Segmentation
from audiotag.training.device import to_device


def segment_index(clips: np.ndarray, frames: int, segments: Segmentation | None) -> np.ndarray:
    """List all segments of some clips (n,), as (segments, 2): clip and first frame. None: a segment is a whole clip."""
    starts = segments.starts(frames) if segments else range(1)
    return np.stack([np.repeat(clips, len(starts)), np.tile(starts, len(clips))], axis=1)


def cut_windows(frames: int, segments: Segmentation | None) -> Segmentation:
    """Cut windows of so many frames as wholes, or into a network's segments, of which none is longer than a window."""
    if segments is None:
        return Segmentation(frames, frames)
    return Segmentation(min(segments.frames, frames), segments.hop)


def gather(features: np.ndarray | Tensor, index: np.ndarray, segments: Segmentation | None) -> Tensor:
    """Cut segments (B, 2) from features, on their device: (N, T, F) to (B, L, F), L at most the T of a clip."""
    clips, starts = index.T
    if isinstance(features, np.ndarray):
        if segments is None:
            return torch.from_numpy(features[clips])
        return torch.from_numpy(np.stack([features[c, s : s + segments.frames] for c, s in index]))
    rows = to_device(np.ascontiguousarray(clips), features.device)
    if segments is None:
        return features[rows]
    frames = starts[:, None] + np.arange(min(segments.frames, features.shape[1]))
    return features[rows[:, None], to_device(frames, features.device)]
