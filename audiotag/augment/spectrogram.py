"""Changes to a spectrogram's time and bands: masks, a roll, the statistics of another clip. The targets stay.

Shapes: x (B, T, F) features, y (B, K) targets, M mel bands. The bins of an inter-channel difference are masked with the
nearest band, rolled with the rest, and have statistics of their own, like bands.
"""

import numpy as np
import torch
from torch import Tensor

from audiotag.augment.columns import spread_bands
from audiotag.augment.pairs import draw_partners, happens
from audiotag.features.log_mel import LogMel

EPSILON = 1e-6  # added to variances, as in Freq-MixStyle's code


def spec_augment(
    x: Tensor,
    y: Tensor,
    rng: np.random.Generator,
    front_end: LogMel,
    *,
    frame_share: float = 0.1875,
    band_share: float = 0.1875,
    masks: int = 1,
) -> tuple[Tensor, Tensor]:
    """Mask some frames, and some bands, of each clip: SpecAugment without its time warping.

    There are `masks` of either kind. Each is uniformly wide from nothing to `frame_share` of the frames, or
    `band_share` of the bands, and lies anywhere. What is masked becomes the batch's mean of that band, which is about 0
    after standardisation.
    Source: Park et al. 2019, "SpecAugment", with up to two masks each; the shares are those of AST on ESC-50 (Gong et
    al. 2021: 96 of 512 frames, 24 of 128 bands, one mask each), which has on AudioSet .1875 and .375.
    """
    own = rng.spawn(1)[0]
    frames = _masked(own, len(x), x.shape[1], frame_share, masks)
    bands = _masked(own, len(x), front_end.n_mels, band_share, masks)
    columns = spread_bands(torch.as_tensor(bands, device=x.device), front_end)
    masked = torch.as_tensor(frames, device=x.device)[:, :, None] | columns[:, None]
    return torch.where(masked, x.mean(dim=(0, 1)), x), y


def time_roll(
    x: Tensor, y: Tensor, rng: np.random.Generator, front_end: LogMel, *, max_seconds: float = 0.125
) -> tuple[Tensor, Tensor]:
    """Roll each clip in a circle, by a time that is uniform in [-max_seconds, max_seconds], in whole frames.

    Source: Koutini et al. 2022 (PaSST), on waveforms; .1 s in the baseline of DCASE 2025, task 1.
    """
    most = max_seconds * front_end.sample_rate / front_end.hop_length
    shifts = np.rint(rng.spawn(1)[0].uniform(-1, 1, (len(x), 1)) * most).astype(np.int64)
    places = torch.as_tensor((np.arange(x.shape[1]) - shifts) % x.shape[1], device=x.device)  # (B, T)
    return x[torch.arange(len(x), device=x.device)[:, None], places], y


def freq_mixstyle(
    x: Tensor, y: Tensor, rng: np.random.Generator, *, alpha: float = 0.3, probability: float = 0.4
) -> tuple[Tensor, Tensor]:
    """Give each band of a clip a mean and a deviation over time between its own and those of another clip.

    l m_i + (1 - l) m_j, and the deviations likewise, with l ~ Beta(alpha, alpha) per clip; an alpha of 0 leaves the
    batch as it is. `probability` is that of each batch.
    Source: Kim et al. 2022, "Domain generalization with relaxed instance frequency-wise normalization"; Schmid et al.
    2022, "CP-JKU submission to DCASE22: Distilling knowledge for low-complexity convolutional neural networks".
    """
    if alpha == 0:
        return x, y
    partner, own = draw_partners(x, rng)
    lam = torch.as_tensor(own.beta(alpha, alpha, (len(x), 1, 1)), dtype=x.dtype, device=x.device)
    if not happens(own, probability):
        return x, y
    variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
    deviation = (variance + EPSILON).sqrt()
    new_mean, new_deviation = (torch.lerp(part[partner], part, lam) for part in (mean, deviation))
    return (x - mean) / deviation * new_deviation + new_mean, y


def _masked(own: np.random.Generator, clips: int, size: int, share: float, masks: int) -> np.ndarray:
    """Which places of an axis some mask of each clip covers: (B, size)."""
    width, place = own.random((2, clips, masks, 1))
    width *= share * size
    start = np.floor(place * (size - width))
    places = np.arange(size)
    return ((places >= start) & (places < start + np.floor(width))).any(axis=1)
