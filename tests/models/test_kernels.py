"""The arithmetic of the compiled loops: exponentials, and bfloat16 by its bits, against torch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.loops import needs_loops
from torch import Tensor
from torch.testing import assert_close

from audiotag.models import backend
from audiotag.models.cpu import kernels

pytestmark = needs_loops


def pooled(
    bias: Tensor,
    dtype: torch.dtype = torch.float32,
    dropped: int = 0,
    keep: Tensor | None = None,
    factor: float = 1.0,
) -> Tensor:
    """ELU of each value by the loop (n,), as the bias of lanes whose input is 0, in a type, times a factor."""
    lanes = len(bias)
    out = torch.empty(1, 1, lanes, dtype=dtype)
    mean, scale, x = torch.zeros(lanes), torch.ones(lanes), torch.zeros(1, 2, 1, lanes, dtype=dtype)
    keep = torch.zeros(0, dtype=torch.uint8) if keep is None else keep
    kernels.pool_elu_dropout(x, mean, scale, bias.contiguous(), keep, dropped, factor, out)
    return out[0, 0]


def stepped(gates: Tensor) -> tuple[Tensor, Tensor]:
    """The reset gate and the new state of units whose three gates are all given the same (n,), with no update."""
    units = len(gates)
    given = torch.cat([gates, torch.full((units,), -200.0), gates]).view(1, 1, 1, -1).contiguous()
    after, hidden, out = torch.zeros(1, 1, units), torch.zeros(1, 2, 1, units), torch.empty(1, 1, units)
    inner, inner_new = torch.zeros(1, 1, 3 * units), torch.empty(1, 1, 1, units)
    kernels.gru_step_forward(0, given, inner, torch.zeros(1, units), inner_new, after, hidden, out)
    return given[0, 0, 0, :units], out[0, 0]


def test_exponentials_are_torchs() -> None:
    x = torch.cat([torch.linspace(-100, 100, 40_001), torch.logspace(-30, 38, 2_000), -torch.logspace(-30, 38, 2_000)])
    x = torch.cat([x, torch.tensor([0.0, torch.inf, -torch.inf, torch.nan])])
    exact = x.double()
    below = torch.where(exact > 0, -exact, exact)
    assert_close(pooled(below.float()).double(), below.expm1(), rtol=0, atol=2e-7, equal_nan=True)
    sigmoid, tanh = stepped(x)
    assert_close(sigmoid.double(), exact.sigmoid(), rtol=0, atol=2e-7, equal_nan=True)
    assert_close(tanh.double(), exact.tanh(), rtol=0, atol=2e-7, equal_nan=True)
    tail = torch.linspace(-87, -1, 1_000)  # of a sigmoid, where the exponential is all that is left
    assert_close(stepped(tail)[0].double(), tail.double().sigmoid(), rtol=4e-7, atol=0)


def test_all_bfloat16_become_the_same_float32() -> None:
    x = torch.arange(65536, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    x = x[x.isfinite()]
    sums = torch.zeros(2, len(x), dtype=torch.float64)
    kernels.add_moments(x.view(1, 1, -1), torch.zeros(len(x)), sums)
    assert torch.equal(sums[0], x.double())


def test_float32_are_rounded_to_bfloat16_as_torch_does() -> None:
    pattern = np.random.default_rng(0).integers(0, 2**31, 200_000, dtype=np.uint64).astype(np.uint32)  # none below 0
    pattern[:1000] = pattern[:1000] & 0xFFFF0000 | 0x8000  # half way between two
    x = torch.from_numpy(np.concatenate([pattern, [0x7FFFFFFF, 0x7F800001, 0x7F800000]]).astype(np.uint32).view("f4"))
    out = pooled(x, torch.bfloat16)
    assert_close(out, x.bfloat16(), rtol=0, atol=0, equal_nan=True)
    assert_close(pooled(x, torch.bfloat16, factor=-1.0), (-x).bfloat16(), rtol=0, atol=0, equal_nan=True)
    assert x.isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_what_is_dropped_is_minus_zero(dtype: torch.dtype) -> None:
    bias = torch.cat([torch.zeros(128), -torch.zeros(128), -torch.logspace(-45, 0, 256), torch.logspace(-45, 0, 256)])
    keep = torch.arange(768).remainder(256).to(torch.uint8)
    out = pooled(bias, dtype, 100, keep)
    assert torch.equal(out.signbit() & (out == 0), keep < 100)
    assert not (pooled(bias, dtype).signbit() & (pooled(bias, dtype) == 0)).any()


@pytest.mark.parametrize("content", [b"", b"\x7fELF of no machine"])
def test_a_library_that_is_missing_or_of_another_machine_is_none(tmp_path: Path, content: bytes) -> None:
    if content:
        (tmp_path / f"_kernels{backend.EXTENSION_SUFFIXES[0]}").write_bytes(content)
    assert backend.find_library(tmp_path) is None


def test_a_library_of_another_interface_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(kernels.__file__).parent
    assert backend.find_library(folder) is not None
    monkeypatch.setattr(backend, "INTERFACE", backend.INTERFACE + 1)
    assert backend.find_library(folder) is None
