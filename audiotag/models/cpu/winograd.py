"""A convolution 3 x 3 with a quarter of the multiplications: most of a training step is spent in convolutions.

The minimal filtering F(4 x 4, 3 x 3) of Winograd 1980, as in Lavin and Gray 2016, "Fast Algorithms for Convolutional
Neural Networks" (CVPR), section 4, and their gradients likewise. It is the same mathematics; rounding is two to three
times as coarse as that of the direct way, 1e-6 of a typical value. Torch's own convolutions, at the peak of the
machine, were 70 % of a step, which takes .65 of its time with these (EPYC, Zen 4).

Shapes: B batch, M bands, T frames, I and O channels of input and output, K = 6 parts of an axis (`kernels.convolve`).
"""

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from audiotag.models.cpu import kernels

BANDS = 4  # computed together
CHANNELS = 8  # the kernels compute multiples of it
P, Q = 3 / 4, 3 / 2  # points of the interpolation, as in products.cpp; both are exact in binary


def _filter_transform() -> Tensor:
    """G (K, 3): a filter, as the polynomial of its three values, at 0, +-P, +-Q and infinity."""
    points = (0, P, -P, Q, -Q)
    spans = [prod(point - other for other in points if other != point) for point in points]
    finite = [[point**power / span for power in range(3)] for point, span in zip(points, spans, strict=True)]
    return torch.tensor([*finite, [0, 0, 1]])


G = _filter_transform()


def winograd_fits(x: Tensor, weight: Tensor) -> bool:
    """Whether a convolution can be computed here: on a CPU in float32, with multiples of 4 bands and 8 channels."""
    filters, channels = len(weight), x.shape[1]
    whole = x.shape[2] % BANDS == 0 and filters % CHANNELS == 0 and channels % CHANNELS == 0
    single = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return whole and single and x.device.type == "cpu" and weight.shape == (filters, channels, 3, 3)


def winograd(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve an image, zeros around it: x (B, I, M, T), weight (O, I, 3, 3) to (B, O, M, T), channels last.

    A value that is not finite reaches all values computed together with it, four frames by four bands; other clips
    never.
    """
    return _Convolution.apply(x, weight)


class _Convolution(torch.autograd.Function):
    """The operation and its gradient."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor) -> Tensor:
        context.save_for_backward(x, weight)
        return _convolve(x, torch.einsum("km,lt,oimt->klio", G, G, weight))

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (x, weight), gradient = context.saved_tensors, gradients[0]
        d_x = d_weight = None
        if context.needs_input_grad[0]:
            d_x = _convolve(gradient, torch.einsum("km,lt,oimt->kloi", G, G, weight.flip(2, 3)))
        if context.needs_input_grad[1]:
            sums = torch.zeros(len(G), len(G), weight.shape[1], weight.shape[0])
            kernels.add_filter_gradients(_order_by_band(x), _order_by_band(gradient), sums)
            d_weight = torch.einsum("km,lt,klio->oimt", G, G, sums)
        return d_x, d_weight


def _order_by_band(x: Tensor) -> Tensor:
    """An image (B, C, M, T) as it lies in memory, (B, M, T, C)."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _convolve(x: Tensor, filters: Tensor) -> Tensor:
    """Image (B, I, M, T) and parts of filters (K, K, I, O) to an image (B, O, M, T)."""
    (batch, _, bands, frames), outputs = x.shape, filters.shape[3]
    out = torch.empty((batch, outputs, bands, frames), dtype=x.dtype, memory_format=torch.channels_last)
    kernels.convolve(_order_by_band(x), filters.contiguous(), out.permute(0, 2, 3, 1))
    return out
