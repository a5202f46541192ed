"""Mean and scale of each column of features, for their standardisation."""

import numpy as np

SMALLEST_SCALE = 1e-4  # below it a standard deviation is rounding (2e-6 near -18), and the scale is 1: never amplified
SMALLEST_SHARE, SMALLEST = 1e-5, 1e-7  # the same bound for a column of small values: share of its mean, plus a constant


def band_statistics(
    features: np.ndarray, clips: np.ndarray, spans: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation of each column over all frames of some clips.

    Meant for the training part of a fold, so that no held-out clip enters its own standardisation. With `spans` over
    so many first frames of each clip.

    Shapes: features (N, T, M), clips (n,) indices, spans (N,); returns (M,), (M,) float32.
    """
    frames = len(clips) * features.shape[1] if spans is None else int(spans[clips].sum())
    total = np.zeros(features.shape[2])
    squares = np.zeros(features.shape[2])
    for clip in clips:
        values = features[clip, : None if spans is None else spans[clip]].astype(np.float64)
        total += values.sum(axis=0)
        squares += np.square(values).sum(axis=0)
    mean = total / frames
    scale = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    smallest = np.minimum(SMALLEST_SCALE, SMALLEST_SHARE * np.abs(mean) + SMALLEST)
    return mean.astype(np.float32), np.where(scale < smallest, 1.0, scale).astype(np.float32)
