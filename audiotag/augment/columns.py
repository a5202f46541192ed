"""What the columns of features are: mel bands, whose logarithms they hold, and differences between two channels.

Shapes: B batch, T frames, M mel bands, F columns: the bands, and where the front end has them D FFT bins of the
inter-channel difference of magnitudes, which is no logarithm and may be negative.
"""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from audiotag.features.log_mel import LogMel, band_frequencies, mel_filters


def spread_bands(values: Tensor, front_end: LogMel) -> Tensor:
    """Give each column what its band has, a bin of the difference what the nearest band has: (..., M) to (..., F)."""
    if not front_end.imd:
        return values
    return values[..., torch.as_tensor(nearest_bands(front_end), device=values.device)]


@cache
def nearest_bands(front_end: LogMel) -> np.ndarray:
    """Return the band of each column (F,): its own, or the one whose centre is nearest to the bin's frequency."""
    bins = np.linspace(0, front_end.sample_rate / 2, front_end.n_fft // 2 + 1)
    nearest = np.nan_to_num(np.abs(bins[:, None] - _centres(front_end)), nan=np.inf).argmin(axis=1)
    return np.concatenate([np.arange(front_end.n_mels), nearest[: front_end.columns - front_end.n_mels]])


def amplify(x: Tensor, decibels: Tensor, front_end: LogMel) -> Tensor:
    """Change the level of features (B, T, F) by decibels (B, M), as if the sound had been filtered so.

    The logarithm's offset is taken for a part of the sound.
    """
    gain = spread_bands(decibels, front_end)[:, None] * (math.log(10) / 20)  # of magnitudes, natural logarithm
    bands = x[..., : front_end.n_mels] + gain[..., : front_end.n_mels] * front_end.power
    if not front_end.imd:
        return bands
    return torch.cat([bands, x[..., front_end.n_mels :] * gain[..., front_end.n_mels :].exp()], dim=-1)


def loudness(x: Tensor, front_end: LogMel) -> Tensor:
    """Return the A-weighted level of the loudest frame of each clip: (B, T, F) to (B,), in dB.

    Each band is weighted as its centre. Where bands sum magnitudes, their squares stand for powers.
    """
    bands = x[..., : front_end.n_mels]
    powers = (bands - _peaks(front_end).to(x.device)) * (2 / front_end.power)
    frames = torch.logsumexp(powers + _a_weights(front_end).to(x.device), dim=-1)
    return frames.amax(dim=1) * (10 / math.log(10))


@cache
def _peaks(front_end: LogMel) -> Tensor:
    """The logarithm of each filter's maximum (M,): with it taken off, the bands of a frame sum to its energy."""
    return mel_filters(front_end).amax(dim=0).clamp(min=torch.finfo(torch.float32).tiny).log()


@cache
def _a_weights(front_end: LogMel) -> Tensor:
    """The A-weighting of powers at each band's centre (M,), natural logarithm. Source: IEC 61672-1."""
    f2 = np.square(_centres(front_end))
    magnitudes = 12194.217**2 * f2**2 / ((f2 + 20.598997**2) * (f2 + 12194.217**2))
    magnitudes /= np.sqrt((f2 + 107.65265**2) * (f2 + 737.86223**2))
    weights = 2 * np.log(magnitudes) + 0.2 * math.log(10)  # 0 dB at 1 kHz
    return torch.from_numpy(np.nan_to_num(weights, nan=-np.inf)).to(torch.float32)


def _centres(front_end: LogMel) -> np.ndarray:
    """The centre of each band (M,) in Hz; NaN of a filter so narrow that it holds no bin."""
    with np.errstate(invalid="ignore"):
        return band_frequencies(front_end)
