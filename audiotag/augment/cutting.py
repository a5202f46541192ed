"""Parts of one clip put into another: the target is mixed by the areas of the two.

Shapes: x (B, T, F) features, y (B, K) targets in [0, 1], M mel bands. One region per batch, as in the sources. The bins
of an inter-channel difference go with the nearest band, and do not count in the area.
"""

import math

import numpy as np
import torch
from torch import Tensor

from audiotag.augment.columns import spread_bands
from audiotag.augment.pairs import blend_targets, draw_partners
from audiotag.features.log_mel import LogMel


def cutmix(
    x: Tensor, y: Tensor, rng: np.random.Generator, front_end: LogMel, *, alpha: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Replace a box of each spectrogram by that of another clip.

    Its sides are sqrt(1 - lambda) of the frames and of the bands, lambda ~ Beta(alpha, alpha), its centre is anywhere:
    what lies beyond an edge is cut off, and does not count. An alpha of 0 leaves the batch as it is.
    Source: Yun et al. 2019, "CutMix: Regularization strategy to train strong classifiers with localizable features".
    """
    if alpha == 0:
        return x, y
    partner, own = draw_partners(x, rng)
    centre = own.random(2)  # before lambda, so at every alpha the same
    side = math.sqrt(1 - own.beta(alpha, alpha))
    spans = [_span(size, int(size * side), place) for size, place in zip(_sizes(x, front_end), centre, strict=True)]
    return _paste(x, y, partner, np.outer(*spans), front_end)


def specmix(
    x: Tensor,
    y: Tensor,
    rng: np.random.Generator,
    front_end: LogMel,
    *,
    strips: int = 2,
    frame_share: float = 0.1,
    band_share: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Replace strips of each spectrogram by those of another clip.

    Up to `strips` of them, any number being as likely, have all bands of `frame_share` of the frames, and up to as many
    all frames of `band_share` of the bands; they may overlap. Shares of 0 leave the batch as it is.
    Source: Kim et al. 2021, "SpecMix: A mixed sample data augmentation method for training with time-frequency domain
    features".
    """
    partner, own = draw_partners(x, rng)
    masks = []
    for size, share in zip(_sizes(x, front_end), (frame_share, band_share), strict=True):
        starts, width = own.random(own.integers(0, strips, endpoint=True)), round(size * share)
        covered = np.zeros(size, dtype=bool)
        for start in (starts * (size - width + 1)).astype(int):
            covered[start : start + width] = True
        masks.append(covered)
    return _paste(x, y, partner, np.logical_or.outer(*masks), front_end)


def _sizes(x: Tensor, front_end: LogMel) -> tuple[int, int]:
    """Frames and bands."""
    return x.shape[1], front_end.n_mels


def _span(size: int, length: int, place: float) -> np.ndarray:
    """A stretch of an axis as a mask, whose centre is at `place` in [0, 1) of the axis."""
    centre = int(place * size)
    places = np.arange(size)
    return (places >= centre - length // 2) & (places < centre - length // 2 + length)


def _paste(x: Tensor, y: Tensor, partner: Tensor, region: np.ndarray, front_end: LogMel) -> tuple[Tensor, Tensor]:
    """Put the partners' part of a region (T, M) into each clip."""
    taken = spread_bands(torch.as_tensor(region, device=x.device), front_end)
    return torch.where(taken, x[partner], x), blend_targets(y, partner, 1 - float(region.mean()))
