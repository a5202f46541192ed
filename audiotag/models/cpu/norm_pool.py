"""Batch norm, max-pool over bands, ELU and dropout as one operation (`audiotag.models.cpu.kernels`)."""

from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from audiotag.models.cpu import kernels

PASS = 128  # values side by side in a pass over all of a batch


def norm_pool_elu_dropout(x: Tensor, norm: nn.BatchNorm2d, keep: Tensor, dropped: int) -> Tensor:
    """Dropout(ELU(max-pool(norm(x)))): (B, C, M, T) to (B, C, M / 2, T), channels last, in float32 or bfloat16 as x.

    Values whose byte in keep (B, M / 2, T, C) is less than `dropped` are dropped. In training the norm's running
    statistics are updated; there are gradients in training only. The backward pass writes the gradient of x over x:
    torch raises where something else still needs its values.
    """
    x = x if x.dtype == torch.bfloat16 else x.float()
    x = x.contiguous(memory_format=torch.channels_last)
    if x.is_leaf and x.requires_grad:  # the backward pass overwrites its input, but never the caller's own tensor
        x = x.clone()
    if norm.training:
        mean, var = _moments(x)
        _update(norm, mean, var, x.numel() // x.shape[1])
    else:
        mean, var = (norm.get_buffer(name).double() for name in ("running_mean", "running_var"))
    return _NormPool.apply(x, norm.weight, norm.bias, mean, var + norm.eps, keep, dropped)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each channel, (C,) float64."""
    batch, channels, bands, frames = x.shape
    first = x[0, :, 0, 0].detach().float()  # sums of differences: a large mean costs no digits
    sums = torch.zeros(2, _side_by_side(x) * channels, dtype=torch.float64)
    kernels.add_moments(_rows(x, batch * bands), _lanes(first, x), sums)
    mean, square = _by_channel(sums, channels) / (batch * bands * frames)
    return first + mean, square - mean.square()


def _side_by_side(x: Tensor) -> int:
    """The number of frames in a row of up to PASS values."""
    return gcd(x.shape[3], max(1, PASS // x.shape[1]))


def _lanes(line: Tensor, x: Tensor) -> Tensor:
    """One value per channel (C,) as one per lane (W,), float32."""
    return line.float().repeat(_side_by_side(x))


def _by_channel(sums: Tensor, channels: int) -> Tensor:
    """Sums of lanes (2, W) to sums of channels (2, C)."""
    return sums.view(2, -1, channels).sum(dim=1)


def _update(norm: nn.BatchNorm2d, mean: Tensor, var: Tensor, count: int) -> None:
    """Running statistics, as torch keeps them: of the unbiased variance."""
    assert norm.momentum is not None
    with torch.no_grad():
        norm.get_buffer("running_mean").lerp_(mean.float(), norm.momentum)
        norm.get_buffer("running_var").lerp_((var * count / max(count - 1, 1)).float(), norm.momentum)
        norm.get_buffer("num_batches_tracked").add_(1)


def _rows(x: Tensor, *first: int) -> Tensor:
    """The values of a channels-last tensor as they lie in memory, (..., R, W)."""
    return x.detach().permute(0, 2, 3, 1).view(*first, -1, _side_by_side(x) * x.shape[1])


class _NormPool(torch.autograd.Function):
    """The operation and its gradient."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, keep: Tensor, dropped: int
    ) -> Tensor:
        batch, channels, bands, frames = x.shape
        out = torch.empty((batch, channels, bands // 2, frames), dtype=x.dtype, memory_format=torch.channels_last)
        scale = weight.detach().double() / var.sqrt()
        context.save_for_backward(x, weight, scale, mean, var, out)
        context.factor = 256 / (256 - dropped)
        lane_mean, lane_scale, lane_bias = (_lanes(line.detach(), x) for line in (mean, scale, bias))
        pairs, results = _rows(x, batch * bands // 2, 2), _rows(out, batch * bands // 2)
        kernels.pool_elu_dropout(pairs, lane_mean, lane_scale, lane_bias, keep, dropped, context.factor, results)
        return out

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, mean, var, out = context.saved_tensors
        increment_version(x)  # torch then raises where the values of x are needed again, by a second backward too
        batch, channels, bands, frames = x.shape
        count, pairs = batch * bands * frames, batch * bands // 2
        given = (
            _rows(x, pairs, 2),
            _lanes(mean, x),
            _lanes(scale, x),
            context.factor,
            _rows(out, pairs),
            _rows(gradients[0].contiguous(memory_format=torch.channels_last), pairs),
        )
        sums = torch.zeros(2, _side_by_side(x) * channels, dtype=torch.float64)
        kernels.add_norm_gradients(*given, sums)
        total, product = _by_channel(sums, channels)
        offset, per_unit = scale * total / count, scale * product / var / count
        kernels.norm_pool_backward(*given, _lanes(offset, x), _lanes(per_unit, x))
        d_weight = (product / var.sqrt()).to(weight.dtype)
        return x.detach(), d_weight, total.to(weight.dtype), None, None, None, None
