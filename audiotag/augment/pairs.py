"""Pairs of clips: which two are combined, in what proportion, and how.

Partners are a permutation of the batch, drawn from the generator that is given. All else comes from a generator of its
own for each batch: a Beta distribution draws as often as its alpha needs, and so the partners of later batches are the
same at every strength, and trials stay paired. All draws are NumPy's, on the host: the same for every device.
Shapes: B batch. A weight is a number, or one per clip (B,).
"""

import numpy as np
import torch
from torch import Tensor

from audiotag.features.log_mel import LogMel

Weight = float | Tensor


def draw_partners(x: Tensor, rng: np.random.Generator) -> tuple[Tensor, np.random.Generator]:
    """Draw partners (B,), on the device of x, and give the batch's own generator for what else is drawn."""
    partner = torch.as_tensor(rng.permutation(len(x)), device=x.device)
    return partner, rng.spawn(1)[0]


def happens(own: np.random.Generator, probability: float) -> bool:
    """Draw whether a batch is augmented at all; the other draws are the same at every probability."""
    return bool(own.spawn(1)[0].random() < probability)


def blend(values: Tensor, partner: Tensor, weight: Weight) -> Tensor:
    """Give weight * values_i + (1 - weight) * values_j."""
    return torch.lerp(values[partner], values, _fit(weight, values))


def blend_targets(y: Tensor, partner: Tensor, weight: Weight) -> Tensor:
    """Blend targets (B, K); a clip of weight 0 is not heard, so whether its labels are known does not matter.

    Any other clip is: a tag of which it is unknown whether one of the two has it (NaN) is unknown of their mixture.
    """
    mixed = blend(y, partner, weight)
    if isinstance(weight, float):
        return y if weight == 1 else y[partner] if weight == 0 else mixed
    share = weight.to(y.dtype).reshape(-1, 1)
    return torch.where(share == 1, y, torch.where(share == 0, y[partner], mixed))


def blend_powers(x: Tensor, partner: Tensor, weight: Weight, front_end: LogMel) -> Tensor:
    """Blend log-mels (B, T, F) as powers: give the logarithm of weight * power_i + (1 - weight) * power_j.

    The weight is in [0, 1]. Where bands sum magnitudes, powers are their squares. Inter-channel differences are no
    logarithms, and do not say what they would be in the sum of two sounds: they are blended as they are.
    """
    share = torch.as_tensor(weight, dtype=x.dtype, device=x.device)
    first, second = _fit(share.log(), x), _fit((1 - share).log(), x)  # -inf of a share of 0: nothing is added
    to_power = 2 / front_end.power  # from logarithms of band values to those of powers
    bands = x[..., : front_end.n_mels] * to_power
    mixed = torch.logaddexp(bands + first, bands[partner] + second) / to_power
    if not front_end.imd:
        return mixed
    return torch.cat([mixed, blend(x[..., front_end.n_mels :], partner, weight)], dim=-1)


def unite(y: Tensor, partner: Tensor) -> Tensor:
    """Give the tags of both clips: min(1, y_i + y_j); unknown (NaN) where one of the two is."""
    return (y + y[partner]).clamp(max=1)


def _fit(weight: Weight, values: Tensor) -> Weight:
    """A weight per clip in a shape that fits values (B, ...); a number as it is."""
    if isinstance(weight, float) or weight.dim() == 0:
        return weight
    return weight.to(values.dtype).reshape(-1, *[1] * (values.dim() - 1))
