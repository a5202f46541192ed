"""Sample mixing: each function mixes a batch with a permutation of itself.

`mix` is the whole family; `mixup`, `mixup_lp`, `sample_pairing` and `extrapolation` are points of it that have names.
Shapes: x (B, ...) features, y (B, K) targets in [0, 1]; both come back with the same shape and stay on their device.
Lambda ~ Beta(alpha, alpha); an alpha of 0 leaves the batch as it is.
Source: "Sample mixed-based data augmentation for domestic audio tagging", Wei et al. 2018.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from audiotag.augment.columns import loudness
from audiotag.augment.pairs import Weight, blend, blend_powers, blend_targets, draw_partners, happens, unite
from audiotag.features.log_mel import LogMel

# What the axes of `mix` leave each other: with this value of this one, those have these values only, or ([]) are not
# there; and why. `audiotag.config` reads it
RESTRICTIONS = {
    "mix": [
        ("direction", "extrapolate", {"target": ["first"], "domain": ["log_mel"]}, "others would fall below 0"),
        ("direction", "half", {"lambdas": [], "dominant": [], "alpha": []}, "its lambda is 1/2"),
    ]
}


def mix(
    x: Tensor,
    y: Tensor,
    rng: np.random.Generator,
    front_end: LogMel,
    *,
    target: Literal["soft", "first", "union"] = "soft",
    direction: Literal["interpolate", "extrapolate", "half"] = "interpolate",
    domain: Literal["log_mel", "power", "waveform"] = "log_mel",
    lambdas: Literal["per_batch", "per_clip"] = "per_batch",
    dominant: bool = False,
    alpha: float = 1.5,
    probability: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Mix by any rule of the family.

    Args:
        x: Log-mels as the front end gives them; in the domain "log_mel" any features.
        y: Targets.
        rng: The generator.
        front_end: What x was computed with.
        target: "soft", l y_i + (1 - l) y_j; "first", y_i; "union", min(1, y_i + y_j).
        direction: "interpolate", l x_i + (1 - l) x_j; "extrapolate", (1 + l) x_i - l x_j, with the target of the first
            and in log-mels only; "half", (x_i + x_j) / 2, where lambda is 1/2 and alpha has no meaning.
        domain: What x stands for above: "log_mel", the features, whose mean is a geometric one; "power", band powers,
            which is what two sounds at once would give (in all but their phases); "waveform", samples, before the front
            end: x is (B, S) then, or (B, 2, S).
        lambdas: One per batch, or one per clip.
        dominant: Whether max(l, 1 - l) takes the place of l, so that the first clip dominates.
        alpha: Of the Beta distribution.
        probability: Of each batch, that it is mixed at all.
    """
    blend_features = partial(blend_powers, front_end=front_end) if domain == "power" else blend
    return _mix(x, y, rng, alpha, target, direction, blend_features, lambdas == "per_clip", dominant, probability)


def mixup(x: Tensor, y: Tensor, rng: np.random.Generator, *, alpha: float = 0.0) -> tuple[Tensor, Tensor]:
    """Give lambda x_i + (1 - lambda) x_j, the targets likewise; one lambda per batch, as in the reference code."""
    return _mix(x, y, rng, alpha)


def sample_pairing(x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Give the mean of two clips with the target of the first; its paper also has a schedule, see `mixing_on`."""
    return _mix(x, y, rng, target="first", direction="half")


def mixup_lp(x: Tensor, y: Tensor, rng: np.random.Generator, *, alpha: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mix as `mixup`, but keep the target of the first clip ("label preserving").

    Whether lambda is forced to 0.5 or more, so that the first clip dominates, is open in the paper; here it is not.
    """
    return _mix(x, y, rng, alpha, target="first")


def extrapolation(x: Tensor, y: Tensor, rng: np.random.Generator, *, alpha: float = 0.0) -> tuple[Tensor, Tensor]:
    """Give (1 + lambda) x_i - lambda x_j with the target of the first clip."""
    return _mix(x, y, rng, alpha, target="first", direction="extrapolate")


def between_class(
    x: Tensor, y: Tensor, rng: np.random.Generator, front_end: LogMel, *, alpha: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Mix log-mels so that two clips are heard in the proportion r of their targets, however loud they are.

    t = r / (r + (1 - r) 10^((G_i - G_j) / 20)), where G is the level of the loudest frame in dB(A); the power of the
    mixture is (t^2 power_i + (1 - t)^2 power_j) / (t^2 + (1 - t)^2), its target r y_i + (1 - r) y_j, with
    r ~ Beta(alpha, alpha) per clip, uniform at 1. In the source waveforms are mixed (so their phases count), the weight
    is that of each FFT bin instead of each band, and partners are of another class; here they are any other clip.
    Source: Tokozume et al. 2018, "Learning from between-class examples for deep sound recognition".
    """
    if alpha == 0:
        return x, y
    partner, own = draw_partners(x, rng)
    r = torch.as_tensor(own.beta(alpha, alpha, len(x)), dtype=x.dtype, device=x.device)
    level = loudness(x, front_end)
    t = r / (r + (1 - r) * 10 ** ((level - level[partner]) / 20))
    share = t.square() / (t.square() + (1 - t).square())
    return blend_powers(x, partner, share, front_end), blend_targets(y, partner, r)


def _mix(
    x: Tensor,
    y: Tensor,
    rng: np.random.Generator,
    alpha: float = 0.0,
    target: str = "soft",
    direction: str = "interpolate",
    blend_features: Callable[[Tensor, Tensor, Weight], Tensor] = blend,
    per_clip: bool = False,
    dominant: bool = False,
    probability: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """A point of the family; `mix` has the arguments."""
    if alpha == 0 and direction != "half":
        return x, y
    partner, own = draw_partners(x, rng)
    lam = _draw_lambda(own, alpha, x, per_clip, dominant) if direction != "half" else 0.5
    if not happens(own, probability):
        return x, y
    mixed = blend_features(x, partner, 1 + lam if direction == "extrapolate" else lam)
    if target == "first":
        return mixed, y
    return mixed, unite(y, partner) if target == "union" else blend_targets(y, partner, lam)


def _draw_lambda(own: np.random.Generator, alpha: float, x: Tensor, per_clip: bool, dominant: bool) -> Weight:
    """Lambda ~ Beta(alpha, alpha): a number, or one per clip (B,) on the device of x."""
    lam = own.beta(alpha, alpha, len(x) if per_clip else None)
    if dominant:
        lam = np.maximum(lam, 1 - lam)
    return torch.as_tensor(lam, dtype=x.dtype, device=x.device) if per_clip else float(lam)
