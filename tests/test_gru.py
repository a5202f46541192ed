"""The GRU written for CPUs against torch's own."""

import pytest
import torch
from torch.testing import assert_close

from audiotag.models.gru import BidirectionalGRU


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("shape", [(4, 9, 5), (1, 1, 5), (3, 40, 5)])
def test_outputs_and_gradients_equal_torchs(layers: int, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    gru = BidirectionalGRU(shape[2], 6, layers).double()
    ours = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    expected = gru.cells(theirs)[0]
    upstream = torch.randn_like(expected)
    expected.backward(upstream)
    wanted = {name: parameter.grad.clone() for name, parameter in gru.named_parameters()}
    gru.zero_grad()
    found = gru(ours)
    found.backward(upstream)
    assert_close(found, expected)
    assert_close(ours.grad, theirs.grad)
    for name, parameter in gru.named_parameters():
        assert_close(parameter.grad, wanted[name], msg=name)


def test_gradients_against_finite_differences() -> None:
    torch.manual_seed(1)
    gru = BidirectionalGRU(2, 3, 1).double()
    assert torch.autograd.gradcheck(gru, torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True))


def test_a_clip_does_not_see_its_batch_mates() -> None:
    torch.manual_seed(2)
    gru, x = BidirectionalGRU(5, 6, 1), torch.randn(4, 9, 5)
    with torch.inference_mode():
        assert_close(gru(x)[1:2], gru(x[1:2]))
