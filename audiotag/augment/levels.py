"""Levels: a gain for all bands, or a filter's for each of them, and noise. The targets stay.

Shapes: x (B, T, F) features, y (B, K) targets, M mel bands. Of an inter-channel difference magnitudes change as those
of the bands do.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from audiotag.augment.columns import amplify
from audiotag.augment.pairs import happens
from audiotag.features.log_mel import LogMel


def gain(
    x: Tensor, y: Tensor, rng: np.random.Generator, front_end: LogMel, *, max_gain: float = 12.0
) -> tuple[Tensor, Tensor]:
    """Make each clip louder or quieter by a gain that is uniform in [-max_gain, max_gain] dB.

    Source: Koutini et al. 2022, "Efficient training of audio transformers with Patchout" (PaSST); in its code whole dB
    from -12 to 11.
    """
    decibels = rng.spawn(1)[0].uniform(-1, 1, (len(x), 1)) * max_gain
    return amplify(x, _on(np.tile(decibels, front_end.n_mels), x), front_end), y


def filter_augment(
    x: Tensor,
    y: Tensor,
    rng: np.random.Generator,
    front_end: LogMel,
    *,
    shape: Literal["linear", "step"] = "linear",
    max_gain: float = 6.0,
    min_parts: int = 3,
    max_parts: int = 5,
    narrowest: int = 6,
) -> tuple[Tensor, Tensor]:
    """Filter each clip at random.

    The bands are parted at the same places for all clips of a batch, into `min_parts` to `max_parts` parts of at least
    `narrowest` bands (fewer where there is no room). Each clip has gains of its own, uniform in [-max_gain, max_gain]
    dB: "linear", at the edges of the parts, and between them linear over the bands; "step", one for each part.
    Source: Nam et al. 2022, "FilterAugment: An acoustic environmental data augmentation method"; its code has for
    "step" 2 to 4 parts of at least 4 bands.
    """
    own = rng.spawn(1)[0]
    least, most = sorted((min_parts, max_parts))
    parts = int(own.integers(least, most, endpoint=True))
    drawn = own.uniform(-1, 1, (len(x), parts + 1)) * max_gain
    part, along = _part_bands(own, front_end.n_mels, parts, narrowest)
    decibels = drawn[:, part]
    if shape == "linear":
        decibels = decibels + (drawn[:, part + 1] - decibels) * along
    return amplify(x, _on(decibels, x), front_end), y


def noise(
    x: Tensor,
    y: Tensor,
    rng: np.random.Generator,
    front_end: LogMel,
    *,
    low_snr: float = 6.0,
    high_snr: float = 30.0,
    probability: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Add white noise to the magnitudes of each clip, at a signal-to-noise ratio between `low_snr` and `high_snr` dB.

    The noise has the deviation of the clip's magnitudes over time and bands, divided by 10^(SNR / 20). Magnitudes that
    fall below 0 change their sign; in the source they are cut off at -50 dB. `probability` is that of each batch.
    Source: the code of DESED's baseline (Turpault et al. 2019), "add_noise".
    """
    own = rng.spawn(1)[0]
    snr = low_snr + (high_snr - low_snr) * own.random((len(x), 1, 1))
    ratio = _on(10 ** (snr / 20), x)
    drawn = torch.as_tensor(own.standard_normal(x.shape, dtype=np.float32), device=x.device)
    if not happens(own, probability):
        return x, y

    def disturb(magnitudes: Tensor, own_noise: Tensor) -> Tensor:
        return magnitudes + own_noise * magnitudes.std(dim=(1, 2), keepdim=True) / ratio

    bands, power = front_end.n_mels, front_end.power
    loud = disturb((x[..., :bands] / power).exp(), drawn[..., :bands]).abs()
    parts = [loud.pow(power).clamp(min=front_end.log_offset).log()]
    if front_end.imd:
        parts.append(disturb(x[..., bands:], drawn[..., bands:]))
    return torch.cat(parts, dim=-1), y


def _part_bands(own: np.random.Generator, bands: int, parts: int, narrowest: int) -> tuple[np.ndarray, np.ndarray]:
    """The part that each band lies in (M,), and how far along it, in [0, 1] from its first band to its last."""
    least = min(narrowest, bands // parts)
    room = bands - parts * least
    inner = np.sort(own.integers(0, room, parts - 1, endpoint=True)) + np.arange(1, parts) * least
    edges = np.concatenate([[0], inner, [bands]])
    part = np.searchsorted(edges, np.arange(bands), side="right") - 1
    return part, (np.arange(bands) - edges[part]) / np.maximum(np.diff(edges)[part] - 1, 1)


def _on(values: np.ndarray, x: Tensor) -> Tensor:
    """Values on the device of x, of its precision."""
    return torch.as_tensor(values, dtype=x.dtype, device=x.device)
