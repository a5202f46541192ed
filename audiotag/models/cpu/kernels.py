"""Loops over a batch, compiled for CPUs from kernels.cpp and products.cpp when the package is installed.

Those of kernels.cpp run at the speed of memory, those of products.cpp at that of multiplication.

Between two convolutions torch passes over the activations about ten times; here it is twice forwards, twice backwards.
Between two matrix products of a GRU it has some ten operations per step, each of which costs more to call than to run.

Tensors are contiguous, float32 or bfloat16, unless another type is named; all arithmetic is in float32.

Shapes of the norm: P pairs of bands, which the pooling makes one; each has R rows of W lanes, in which G frames of C
channels lie side by side (W = G C: few channels alone fill no vector register). Values of a channel are (W,), float32.
Shapes of the GRU: D directions (2), T frames, B batch, H units, G = 3 H gates in torch's order: reset, update, new. The
second direction runs backwards in time: its step s is frame T - 1 - s. Between the steps are kept the gates
(D, T, B, G), the state's contribution to the new gate `inner_new` (D, T, B, H), and the states `hidden`
(D, T + 1, B, H).
Shapes of the convolution: B images of M bands (a multiple of 4), T frames, I or O channels (multiples of 8), of which
K by K parts (K = 6) are made for four bands by four frames.
"""

import ctypes

import torch
from torch import Tensor

from audiotag.models.backend import LANES, LIBRARY

NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def _call(name: str, values: torch.dtype, *arguments: Tensor | int | float) -> None:
    """Call a function of the library for this type of values."""
    given: list[object] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            assert argument.is_contiguous(), name
            given.append(ctypes.c_void_p(argument.data_ptr()))
        else:
            given.append(ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int64(argument))
    getattr(LIBRARY, f"{name}_{NAMES[values]}")(*given)


def add_moments(x: Tensor, pivot: Tensor, sums: Tensor) -> None:
    """Add to sums (2, W), float64, those over n and R of x - pivot and of its square; x (n, R, W), pivot (W,)."""
    _call("add_moments", x.dtype, x, pivot, sums, *x.shape)


def pool_elu_dropout(
    x: Tensor, mean: Tensor, scale: Tensor, bias: Tensor, keep: Tensor, least: int, factor: float, out: Tensor
) -> None:
    """Write out (P, R, W): ELU of the larger of two bands of (x - mean) * scale + bias, x (P, 2, R, W); times `factor`.

    Where keep (P, R, W), uint8, is less than `least`, out is -0.0, which it is nowhere else; with 0 it is not read.
    """
    _call("pool_elu_dropout", x.dtype, x, mean, scale, bias, keep, least, factor, out, *out.shape)


def add_norm_gradients(
    x: Tensor, mean: Tensor, scale: Tensor, factor: float, out: Tensor, gradient: Tensor, sums: Tensor
) -> None:
    """Add to sums (2, W), float64: the gradient before ELU, and its product with the chosen neighbour's x - mean.

    x (P, 2, R, W), mean and scale (W,), `out` and `factor` as of `pool_elu_dropout`, gradient (P, R, W) of out.
    """
    _call("add_norm_gradients", x.dtype, x, mean, scale, factor, out, gradient, sums, *out.shape)


def norm_pool_backward(
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    factor: float,
    out: Tensor,
    gradient: Tensor,
    offset: Tensor,
    per_unit: Tensor,
) -> None:
    """Turn x into its gradient, in place: scale * (gradient before ELU where chosen) - offset - per_unit * (x - mean).

    Arguments as of `add_norm_gradients`; offset and per_unit (W,). The gradient before ELU is computed again: an
    array of its own would be written and read once more.
    """
    _call("norm_pool_backward", x.dtype, x, mean, scale, factor, out, gradient, offset, per_unit, *out.shape)


def gru_step_forward(
    step: int,
    gates: Tensor,
    inner: Tensor,
    bias_new: Tensor,
    inner_new: Tensor,
    state: Tensor,
    hidden: Tensor,
    out: Tensor,
) -> None:
    """Take a step forwards, in place: the input's contribution to the gates becomes their values.

    `inner` (D, B, G) is the state's contribution to them, without the bias of the new gate, which is `bias_new`
    (D, H), float32. The state before the step (D, B, H), float32, becomes the one after it, which `hidden` and `out`
    (B, T, D * H), float32, take, too.
    """
    given = (gates, inner, bias_new, inner_new, state, hidden, out)
    _call("gru_step_forward", gates.dtype, step, *given, *inner_new.shape)


def gru_step_backward(
    step: int,
    gradient: Tensor,
    carried: Tensor,
    product: Tensor,
    gates: Tensor,
    inner_new: Tensor,
    hidden: Tensor,
    inner: Tensor,
) -> None:
    """Take a step backwards, in place: `gates` and `inner_new` become the gradients of what they were made from.

    `gradient` (B, T, D * H), float32, is that of the output. Of the state's gradient, `carried` (D, B, H), float32, is
    the part that passes by the recurrent weights of the step behind, and becomes that of this step; `product`
    (D, B, H) is the part that passes through them. `inner` (D, B, G) takes the gradient of the state's contribution.
    """
    given = (gradient, carried, product, gates, inner_new, hidden, inner)
    _call("gru_step_backward", gates.dtype, step, *given, *inner_new.shape)


def convolve(x: Tensor, filters: Tensor, out: Tensor) -> None:
    """Write out (B, M, T, O): x (B, M, T, I), zeros around it, convolved with parts of filters (K, K, I, O)."""
    _call("convolve", x.dtype, LANES, x, filters, out, *x.shape, out.shape[3])


def add_filter_gradients(x: Tensor, gradient: Tensor, sums: Tensor) -> None:
    """Add to sums (K, K, I, O) the gradient of the filters' parts: x (B, M, T, I), gradient (B, M, T, O) of `out`."""
    _call("add_filter_gradients", x.dtype, LANES, x, gradient, sums, *x.shape, gradient.shape[3])
