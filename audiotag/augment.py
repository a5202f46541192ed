"""Sample mixing: each function mixes a batch with a permutation of itself.

Shapes: x (B, ...) features, y (B, K) targets in [0, 1]; both come back with the same shape and stay on their device.
Lambda ~ Beta(alpha, alpha), one a batch, as in the reference implementation of mixup. Draws come from a NumPy generator
on the host (a permutation and one number), so they are the same on every device.
Source: "Sample mixed-based data augmentation for domestic audio tagging", Wei et al. 2018.
"""

import numpy as np
import torch
from torch import Tensor

from audiotag.device import sent

FIRST_SHARE, FINAL_SHARE = 0.1, 0.2  # of the epochs: before mixing begins, after it has ended for good
ON, OFF = 8, 2  # epochs with and without mixing, in turn, between the two


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


def final_stretch(schedule: str, max_epochs: int) -> int:
    """The first epoch of the stretch without mixing that ends an intermittent schedule; 0 for one that has none.

    Early stopping and the choice of the best epoch begin there: the phases before are always run to their end, because
    the network that the schedule is about is the one that the last stretch has tuned.
    """
    return max_epochs - max(1, round(FINAL_SHARE * max_epochs)) if schedule == "intermittent" else 0


def mixing_on(schedule: str, epoch: int, max_epochs: int) -> bool:
    """Whether an epoch (from 0) mixes. "always": each does.

    "intermittent" is SamplePairing's own schedule: a tenth of `max_epochs` without mixing, then in turn 8 epochs with
    and 2 without it, and the last fifth without it. Source: "Data augmentation by pairing samples for images
    classification" (Inoue 2018), whose stretches are 100, 700 and 200 of 1000 epochs.
    """
    if schedule == "always":
        return True
    first, last = round(FIRST_SHARE * max_epochs), final_stretch(schedule, max_epochs)
    return first <= epoch < last and (epoch - first) % (ON + OFF) < ON


def _draw(x: Tensor, alpha: float, generator: np.random.Generator) -> tuple[Tensor, float]:
    """Partners (B,) and lambda.

    Lambda has a generator of its own, because Beta draws as often as its alpha needs: so the partners of later batches
    are the same at every alpha, and trials stay paired.
    """
    partner = sent(generator.permutation(len(x)), x.device)
    lam = generator.spawn(1)[0].beta(alpha, alpha)
    return partner, float(lam)


def _blend(values: Tensor, partner: Tensor, weight: float) -> Tensor:
    """weight * values_i + (1 - weight) * values_j."""
    return torch.lerp(values[partner], values, weight)
