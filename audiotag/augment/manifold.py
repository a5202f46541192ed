"""Mixing inside a network: after one of its layers instead of before the first.

Shapes: x (B, ...) features, y (B, K) targets in [0, 1].
"""

from typing import Any

import numpy as np
from torch import Tensor, nn

from audiotag.augment.pairs import blend, blend_targets, draw_partners


def manifold_mixup(
    x: Tensor, y: Tensor, rng: np.random.Generator, network: nn.Module, *, alpha: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Mix as `mixup`, but after a layer that is drawn for each batch: the input, or one of `network.mixing_layers`.

    Features come back as they are where that is not the input: the layer mixes what it gives, when the network is
    called the next time. Lambda ~ Beta(alpha, alpha), one per batch; the targets are mixed in any case.
    Source: Verma et al. 2019, "Manifold mixup: better representations by interpolating hidden states", section 2, with
    its alpha for CIFAR-10.
    """
    if alpha == 0:
        return x, y
    partner, own = draw_partners(x, rng)
    lam = float(own.beta(alpha, alpha))
    layers: Any = network.mixing_layers
    place = int(own.integers(1 + len(layers)))
    if place == 0:
        x = blend(x, partner, lam)
    else:
        _mix_next_output(network.get_submodule(layers[place - 1]), partner, lam)
    return x, blend_targets(y, partner, lam)


def _mix_next_output(layer: nn.Module, partner: Tensor, lam: float) -> None:
    """Mix what a layer gives when it is called the next time, and never again."""

    def mix(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        handle.remove()
        return blend(output, partner, lam)

    handle = layer.register_forward_hook(mix)
