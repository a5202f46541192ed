"""What a batch consists of: whole clips, or blocks of frames cut from them.

Shapes: N clips, T frames, F values a frame, B units, L frames of a unit.
"""

import numpy as np
import torch
from torch import Tensor

from audiotag.models.segments import Framing
from audiotag.training.device import sent


def units_of(clips: np.ndarray, frames: int, framing: Framing | None) -> np.ndarray:
    """All units of some clips (n,), as (units, 2): clip and first frame. Without a framing a unit is a whole clip."""
    starts = framing.starts(frames) if framing else range(1)
    return np.stack([np.repeat(clips, len(starts)), np.tile(starts, len(clips))], axis=1)


def cut(features: np.ndarray | Tensor, units: np.ndarray, framing: Framing | None) -> Tensor:
    """The features of units (B, 2), where the features are: (N, T, F) to (B, L, F), L at most the T of a clip."""
    clips, starts = units.T
    if isinstance(features, np.ndarray):
        if framing is None:
            return torch.from_numpy(features[clips])
        return torch.from_numpy(np.stack([features[c, s : s + framing.frames] for c, s in units]))
    rows = sent(np.ascontiguousarray(clips), features.device)
    if framing is None:
        return features[rows]
    frames = starts[:, None] + np.arange(min(framing.frames, features.shape[1]))
    return features[rows[:, None], sent(frames, features.device)]
