"""The losses, and what they make of the outputs of a network.

A network gives a probability per tag, whatever the loss. For the cross-entropy over tags, of which each clip has one,
their log-odds are what a softmax takes: those of a network that ends in a sigmoid are what it has before it.
Unknown labels (NaN) have no part in the binary cross-entropy, whose mean is then over the known ones; the cross-entropy
over tags needs them all.
Shapes: B clips or segments, K tags.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-7  # a probability, and its distance from 1: below it log-odds are bounded


def log_odds(probabilities: Tensor) -> Tensor:
    """Compute log(p / (1 - p)) of probabilities (B, K), in fp32."""
    return torch.logit(probabilities.float(), eps=SMALLEST)


def apply_loss(loss: str, probabilities: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean loss of a network's outputs (B, K), without NaN, and what it calls probabilities, (B, K).

    "bce": the binary cross-entropy, a mean over clips and tags. "cross_entropy": that of a softmax over tags, a mean
    over clips; the targets of a clip sum to 1, or to 2 where they are the union of two.
    """
    if loss == "bce":
        return F.binary_cross_entropy(probabilities, targets), probabilities
    logits = log_odds(probabilities)
    return F.cross_entropy(logits, targets), torch.softmax(logits, dim=1)


def masked_bce(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy of probabilities (B, K) over targets that are not NaN; 0 without any."""
    known = ~targets.isnan()
    weight = known.to(probabilities.dtype)
    total = F.binary_cross_entropy(probabilities, targets.nan_to_num(0.0), weight, reduction="sum")
    return total / weight.sum().clamp(min=1)


def final_probabilities(loss: str, probabilities: Tensor) -> Tensor:
    """Turn a network's outputs (B, K) into the probabilities that its loss is about."""
    return probabilities if loss == "bce" else torch.softmax(log_odds(probabilities), dim=1)


def mean_loss(loss: str, probabilities: Tensor, targets: Tensor) -> float:
    """Compute the mean loss of final probabilities (B, K) over known targets; NaN where one is not finite."""
    if not torch.isfinite(probabilities).all():
        return math.nan
    if targets.isnan().any():
        return float(masked_bce(probabilities, targets))
    if loss == "bce":
        return float(F.binary_cross_entropy(probabilities, targets))
    return float(-(targets * probabilities.clamp(min=SMALLEST**2).log()).sum(dim=1).mean())
