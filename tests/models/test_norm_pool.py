"""Norm, pooling, ELU and dropout, in both ways: against torch's operations in double precision, with the same masks."""

import copy

import pytest
import torch
from helpers.loops import BOTH_WAYS, compute, needs_loops
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.models.layers import norm_pool_elu_dropout

both_ways = pytest.mark.parametrize("compiled", BOTH_WAYS)
SHAPES = [(3, 8, 16, 5), (2, 16, 8, 7), (4, 64, 2, 3), (1, 8, 2, 1), (2, 64, 4, 9), (5, 8, 8, 3), (2, 8, 4, 48)]


def norm_of(channels: int, seed: int = 0) -> nn.BatchNorm2d:
    """A norm that has been trained: some of its scales are negative, which turns the pooling's choice around."""
    generator, norm = torch.Generator().manual_seed(seed), nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(channels, generator=generator) * 3 - 1)
        norm.bias.copy_(torch.randn(channels, generator=generator))
        norm.running_mean.copy_(torch.randn(channels, generator=generator))  # type: ignore[union-attr]
        norm.running_var.copy_(torch.rand(channels, generator=generator) + 0.5)  # type: ignore[union-attr]
    return norm


def values(shape: tuple[int, ...], seed: int = 1) -> Tensor:
    """Far from zero mean: what a difference of large sums would lose shows."""
    return 30 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_after_the_other(x: Tensor, norm: nn.BatchNorm2d, keep: Tensor) -> Tensor:
    return F.elu(F.max_pool2d(norm(x), (2, 1))) * keep


def kept(shape: tuple[int, int, int, int], probability: float, seed: int) -> Tensor:
    """The mask that the operation draws after `torch.manual_seed(seed)`, times its factor."""
    batch, channels, bands, frames = shape
    dropped = round(256 * probability)
    torch.manual_seed(seed)
    if not dropped:
        return torch.ones(batch, channels, bands // 2, frames, dtype=torch.float64)
    count = batch * channels * bands * frames // 2
    drawn = torch.empty(count // 8 + 1, dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)[:count]
    mask = drawn.view(batch, bands // 2, frames, channels).permute(0, 3, 1, 2) >= dropped
    return mask.double() * 256 / (256 - dropped)


# reference


@both_ways
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_output_gradients_and_statistics_are_those_of_torch_in_double(
    shape: tuple[int, int, int, int], probability: float, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(compiled, monkeypatch)
    ours, theirs = norm_of(shape[1]), norm_of(shape[1]).double()
    x = values(shape).requires_grad_()
    twin = x.detach().double().requires_grad_()
    torch.manual_seed(3)
    out = norm_pool_elu_dropout(x, ours, probability)
    expected = one_after_the_other(twin, theirs, kept(shape, probability, seed=3))
    gradient = values(expected.shape, seed=2) - 30
    out.backward(gradient)
    expected.backward(gradient.double())
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=2e-5)
    spread = twin.detach().var(dim=(0, 2, 3), correction=0).sqrt()
    size = (ours.weight.abs() / spread).max().detach()  # a gradient of 1 comes back as large as this
    torch.testing.assert_close(x.grad.double() / size, twin.grad / size, rtol=0, atol=2e-5)  # type: ignore[union-attr]
    for name in ("weight", "bias"):
        mine, wanted = getattr(ours, name).grad.double(), getattr(theirs, name).grad
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer.double(), theirs.get_buffer(name).double(), rtol=1e-6, atol=1e-6)


@both_ways
@pytest.mark.parametrize("shape", SHAPES)
def test_in_evaluation_it_uses_the_running_statistics_and_drops_nothing(
    shape: tuple[int, int, int, int], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(compiled, monkeypatch)
    norm = norm_of(shape[1]).eval()
    before = copy.deepcopy(norm.state_dict())
    with torch.no_grad():
        out = norm_pool_elu_dropout(values(shape), norm, 0.5)
        expected = one_after_the_other(values(shape).double(), copy.deepcopy(norm).double(), torch.tensor(1.0))
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=2e-5)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_gradients_flow_in_evaluation_too() -> None:
    norm, x = norm_of(8).eval(), values((2, 8, 4, 3)).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    norm_pool_elu_dropout(x, norm, 0.5).sum().backward()
    one_after_the_other(twin, norm, torch.tensor(1.0)).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)


@needs_loops
def test_what_is_overwritten_is_not_silently_used_again() -> None:
    conv, norm = nn.Conv2d(3, 8, 1).to(memory_format=torch.channels_last), norm_of(8)
    x = conv(values((2, 3, 4, 3)).to(memory_format=torch.channels_last))
    both = x.square().sum() + norm_pool_elu_dropout(x, norm, 0.0).sum()  # whose backward comes first
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        both.backward()
    out = norm_pool_elu_dropout(conv(values((2, 3, 4, 3))), norm, 0.0).sum()
    out.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_the_callers_own_tensor_keeps_its_values() -> None:
    x = values((2, 8, 4, 3)).to(memory_format=torch.channels_last).requires_grad_()
    before = x.detach().clone()
    norm_pool_elu_dropout(x, norm_of(8), 0.0).sum().backward()
    assert torch.equal(x.detach(), before)
    assert x.grad is not None
    assert x.grad.data_ptr() != x.data_ptr()


@needs_loops
@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_is_read_and_written_and_all_else_is_float32(shape: tuple[int, int, int, int]) -> None:
    norm, twin = norm_of(shape[1]), norm_of(shape[1])
    x = values(shape).bfloat16().requires_grad_()
    exact = x.detach().float().requires_grad_()
    results = []
    for given, its_norm in ((x, norm), (exact, twin)):
        torch.manual_seed(3)
        results.append(norm_pool_elu_dropout(given, its_norm, 0.4))
    gradient = (values(results[0].shape, seed=2) - 30).bfloat16()
    assert results[0].dtype == torch.bfloat16
    assert torch.equal(results[0], results[1].bfloat16())
    results[0].backward(gradient)
    results[1].backward(gradient.float())
    assert x.grad is not None
    assert exact.grad is not None
    assert x.grad.dtype == torch.bfloat16
    size = exact.grad.abs().max()  # below 0 the gradient of ELU comes from the rounded output
    torch.testing.assert_close(x.grad.float() / size, exact.grad / size, rtol=0, atol=0.02)
    for name in ("weight", "bias"):
        mine, wanted = getattr(norm, name).grad, getattr(twin, name).grad
        torch.testing.assert_close(mine, wanted, rtol=0.02, atol=0.02 * float(wanted.abs().max()))
    for name, buffer in norm.named_buffers():
        assert torch.equal(buffer, twin.get_buffer(name))


# property


@needs_loops
def test_the_layout_of_the_input_does_not_matter() -> None:
    x = values((2, 8, 4, 3))
    out = norm_pool_elu_dropout(x, norm_of(8), 0.0)
    again = norm_pool_elu_dropout(x.to(memory_format=torch.channels_last), norm_of(8), 0.0)
    assert torch.equal(out, again)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.25, 0.9, 0.9999])
def test_the_share_that_is_dropped_is_a_multiple_of_1_256(probability: float) -> None:
    torch.manual_seed(0)
    out = norm_pool_elu_dropout(values((8, 64, 32, 32)), nn.BatchNorm2d(64), probability)
    share = min(round(256 * probability), 255) / 256
    assert (out == 0).float().mean().item() == pytest.approx(share, abs=0.003)


def test_without_dropout_nothing_is_drawn() -> None:
    state = torch.random.get_rng_state()
    norm_pool_elu_dropout(values((2, 8, 4, 3)), norm_of(8), 0.001)
    assert torch.equal(torch.random.get_rng_state(), state)


@both_ways
def test_the_bytes_of_a_word_are_independent(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    compute(compiled, monkeypatch)
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    nn.init.zeros_(norm.weight)
    nn.init.ones_(norm.bias)
    result = norm_pool_elu_dropout(torch.zeros(400, 8, 8, 25), norm, 0.25).permute(0, 2, 3, 1).flatten(0, 2)
    dropped = (result == 0).float()  # (words, channels): 8 bytes each
    assert (dropped.mean(dim=0) - 0.25).abs().max() < 5 * (0.25 * 0.75 / len(dropped)) ** 0.5
    together = torch.corrcoef(dropped.T) - torch.eye(8)
    assert together.abs().max() < 5 / len(dropped) ** 0.5
    torch.testing.assert_close(result[result != 0].unique(), torch.tensor([1 / 0.75]))


# degenerate


@needs_loops  # torch keeps the rounding of the mean, divided by the square root of eps
def test_a_channel_without_variance_gives_its_bias_and_finite_gradients() -> None:
    norm, x = norm_of(8), torch.full((2, 8, 4, 3), 7.0).requires_grad_()
    out = norm_pool_elu_dropout(x, norm, 0.0)
    torch.testing.assert_close(out, F.elu(norm.bias.detach())[None, :, None, None].expand_as(out))
    out.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_finite_stays_so(bad: float, dtype: torch.dtype) -> None:
    x = values((2, 8, 4, 3)).to(dtype)
    x[0, 3, 1, 1] = bad
    out = norm_pool_elu_dropout(x, norm_of(8), 0.0)
    assert torch.isnan(out[:, 3]).any()
    assert torch.isfinite(out[:, 4]).all()
