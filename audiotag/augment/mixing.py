"""Sample mixing: each function mixes a batch with a permutation of itself.

Shapes: x (B, ...) features, y (B, K) targets in [0, 1]; both come back with the same shape and stay on their device.
Lambda ~ Beta(alpha, alpha), one per batch, as in the reference implementation of mixup; an alpha of 0 leaves the batch
as it is. Draws come from a NumPy generator on the host (a permutation and one number), so they are the same on every
device.
Source: "Sample mixed-based data augmentation for domestic audio tagging", Wei et al. 2018.
"""

import numpy as np
import torch
from torch import Tensor


def mixup(x: Tensor, y: Tensor, rng: np.random.Generator, *, alpha: float = 0.0) -> tuple[Tensor, Tensor]:
    """Give lambda x_i + (1 - lambda) x_j, the targets likewise."""
    if alpha == 0:
        return x, y
    partner, lam = _draw(x, alpha, rng)
    return _blend(x, partner, lam), _blend(y, partner, lam)


def sample_pairing(x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Give the mean of two clips with the target of the first; its paper also has a schedule, see `mixing_on`."""
    partner, _ = _draw(x, 1.0, rng)
    return _blend(x, partner, 0.5), y


def mixup_lp(x: Tensor, y: Tensor, rng: np.random.Generator, *, alpha: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mix as `mixup`, but keep the target of the first clip ("label preserving").

    Whether lambda is forced to 0.5 or more, so that the first clip dominates, is open in the paper; here it is not.
    """
    if alpha == 0:
        return x, y
    partner, lam = _draw(x, alpha, rng)
    return _blend(x, partner, lam), y


def extrapolation(x: Tensor, y: Tensor, rng: np.random.Generator, *, alpha: float = 0.0) -> tuple[Tensor, Tensor]:
    """Give (1 + lambda) x_i - lambda x_j with the target of the first clip."""
    if alpha == 0:
        return x, y
    partner, lam = _draw(x, alpha, rng)
    return _blend(x, partner, 1.0 + lam), y


def _draw(x: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Partners (B,) and lambda.

    Lambda has a generator of its own, because Beta draws as often as its alpha needs: so the partners of later batches
    are the same at every alpha, and trials stay paired.
    """
    partner = torch.as_tensor(rng.permutation(len(x)), device=x.device)
    lam = rng.spawn(1)[0].beta(alpha, alpha)
    return partner, float(lam)


def _blend(values: Tensor, partner: Tensor, weight: float) -> Tensor:
    """Give weight * values_i + (1 - weight) * values_j."""
    return torch.lerp(values[partner], values, weight)
