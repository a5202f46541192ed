"""A convolution 3 x 3 with a quarter of the multiplications, for CPUs: what a training step takes most of its time for.

The minimal filtering F(4 x 4, 3 x 3) of Winograd 1980, as in Lavin and Gray 2016, "Fast Algorithms for Convolutional
Neural Networks" (CVPR), section 4, and their gradients likewise. It is the same mathematics; rounding is two to three
times as coarse as where each product is taken, 1e-6 of a typical value. Torch's own convolutions, at the peak of the
machine, were 70 % of a step, which takes .65 of its time with these (EPYC, Zen 4).

Shapes: B batch, M bands, T frames, I and O channels of input and output, K = 6 parts of an axis (`kernels.convolve`).
"""

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from audiotag.models.cpu import compiled, kernels

BANDS = 4  # that are computed together
CHANNELS = 8  # the kernels compute multiples of it
THREADS = 2  # ours use one; among more torch shares out twice the work and is faster
P, Q = 3 / 4, 3 / 2  # where a polynomial's product is taken, as in products.cpp; both are exact in binary


def _parts_of_filter() -> Tensor:
    """G (K, 3): a filter, as the polynomial of its three values, at 0, +-P, +-Q and infinity."""
    points = (0, P, -P, Q, -Q)
    spans = [prod(point - other for other in points if other != point) for point in points]
    finite = [[point**power / span for power in range(3)] for point, span in zip(points, spans, strict=True)]
    return torch.tensor([*finite, [0, 0, 1]])


PARTS = _parts_of_filter()


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution 3 x 3, zeros around the image: x (B, I, M, T), weight (O, I, 3, 3) to (B, O, M, T), channels last.

    It is torch's own where that is faster or ours is not made for it: with many threads, under autocast, on other
    devices, with other types than float32, with few bands or channels, and where the kernels are not compiled. In ours
    what is not finite reaches all values that are computed with it, four frames by four bands; other clips never.
    """
    filters, channels = len(weight), x.shape[1]
    whole = x.shape[2] % BANDS == 0 and filters % CHANNELS == 0 and channels % CHANNELS == 0
    fits = whole and weight.shape == (filters, channels, 3, 3)
    single = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    ours = compiled.COMPILED and kernels.LANES and x.device.type == "cpu" and torch.get_num_threads() <= THREADS
    if fits and single and ours:
        return _Convolution.apply(x, weight)
    return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), padding=1)


class _Convolution(torch.autograd.Function):
    """The operation with its backward."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor) -> Tensor:
        context.save_for_backward(x, weight)
        return _convolve(x, torch.einsum("km,lt,oimt->klio", PARTS, PARTS, weight))

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (x, weight), gradient = context.saved_tensors, gradients[0]
        d_x = d_weight = None
        if context.needs_input_grad[0]:
            d_x = _convolve(gradient, torch.einsum("km,lt,oimt->kloi", PARTS, PARTS, weight.flip(2, 3)))
        if context.needs_input_grad[1]:
            sums = torch.zeros(len(PARTS), len(PARTS), weight.shape[1], weight.shape[0])
            kernels.add_filters(_by_band(x), _by_band(gradient), sums)
            d_weight = torch.einsum("km,lt,klio->oimt", PARTS, PARTS, sums)
        return d_x, d_weight


def _by_band(x: Tensor) -> Tensor:
    """An image (B, C, M, T) as it lies in memory, (B, M, T, C)."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _convolve(x: Tensor, filters: Tensor) -> Tensor:
    """Image (B, I, M, T) and parts of filters (K, K, I, O) to an image (B, O, M, T)."""
    (batch, _, bands, frames), outputs = x.shape, filters.shape[3]
    out = torch.empty((batch, outputs, bands, frames), dtype=x.dtype, memory_format=torch.channels_last)
    kernels.convolve(_by_band(x), filters.contiguous(), out.permute(0, 2, 3, 1))
    return out
