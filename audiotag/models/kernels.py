"""Loops over a batch that run at the speed of memory on a CPU, compiled by Numba on first use and kept on disk.

Between two convolutions torch passes over the activations about ten times (statistics, norm, pooling, ELU, dropout, and
the same backwards), several of them slowly where channels lie last. Here it is two passes forwards and two backwards.
Arrays are float32 and contiguous. Shapes: P positions after the pooling, C channels; `x` (P, 2, C) holds the two
neighbours in frequency that are pooled. The order of every sum is fixed: same input, same bits.
"""

import numpy as np
from numba import njit

BLOCK = 256  # rows whose sums stay in float32 before they go to float64
LOG2_E, LN_2_HIGH, LN_2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4  # ln 2 in two parts: r stays exact
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)  # Cephes


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
        for lane in range(width):
            sums[0, lane] += first[lane]
            sums[1, lane] += second[lane]
            first[lane] = second[lane] = 0


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


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def slopes_before_elu(
    x: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    keep: np.ndarray,
    dropped: int,
    factor: float,
    out: np.ndarray,
    slope: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Turns slope (P, C), the gradient of the output, into that of the pooled norm, in place.

    Adds to sums (2, C), float64: it, and it times the chosen neighbour's x - mean. Where the output is below 0, ELU's
    slope is exp(y) = out / factor + 1.
    """
    channels = out.shape[1]
    whole, inverse = np.float32(factor), np.float32(1 / factor)
    first, second = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for start in range(0, out.shape[0], BLOCK):
        for place in range(start, min(start + BLOCK, out.shape[0])):
            for c in range(channels):
                a, b = x[place, 0, c] - mean[c], x[place, 1, c] - mean[c]
                chosen = a if a * scale[c] >= b * scale[c] else b
                z = out[place, c]
                rise = whole if z >= 0 else whole * (z * inverse + np.float32(1))
                s = slope[place, c] * rise if keep[place, c] >= dropped else np.float32(0)
                slope[place, c] = s
                first[c] += s
                second[c] += s * chosen
        for c in range(channels):
            sums[0, c] += first[c]
            sums[1, c] += second[c]
            first[c] = second[c] = 0


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def slopes_before_norm(
    x: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    level: np.ndarray,
    tilt: np.ndarray,
    slope: np.ndarray,
    out: np.ndarray,
) -> None:
    """out (P, 2, C): gradient of x, which is scale * (slope where chosen) - level - tilt * (x - mean), each (C,)."""
    for place in range(slope.shape[0]):
        for c in range(slope.shape[1]):
            a, b = x[place, 0, c] - mean[c], x[place, 1, c] - mean[c]
            s = scale[c] * slope[place, c]
            left = a * scale[c] >= b * scale[c]
            out[place, 0, c] = (s if left else np.float32(0)) - level[c] - tilt[c] * a
            out[place, 1, c] = (np.float32(0) if left else s) - level[c] - tilt[c] * b
