"""Sample mixing: each function mixes a batch with a permutation of itself.

Shapes: x (B, ...) features, y (B, K) targets in [0, 1]; both come back with the same shape and stay on their device.
Lambda ~ Beta(alpha, alpha), one a batch, as in the reference implementation of mixup. Draws come from a NumPy generator
on the host (a permutation and one number), so they are the same on every device.
Source: "Sample mixed-based data augmentation for domestic audio tagging", Wei et al. 2018.
"""

import numpy as np
import torch
from torch import Tensor


def mixup(x: Tensor, y: Tensor, alpha: float, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """lambda x_i + (1 - lambda) x_j, the targets likewise."""
    partner, lam = _draw(x, alpha, generator)
    return _blend(x, partner, lam), _blend(y, partner, lam)


def sample_pairing(x: Tensor, y: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The mean of two clips with the target of the first; its paper has a schedule beside it, see `mixing_on`."""
    partner, _ = _draw(x, 1.0, generator)
    return _blend(x, partner, 0.5), y


def mixup_lp(x: Tensor, y: Tensor, alpha: float, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """mixup that keeps the target of the first clip ("label preserving").

    Whether lambda is forced to 0.5 or more, so that the first clip dominates, is open in the paper; here it is not.
    """
    partner, lam = _draw(x, alpha, generator)
    return _blend(x, partner, lam), y


def extrapolation(x: Tensor, y: Tensor, alpha: float, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(1 + lambda) x_i - lambda x_j with the target of the first clip."""
    partner, lam = _draw(x, alpha, generator)
    return _blend(x, partner, 1.0 + lam), y


def mix(x: Tensor, y: Tensor, augmentation: str, alpha: float, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The batch under the named augmentation; "none", and an alpha of 0, leave it as it is.

    Raises:
        ValueError: for a name that is no augmentation.
    """
    if augmentation == "none":
        return x, y
    if augmentation == "sample_pairing":
        return sample_pairing(x, y, generator)
    by_name = {"mixup": mixup, "mixup_lp": mixup_lp, "extrapolation": extrapolation}
    if augmentation not in by_name:
        raise ValueError(
            f"The value of `augmentation` is {augmentation!r}, but must be none, sample_pairing, {', '.join(by_name)}."
        )
    if alpha == 0:
        return x, y
    return by_name[augmentation](x, y, alpha, generator)


def _draw(x: Tensor, alpha: float, generator: np.random.Generator) -> tuple[Tensor, float]:
    """Partners (B,) and lambda.

    Lambda has a generator of its own, because Beta draws as often as its alpha needs: so the partners of later batches
    are the same at every alpha, and trials stay paired.
    """
    partner = torch.as_tensor(generator.permutation(len(x)), device=x.device)
    lam = generator.spawn(1)[0].beta(alpha, alpha)
    return partner, float(lam)


def _blend(values: Tensor, partner: Tensor, weight: float) -> Tensor:
    """weight * values_i + (1 - weight) * values_j."""
    return torch.lerp(values[partner], values, weight)
