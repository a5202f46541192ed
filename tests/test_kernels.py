"""What compiled loops compute with: exponentials, and bfloat16 by its bits, against torch."""

import numpy as np
import torch
from numba import njit
from torch.testing import assert_close

from audiotag.models.kernels import exp_below_zero, narrow, sigmoid, tanh, widen


@njit
def each_of(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(x)):
        out[0, i], out[1, i], out[2, i] = exp_below_zero(-abs(x[i])), sigmoid(x[i]), tanh(x[i])


@njit
def copied(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(x)):
        out[i] = narrow(widen(x[i]), out[i])


def bits(x: torch.Tensor) -> np.ndarray:
    return x.view(torch.uint16).numpy()


def test_exponentials_are_torchs() -> None:
    x = torch.cat([torch.linspace(-100, 100, 40_001), torch.logspace(-30, 38, 2_000), -torch.logspace(-30, 38, 2_000)])
    x = torch.cat([x, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan])])
    out = torch.empty(3, len(x))
    each_of(x.numpy(), out.numpy())
    exact = x.double()
    whole = x.abs() < 87.33
    assert_close(out[0][whole].double(), (-exact[whole].abs()).exp(), rtol=2e-7, atol=0)
    assert_close(out[0].double(), (-exact.abs()).exp(), rtol=2e-7, atol=2e-38, equal_nan=True)
    assert_close(out[1].double(), exact.sigmoid(), rtol=0, atol=2e-7, equal_nan=True)
    assert_close(out[2].double(), exact.tanh(), rtol=0, atol=2e-7, equal_nan=True)


def test_all_bfloat16_become_the_same_float32() -> None:
    x = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    out = torch.empty(65536)
    copied(bits(x), out.numpy())
    assert_close(out, x.float(), rtol=0, atol=0, equal_nan=True)
    again = torch.empty_like(x)
    copied(out.numpy(), bits(again))
    assert_close(again, x, rtol=0, atol=0, equal_nan=True)


def test_float32_are_rounded_to_bfloat16_as_torch_does() -> None:
    pattern = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32)
    pattern[:1000] = pattern[:1000] & 0xFFFF0000 | 0x8000  # half way between two
    x = torch.from_numpy(np.concatenate([pattern, [0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001]]).astype(np.uint32).view("f4"))
    out = torch.empty(len(x), dtype=torch.bfloat16)
    copied(x.numpy(), bits(out))
    assert_close(out, x.bfloat16(), rtol=0, atol=0, equal_nan=True)
    assert x.isnan().any()
