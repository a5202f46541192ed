"""Loops over a batch that run at the speed of memory on a CPU, compiled by Numba on first use and kept on disk.

Between two convolutions torch passes over the activations about ten times; here it is twice forwards, twice backwards.
Between two matrix products of a GRU it has some ten operations a step, each of which costs more to call than to run.

Arrays are contiguous, float32 or the bits of bfloat16, which NumPy lacks, as uint16; all arithmetic is in float32.
A plain 1 would be an integer, and what it meets float64. What a loop writes it keeps in rows of its own until it is
over: of arrays that might overlap the compiler vectorises nothing. The order of every sum is fixed: same input, same
bits. All is in one file, since Numba knows by its date whether what it keeps is old.

Shapes of the norm: P pairs of bands, which the pooling makes one; each has R rows of W lanes, in which G frames of C
channels lie side by side (W = G C: few channels alone fill no vector register). Values of a channel are (W,), too.
Shapes of the GRU: D directions (2), T frames, B batch, H units, G = 3 H gates in torch's order: reset, update, new. The
second direction runs backwards in time: its step s is frame T - 1 - s.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
LOWEST = np.float32(-87.33654)  # exp of less is no normal number
LOG2_E = np.float32(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # ln 2 in two parts: r stays exact
EXP = tuple(map(np.float32, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)))


@njit(inline="always", error_model="numpy")
def exp_below_zero(x: np.float32) -> np.float32:
    """exp of x <= 0 by Cephes's polynomial: good to 1e-7, and at least 2 ** -126."""
    x = LOWEST if x < LOWEST else x  # not max, which may lose NaN
    power = np.floor(x * LOG2_E + HALF)
    r = x - power * LN_2_HIGH - power * LN_2_LOW
    e = ((((EXP[0] * r + EXP[1]) * r + EXP[2]) * r + EXP[3]) * r + EXP[4]) * r + EXP[5]
    e = e * r * r + r + ONE
    return e * np.int32((np.int32(power) + np.int32(127)) << 23).view(np.float32)  # 2 ** power, by its bits


@njit(inline="always", error_model="numpy")
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + exp(-x))."""
    e = exp_below_zero(-abs(x))
    return (ONE if x >= ZERO else e) / (ONE + e)


@njit(inline="always", error_model="numpy")
def tanh(x: np.float32) -> np.float32:
    """The hyperbolic tangent; near 0 good to 1e-7, not to 1e-7 of itself."""
    e = exp_below_zero(-abs(x + x))
    return (ONE - e if x >= ZERO else e - ONE) / (ONE + e)


def widen(x: Any) -> Any:
    """A float32 as it is, or the bits of a bfloat16 as a float32; in compiled code only."""
    raise NotImplementedError


@overload(widen)
def _widen(x: Any) -> Callable:
    def from_bits(x: Any) -> Any:
        return np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)

    def as_it_is(x: Any) -> Any:
        return x

    return from_bits if x == types.uint16 else as_it_is


def narrow(x: Any, like: Any) -> Any:
    """A float32 in the type of `like`: as it is, or the bits of the nearest bfloat16, ties to even; compiled only."""
    raise NotImplementedError


@overload(narrow)
def _narrow(x: Any, like: Any) -> Callable:
    def to_bits(x: Any, like: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        nearest = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        return np.uint16(nearest if x == x else np.uint32(0x7FC0))  # rounding could make a number of NaN

    def as_it_is(x: Any, like: Any) -> Any:
        return x

    return to_bits if like == types.uint16 else as_it_is


@njit(inline="always", error_model="numpy")
def move_sums(first: np.ndarray, second: np.ndarray, sums: np.ndarray) -> None:
    """The sums of some rows, first and second (W,) float32, go to sums (2, W), float64, and are zero again."""
    for lane in range(len(first)):
        sums[0, lane] += first[lane]
        sums[1, lane] += second[lane]
        first[lane] = second[lane] = ZERO


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def add_moments(x: np.ndarray, pivot: np.ndarray, sums: np.ndarray) -> None:
    """Adds to sums (2, W), float64, the sums over n and R of x - pivot and of its square; x (n, R, W), pivot (W,)."""
    bands, rows, width = x.shape
    first, second = np.zeros(width, np.float32), np.zeros(width, np.float32)
    for band in range(bands):
        for row in range(rows):
            for lane in range(width):
                value = widen(x[band, row, lane]) - pivot[lane]
                first[lane] += value
                second[lane] += value * value
        move_sums(first, second, sums)


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def pool_elu_dropout(
    x: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    keep: np.ndarray,
    dropped: int,
    factor: float,
    out: np.ndarray,
) -> None:
    """out (P, R, W): ELU of the larger of two bands, x (P, 2, R, W), of (x - mean) * scale + bias; times `factor` where
    keep (P, R, W), bytes, is at least `dropped`, else 0."""
    pairs, rows, lanes = out.shape
    whole, least = np.float32(factor), np.uint8(dropped)
    for pair in range(pairs):
        for row in range(rows):
            for lane in range(lanes):
                a = (widen(x[pair, 0, row, lane]) - mean[lane]) * scale[lane] + bias[lane]
                b = (widen(x[pair, 1, row, lane]) - mean[lane]) * scale[lane] + bias[lane]
                y = max(a, b)
                z = y if y > ZERO else exp_below_zero(min(y, ZERO)) - ONE
                z = z * whole if keep[pair, row, lane] >= least else ZERO
                out[pair, row, lane] = narrow(z, out[pair, row, lane])


@njit(inline="always", error_model="numpy")
def slope_before_elu(
    gradient: np.float32, out: np.float32, keep: int, least: int, whole: np.float32, inverse: np.float32
) -> np.float32:
    """The gradient of the pooled norm from that of the output. Below 0, ELU's slope is exp(y) = out / factor + 1."""
    rise = whole if out >= ZERO else whole * (out * inverse + ONE)
    return gradient * rise if keep >= least else ZERO


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def add_slopes(
    x: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    keep: np.ndarray,
    dropped: int,
    factor: float,
    out: np.ndarray,
    gradient: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Adds to sums (2, W), float64: the slope before ELU, and it times the chosen neighbour's x - mean."""
    pairs, rows, lanes = out.shape
    whole, inverse, least = np.float32(factor), np.float32(1 / factor), np.uint8(dropped)
    first, second = np.zeros(lanes, np.float32), np.zeros(lanes, np.float32)
    for pair in range(pairs):
        for row in range(rows):
            for lane in range(lanes):
                a, b = widen(x[pair, 0, row, lane]) - mean[lane], widen(x[pair, 1, row, lane]) - mean[lane]
                chosen = a if a * scale[lane] >= b * scale[lane] else b
                g, z = widen(gradient[pair, row, lane]), widen(out[pair, row, lane])
                s = slope_before_elu(g, z, keep[pair, row, lane], least, whole, inverse)
                first[lane] += s
                second[lane] += s * chosen
        move_sums(first, second, sums)


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def slopes_before_norm(
    x: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    keep: np.ndarray,
    dropped: int,
    factor: float,
    out: np.ndarray,
    gradient: np.ndarray,
    level: np.ndarray,
    tilt: np.ndarray,
) -> None:
    """Turns x into its gradient, in place: scale * (slope before ELU where chosen) - level - tilt * (x - mean).

    The slope is computed again: an array of its own would be written and read once more.
    """
    pairs, rows, lanes = out.shape
    whole, inverse, least = np.float32(factor), np.float32(1 / factor), np.uint8(dropped)
    lower, upper = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    for pair in range(pairs):
        for row in range(rows):
            for lane in range(lanes):
                a, b = widen(x[pair, 0, row, lane]) - mean[lane], widen(x[pair, 1, row, lane]) - mean[lane]
                g, z = widen(gradient[pair, row, lane]), widen(out[pair, row, lane])
                s = slope_before_elu(g, z, keep[pair, row, lane], least, whole, inverse) * scale[lane]
                first = a * scale[lane] >= b * scale[lane]
                lower[lane] = (s if first else ZERO) - level[lane] - tilt[lane] * a
                upper[lane] = (ZERO if first else s) - level[lane] - tilt[lane] * b
            for lane in range(lanes):
                x[pair, 0, row, lane] = narrow(lower[lane], x[pair, 0, row, lane])
            for lane in range(lanes):
                x[pair, 1, row, lane] = narrow(upper[lane], x[pair, 1, row, lane])


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def next_states(
    s: int,
    gates: np.ndarray,
    inner: np.ndarray,
    bias_new: np.ndarray,
    inner_new: np.ndarray,
    state: np.ndarray,
    hidden: np.ndarray,
    out: np.ndarray,
) -> None:
    """Step s forwards, in place.

    Args:
        gates: (D, T, B, G) what the input gives to them; becomes their values.
        inner: (D, B, G) what the state gives to them, but for the bias of the new gate, bias_new (D, H).
        inner_new: (D, T, B, H) takes what the state gives to the new gate.
        state: (D, B, H) float32; that before the step becomes that after it.
        hidden, out: (D, T + 1, B, H) and (B, T, D * H) take it, too.
    """
    directions, steps, batch, width = gates.shape
    units = width // 3
    values, after, product = np.empty(width, np.float32), np.empty(units, np.float32), np.empty(units, np.float32)
    for d in range(directions):
        frame = steps - 1 - s if d else s
        for b in range(batch):
            for i in range(2 * units):
                values[i] = sigmoid(widen(gates[d, s, b, i]) + widen(inner[d, b, i]))
            for i in range(units):
                product[i] = widen(inner[d, b, 2 * units + i]) + bias_new[d, i]
            for i in range(units):
                new = tanh(widen(gates[d, s, b, 2 * units + i]) + values[i] * product[i])
                after[i] = new + values[units + i] * (state[d, b, i] - new)
                values[2 * units + i] = new
            for i in range(width):
                gates[d, s, b, i] = narrow(values[i], gates[d, s, b, i])
            for i in range(units):
                inner_new[d, s, b, i] = narrow(product[i], inner_new[d, s, b, i])
                hidden[d, s + 1, b, i] = narrow(after[i], hidden[d, s + 1, b, i])
                state[d, b, i] = out[b, frame, d * units + i] = after[i]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def slopes_of_step(
    s: int,
    gradient: np.ndarray,
    carried: np.ndarray,
    product: np.ndarray,
    gates: np.ndarray,
    inner_new: np.ndarray,
    hidden: np.ndarray,
    inner: np.ndarray,
) -> None:
    """Step s backwards, in place.

    Args:
        gradient: (B, T, D * H) of the output.
        carried, product: (D, B, H) gradient of the state after the step, from the step behind it: what passes by its
            recurrent weights, float32, which becomes that of this step; and what passes through them.
        gates: (D, T, B, G) their values; become the gradient of what the input gave to them.
        inner_new: (D, T, B, H) what the state gave to the new gate; becomes its gradient.
        hidden: (D, T + 1, B, H) states.
        inner: (D, B, G) takes the gradient of what the state gave to the gates.
    """
    directions, steps, batch, width = gates.shape
    units = width // 3
    slopes, whole, passed = np.empty(width, np.float32), np.empty(units, np.float32), np.empty(units, np.float32)
    for d in range(directions):
        frame = steps - 1 - s if d else s
        for b in range(batch):
            for i in range(units):
                whole[i] = gradient[b, frame, d * units + i] + carried[d, b, i] + widen(product[d, b, i])
            for i in range(units):
                update, new = widen(gates[d, s, b, units + i]), widen(gates[d, s, b, 2 * units + i])
                passed[i] = whole[i] * update
                slopes[units + i] = passed[i] * (ONE - update) * (widen(hidden[d, s, b, i]) - new)
                slopes[2 * units + i] = (whole[i] - passed[i]) * (ONE - new * new)
            carried[d, b] = passed
            for i in range(units):
                reset = widen(gates[d, s, b, i])
                passed[i] = slopes[2 * units + i] * reset
                slopes[i] = passed[i] * (ONE - reset) * widen(inner_new[d, s, b, i])
            for i in range(width):
                gates[d, s, b, i] = narrow(slopes[i], gates[d, s, b, i])
            slopes[2 * units :] = passed
            for i in range(width):
                inner[d, b, i] = narrow(slopes[i], inner[d, b, i])
            for i in range(units):
                inner_new[d, s, b, i] = narrow(passed[i], inner_new[d, s, b, i])
