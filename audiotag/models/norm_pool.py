"""Batch norm, max-pool 1 x 2, ELU and dropout as one operation, for CPUs (`audiotag.models.kernels`)."""

from math import gcd
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.nn import functional as F

from audiotag.models.kernels import add_moments, add_slopes, pool_elu_dropout, slopes_before_norm

LANES = 128  # values side by side in a pass over all of a batch


def norm_pool_elu_dropout(x: Tensor, norm: nn.BatchNorm2d, probability: float) -> Tensor:
    """Dropout(ELU(max-pool(norm(x)))) in the order of memory: (B, C, T, M) -> (B, C, T, M / 2), channels last.

    In training the norm's running statistics are brought up to date. Dropout's probability is met to 1/256 (255/256 at
    most), by one random byte a value. On another device than a CPU, and for gradients in evaluation, it is torch's own
    operations one after the other.

    The backward pass writes the gradient of x over x: torch raises where something else still needs its values.
    """
    if x.device.type != "cpu" or x.dtype == torch.float64 or (torch.is_grad_enabled() and not norm.training):
        return F.dropout(F.elu(F.max_pool2d(norm(x), (1, 2))), probability, norm.training)
    x = x.float().contiguous(memory_format=torch.channels_last)
    if x.is_leaf and x.requires_grad:  # the backward pass overwrites what led here, never what the caller began with
        x = x.clone()
    dropped = min(round(256 * probability), 255) if norm.training else 0
    batch, channels, frames, bands = x.shape
    keep = _bytes((batch * frames * bands // 2, channels), dropped)
    if norm.training:
        mean, variance = _moments(x)
        _update(norm, mean, variance, x.numel() // channels)
    else:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean.double(), norm.running_var.double()
    return _NormPool.apply(x, norm.weight, norm.bias, mean, variance + norm.eps, keep, dropped)


def _bytes(shape: tuple[int, int], dropped: int) -> Tensor:
    """A random byte a value; zeros, which is all kept, where nothing is dropped."""
    count = shape[0] * shape[1]
    if not dropped:
        return torch.zeros(shape, dtype=torch.uint8)
    words = torch.empty(count // 8 + 1, dtype=torch.int64).random_(-(2**63), None)  # None: the whole range
    return words.view(torch.uint8)[:count].view(shape)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each channel, (C,) float64."""
    channels = x.shape[1]
    values = _rows(x, channels)
    times = _side_by_side(len(values), channels)
    pivot = np.tile(values[0], times)  # sums of differences: a large mean costs no digits
    sums = np.zeros((2, times * channels))
    add_moments(values.reshape(-1, times * channels), pivot, sums)
    first, second = torch.from_numpy(sums.reshape(2, times, channels).sum(axis=1) / len(values))
    return first + torch.from_numpy(pivot[:channels]), second - first.square()


def _side_by_side(positions: int, channels: int) -> int:
    """How many positions make a row of up to LANES values."""
    return gcd(positions, max(1, LANES // channels))


def _update(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Running statistics, as torch keeps them: of the unbiased variance."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    with torch.no_grad():
        norm.running_mean.lerp_(mean.float(), norm.momentum)
        norm.running_var.lerp_((variance * count / max(count - 1, 1)).float(), norm.momentum)
        norm.num_batches_tracked += 1


def _rows(x: Tensor, *width: int) -> np.ndarray:
    """The values of a channels-last tensor as they lie in memory."""
    return x.detach().permute(0, 2, 3, 1).reshape(-1, *width).numpy()


class _NormPool(torch.autograd.Function):
    """The operation with its backward."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, spread: Tensor, keep: Tensor, dropped: int
    ) -> Tensor:
        batch, channels, frames, bands = x.shape
        out = torch.empty((batch, channels, frames, bands // 2), memory_format=torch.channels_last)
        scale = weight.detach().double() / spread.sqrt()
        factor = 256 / (256 - dropped)
        pool_elu_dropout(
            _rows(x, 2, channels),
            mean.float().numpy(),
            scale.float().numpy(),
            bias.detach().numpy(),
            keep.numpy(),
            dropped,
            factor,
            _rows(out, channels),
        )
        context.save_for_backward(x, weight, scale, mean, spread, keep, out)
        context.dropped, context.factor = dropped, factor
        return out

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, mean, spread, keep, out = context.saved_tensors
        increment_version(x)  # whoever needs what was in x, a second backward too, is told by torch that it is gone
        channels = x.shape[1]
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        times = _side_by_side(len(keep), channels)
        lanes = times * channels
        given = (
            _rows(x, times, 2, channels),
            *(np.tile(line.float().numpy(), times) for line in (mean, scale)),
            keep.numpy().reshape(-1, lanes),
            context.dropped,
            context.factor,
            _rows(out, lanes),
            _rows(gradient, lanes),
        )
        sums = np.zeros((2, lanes))
        add_slopes(*given, sums)
        total, product = torch.from_numpy(sums.reshape(2, times, channels).sum(axis=1))
        count = x.numel() // channels
        level, tilt = scale * total / count, scale * product / spread / count
        slopes_before_norm(*given, *(np.tile(line.float().numpy(), times) for line in (level, tilt)))
        d_weight = (product / spread.sqrt()).to(weight.dtype)
        return x.detach(), d_weight, total.to(weight.dtype), None, None, None, None
