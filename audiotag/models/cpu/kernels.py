"""Loops over a batch, compiled for CPUs from kernels.cpp and products.cpp when the package is installed.

Those of kernels.cpp run at the speed of memory, those of products.cpp at that of multiplication.

Between two convolutions torch passes over the activations about ten times; here it is twice forwards, twice backwards.
Between two matrix products of a GRU it has some ten operations a step, each of which costs more to call than to run.

Where they are not compiled, or for another machine (a model from MLflow's registry brings its code along), the networks
use torch's own operations: the same mathematics, other rounding. Tensors are contiguous, float32 or bfloat16, unless
another type is named; all arithmetic is in float32.

Shapes of the norm: P pairs of bands, which the pooling makes one; each has R rows of W lanes, in which G frames of C
channels lie side by side (W = G C: few channels alone fill no vector register). Values of a channel are (W,), float32.
Shapes of the GRU: D directions (2), T frames, B batch, H units, G = 3 H gates in torch's order: reset, update, new. The
second direction runs backwards in time: its step s is frame T - 1 - s.
Shapes of the convolution: B images of M bands (a multiple of 4), T frames, I or O channels (multiples of 8), of which
K by K parts (K = 6) are made for four bands by four frames.
"""

import ctypes

import torch
from torch import Tensor

from audiotag.models.cpu.compiled import LIBRARY

NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
LANES: int = LIBRARY.most_lanes() if LIBRARY else 0  # values that a product takes at once; 0: products.cpp cannot run


def _call(name: str, values: torch.dtype, *arguments: Tensor | int | float) -> None:
    """A function of the library for this type of values."""
    given: list[object] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            assert argument.is_contiguous(), name
            given.append(ctypes.c_void_p(argument.data_ptr()))
        else:
            given.append(ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int64(argument))
    getattr(LIBRARY, f"{name}_{NAMES[values]}")(*given)


def add_moments(x: Tensor, pivot: Tensor, sums: Tensor) -> None:
    """Adds to sums (2, W), float64, the sums over n and R of x - pivot and of its square; x (n, R, W), pivot (W,)."""
    _call("add_moments", x.dtype, x, pivot, sums, *x.shape)


def pool_elu_dropout(
    x: Tensor, mean: Tensor, scale: Tensor, bias: Tensor, keep: Tensor, least: int, factor: float, out: Tensor
) -> None:
    """out (P, R, W): ELU of the larger of two bands, x (P, 2, R, W), of (x - mean) * scale + bias; times `factor`.

    Where keep (P, R, W), uint8, is less than `least`, out is -0.0, which it is nowhere else; with 0 it is not read.
    """
    _call("pool_elu_dropout", x.dtype, x, mean, scale, bias, keep, least, factor, out, *out.shape)


def add_slopes(
    x: Tensor, mean: Tensor, scale: Tensor, factor: float, out: Tensor, gradient: Tensor, sums: Tensor
) -> None:
    """Adds to sums (2, W), float64: the slope before ELU, and it times the chosen neighbour's x - mean.

    x (P, 2, R, W), mean and scale (W,), `out` and `factor` as of `pool_elu_dropout`, gradient (P, R, W) of out.
    """
    _call("add_slopes", x.dtype, x, mean, scale, factor, out, gradient, sums, *out.shape)


def slopes_before_norm(
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    factor: float,
    out: Tensor,
    gradient: Tensor,
    level: Tensor,
    tilt: Tensor,
) -> None:
    """Turns x into its gradient, in place: scale * (slope before ELU where chosen) - level - tilt * (x - mean).

    Arguments as of `add_slopes`; level and tilt (W,). The slope is computed again: an array of its own would be written
    and read once more.
    """
    _call("slopes_before_norm", x.dtype, x, mean, scale, factor, out, gradient, level, tilt, *out.shape)


def next_states(
    step: int,
    gates: Tensor,
    inner: Tensor,
    bias_new: Tensor,
    inner_new: Tensor,
    state: Tensor,
    hidden: Tensor,
    out: Tensor,
) -> None:
    """A step forwards, in place.

    Args:
        gates: (D, T, B, G) what the input gives to them; becomes their values.
        inner: (D, B, G) what the state gives to them, but for the bias of the new gate, bias_new (D, H) float32.
        inner_new: (D, T, B, H) takes what the state gives to the new gate.
        state: (D, B, H) float32; that before the step becomes that after it.
        hidden, out: (D, T + 1, B, H) and (B, T, D * H) float32 take it, too.
    """
    _call("next_states", gates.dtype, step, gates, inner, bias_new, inner_new, state, hidden, out, *inner_new.shape)


def slopes_of_step(
    step: int,
    gradient: Tensor,
    carried: Tensor,
    product: Tensor,
    gates: Tensor,
    inner_new: Tensor,
    hidden: Tensor,
    inner: Tensor,
) -> None:
    """A step backwards, in place.

    Args:
        gradient: (B, T, D * H) of the output, float32.
        carried, product: (D, B, H) gradient of the state after the step, from the step behind it: what passes by its
            recurrent weights, float32, which becomes that of this step; and what passes through them.
        gates: (D, T, B, G) their values; become the gradient of what the input gave to them.
        inner_new: (D, T, B, H) what the state gave to the new gate; becomes its gradient.
        hidden: (D, T + 1, B, H) states.
        inner: (D, B, G) takes the gradient of what the state gave to the gates.
    """
    given = (gradient, carried, product, gates, inner_new, hidden, inner)
    _call("slopes_of_step", gates.dtype, step, *given, *inner_new.shape)


def convolve(x: Tensor, filters: Tensor, out: Tensor) -> None:
    """out (B, M, T, O): x (B, M, T, I), zeros around it, convolved with filters of parts (K, K, I, O); all float32."""
    _call("convolve", x.dtype, LANES, x, filters, out, *x.shape, out.shape[3])


def add_filters(x: Tensor, gradient: Tensor, sums: Tensor) -> None:
    """Adds to sums (K, K, I, O) the gradient of the filters' parts: x (B, M, T, I), gradient (B, M, T, O) of `out`."""
    _call("add_filters", x.dtype, LANES, x, gradient, sums, *x.shape, gradient.shape[3])
