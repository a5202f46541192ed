"""Loops over a batch that run at the speed of memory on a CPU, compiled by Numba on first use and kept on disk.

Between two convolutions torch passes over the activations about ten times (statistics, norm, pooling, ELU, dropout, and
the same backwards), several of them slowly where channels lie last. Here it is two passes forwards and two backwards.
Arrays are float32 and contiguous. Shapes: P positions after the pooling, C channels; `x` (P, 2, C) holds the two
neighbours in frequency that are pooled. Backwards G positions lie side by side in a row: R = P / G rows of W = G C
lanes, x (R, G, 2, C), all else (R, W) or, of a channel, (W,). Few channels alone fill no vector register, and where the
compiler cannot tell that arrays do not overlap, which the rows of `left` and `right` show it, it uses none at all: a
sixth of a training step on a CPU with AVX2. The order of every sum is fixed: same input, same bits.
"""

import numpy as np
from numba import njit

ZERO, ONE = np.float32(0), np.float32(1)
BLOCK = 256  # rows whose sums stay in float32 before they go to float64
LOG2_E, LN_2_HIGH, LN_2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4  # ln 2 in two parts: r stays exact
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)  # Cephes


@njit(inline="always", error_model="numpy")
def move_sums(first: np.ndarray, second: np.ndarray, sums: np.ndarray) -> None:
    """The sums of a block of rows, first and second (W,) float32, go to sums (2, W), float64, and are zero again."""
    for lane in range(len(first)):
        sums[0, lane] += first[lane]
        sums[1, lane] += second[lane]
        first[lane] = second[lane] = 0


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def add_moments(x: np.ndarray, pivot: np.ndarray, sums: np.ndarray) -> None:
    """Adds to sums (2, W), float64, the sums over n of x - pivot and of its square; x (n, W), pivot (W,)."""
    rows, width = x.shape
    first, second = np.zeros(width, np.float32), np.zeros(width, np.float32)
    for start in range(0, rows, BLOCK):
        for row in range(start, min(start + BLOCK, rows)):
            for lane in range(width):
                value = x[row, lane] - pivot[lane]
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
    """out (P, C): ELU of the larger neighbour of (x - mean) * scale + bias, times `factor` where keep (P, C), bytes, is
    at least `dropped`, else 0. exp is Cephes's, good to 1e-7."""
    whole = np.float32(factor)
    for place in range(out.shape[0]):
        for c in range(out.shape[1]):
            a = (x[place, 0, c] - mean[c]) * scale[c] + bias[c]
            b = (x[place, 1, c] - mean[c]) * scale[c] + bias[c]
            y = max(a, b)
            below = min(y, np.float32(0))
            power = max(np.floor(below * np.float32(LOG2_E) + np.float32(0.5)), np.float32(-126))
            r = below - power * np.float32(LN_2_HIGH) - power * np.float32(LN_2_LOW)
            e = np.float32(EXP[0])
            e = e * r + np.float32(EXP[1])
            e = e * r + np.float32(EXP[2])
            e = e * r + np.float32(EXP[3])
            e = e * r + np.float32(EXP[4])
            e = e * r + np.float32(EXP[5])
            e = e * r * r + r + np.float32(1)
            two = np.int32((np.int32(power) + np.int32(127)) << 23).view(np.float32)  # 2 ** power, by its bits
            z = y if y > 0 else e * two - np.float32(1)
            out[place, c] = z * whole if keep[place, c] >= dropped else np.float32(0)


@njit(inline="always", error_model="numpy")
def slope_before_elu(
    gradient: np.float32, out: np.float32, keep: int, least: int, whole: np.float32, inverse: np.float32
) -> np.float32:
    """The gradient of the pooled norm from that of the output. Below 0, ELU's slope is exp(y) = out / factor + 1."""
    rise = whole if out >= ZERO else whole * (out * inverse + ONE)
    return gradient * rise if keep >= least else ZERO


@njit(inline="always", error_model="numpy")
def take_neighbours(x: np.ndarray, row: int, left: np.ndarray, right: np.ndarray) -> None:
    """The neighbours of a row's positions, x (R, G, 2, C), side by side: left and right (G * C,)."""
    for position in range(x.shape[1]):
        start = position * x.shape[3]
        for c in range(x.shape[3]):
            left[start + c] = x[row, position, 0, c]
            right[start + c] = x[row, position, 1, c]


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
    rows, lanes = out.shape
    whole, inverse, least = np.float32(factor), np.float32(1 / factor), np.uint8(dropped)
    left, right = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    first, second = np.zeros(lanes, np.float32), np.zeros(lanes, np.float32)
    for start in range(0, rows, BLOCK):
        for row in range(start, min(start + BLOCK, rows)):
            take_neighbours(x, row, left, right)
            for lane in range(lanes):
                a, b = left[lane] - mean[lane], right[lane] - mean[lane]
                chosen = a if a * scale[lane] >= b * scale[lane] else b
                s = slope_before_elu(gradient[row, lane], out[row, lane], keep[row, lane], least, whole, inverse)
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

    The slope is computed again: an array of its own would be written and read once more. Level and tilt are (W,).
    """
    rows, lanes = out.shape
    whole, inverse, least = np.float32(factor), np.float32(1 / factor), np.uint8(dropped)
    left, right = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    for row in range(rows):
        take_neighbours(x, row, left, right)
        for lane in range(lanes):
            a, b = left[lane] - mean[lane], right[lane] - mean[lane]
            s = slope_before_elu(gradient[row, lane], out[row, lane], keep[row, lane], least, whole, inverse)
            s *= scale[lane]
            first = a * scale[lane] >= b * scale[lane]
            left[lane] = (s if first else ZERO) - level[lane] - tilt[lane] * a
            right[lane] = (ZERO if first else s) - level[lane] - tilt[lane] * b
        for position in range(x.shape[1]):
            start = position * x.shape[3]
            for c in range(x.shape[3]):
                x[row, position, 0, c] = left[start + c]
                x[row, position, 1, c] = right[start + c]
