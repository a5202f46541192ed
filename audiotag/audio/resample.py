"""Waveforms from one sample rate to another, whole or in pieces, by libsoxr's linear-phase filters.

The first axis is time: (S,) or (S, C) float32. Whole and in pieces the result is the same, of `S * sample_rate / rate`
samples to the nearest integer.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import soxr

LOOK_AHEAD = 160  # samples at the lower rate that a filter reaches beyond an output sample; what follows is below 1e-6


def look_ahead(rate: int, sample_rate: int) -> int:
    """Return how many samples at `rate` (Hz) follow the last one at `sample_rate` in its filter, at most."""
    return 0 if rate == sample_rate else math.ceil(LOOK_AHEAD * max(1.0, rate / sample_rate))


def resample(wave: np.ndarray, rate: float, sample_rate: float) -> np.ndarray:
    """Convert a waveform from `rate` to `sample_rate` (Hz)."""
    return wave if rate == sample_rate else soxr.resample(wave, rate, sample_rate)


def resample_pieces(pieces: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Convert a waveform that comes in pieces; each is returned when what its filter reaches has come."""
    if rate == sample_rate:
        yield from pieces
        return
    stream = None
    for piece in pieces:
        if stream is None:
            stream = soxr.ResampleStream(rate, sample_rate, 1 if piece.ndim == 1 else piece.shape[1])
        if len(converted := stream.resample_chunk(piece)):
            yield converted
    if stream is not None:
        yield stream.resample_chunk(piece[:0], last=True)
