"""What a batch consists of: whole clips, or blocks of frames cut from them.

Shapes: N clips, T frames, F values a frame, B units, L frames of a unit.
"""

import numpy as np

from audiotag.models.blocks import Framing


def units_of(clips: np.ndarray, frames: int, framing: Framing | None) -> np.ndarray:
    """All units of some clips (n,), as (units, 2): clip and first frame. Without a framing a unit is a whole clip."""
    starts = framing.starts(frames) if framing else range(1)
    return np.stack([np.repeat(clips, len(starts)), np.tile(starts, len(clips))], axis=1)


def cut(features: np.ndarray, units: np.ndarray, framing: Framing | None) -> np.ndarray:
    """The features of units (B, 2): (N, T, F) to (B, L, F), L at most the T of a clip."""
    if framing is None:
        return features[units[:, 0]]
    return np.stack([features[clip, start : start + framing.frames] for clip, start in units])
