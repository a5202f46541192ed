"""The compiled GRU against torch's own."""

import pytest
import torch
from helpers.loops import needs_loops
from torch import Tensor
from torch.testing import assert_close

from audiotag.models.layers import BidirectionalGRU

pytestmark = needs_loops

UNITS = 6


def made(features: int, layers: int = 1, seed: int = 0) -> BidirectionalGRU:
    torch.manual_seed(seed)
    return BidirectionalGRU(features, UNITS, layers)


def in_double(gru: BidirectionalGRU, x: Tensor) -> tuple[torch.nn.GRU, Tensor]:
    """torch's own, with the same weights and input."""
    cells = gru.cells
    twin = torch.nn.GRU(cells.input_size, UNITS, cells.num_layers, batch_first=True, bidirectional=True).double()
    twin.load_state_dict(cells.state_dict())
    return twin, x.detach().double().requires_grad_()


# --- reference ---


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("shape", [(4, 9, 5), (1, 1, 5), (3, 40, 5), (2, 30, 17)])
@pytest.mark.parametrize("transposed", [False, True])
def test_outputs_and_gradients_equal_torchs(layers: int, shape: tuple[int, int, int], transposed: bool) -> None:
    gru, x = made(shape[2], layers), torch.randn(shape)
    x = (x.transpose(1, 2).contiguous().transpose(1, 2) if transposed else x).requires_grad_()
    twin, other = in_double(gru, x)
    found, expected = gru(x), twin(other)[0]
    upstream = torch.randn_like(found)
    found.backward(upstream.transpose(0, 1).contiguous().transpose(0, 1) if transposed else upstream)
    expected.backward(upstream.double())
    assert_close(found.double(), expected, rtol=0, atol=1e-6)
    pairs = {"x": (x, other)} | {
        name: (value, twin.get_parameter(name)) for name, value in gru.cells.named_parameters()
    }
    for name, (ours, theirs) in pairs.items():
        assert ours.grad is not None
        assert theirs.grad is not None
        size = theirs.grad.abs().max().clamp(min=1e-3)  # one frame: what the first state would add is 0
        assert_close(ours.grad.double() / size, theirs.grad / size, rtol=0, atol=3e-6, msg=name)


# --- property ---


def test_a_clip_does_not_depend_on_its_batch_mates() -> None:
    gru, x = made(5), torch.randn(4, 9, 5)
    with torch.inference_mode():
        assert_close(gru(x)[1:2], gru(x[1:2]))


def test_double_precision_is_torchs_own() -> None:
    gru, x = made(5).double(), torch.randn(7, 4, 5).double()
    with torch.inference_mode():
        assert torch.equal(gru(x), gru.cells(x)[0])


def test_in_bf16_products_are_coarser_and_states_still_float32() -> None:
    gru, x = made(5, layers=2), torch.randn(4, 30, 5, requires_grad=True)
    twin, other = in_double(gru, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = gru(x)
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    expected, _ = twin(other)
    assert_close(found.double(), expected, rtol=0, atol=0.02)
    upstream = torch.randn_like(found)
    found.backward(upstream)
    expected.backward(upstream.double())
    pairs = [(x, other)] + [(value, twin.get_parameter(name)) for name, value in gru.cells.named_parameters()]
    for ours, theirs in pairs:
        assert ours.grad is not None
        assert theirs.grad is not None
        assert ours.grad.dtype == torch.float32
        assert_close(ours.grad.double(), theirs.grad, rtol=0, atol=0.03 * float(theirs.grad.abs().max()))


def test_a_second_backward_pass_is_refused() -> None:
    """The first has overwritten what it needs."""
    result = made(5)(torch.randn(2, 4, 5)).sum()
    result.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


# --- degenerate ---


def test_nan_is_not_lost() -> None:
    x = torch.randn(3, 6, 5)
    x[1, 2, 3] = float("nan")
    with torch.inference_mode():
        states = made(5)(x)
    assert states[1, 2:, :UNITS].isnan().all()
    assert states[1, :3, UNITS:].isnan().all()
    assert states[1, :2, :UNITS].isfinite().all()
    assert states[[0, 2]].isfinite().all()
