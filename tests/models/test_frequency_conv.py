"""The highest response of each filter over a frame's frequencies, against torch's own convolution and pooling."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.models.layers import FrequencyConv


def module(frequencies: int = 9, filters: int = 5, width: int = 4) -> FrequencyConv:
    torch.manual_seed(0)
    return FrequencyConv(frequencies, filters, width)


def frames(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def of_torch(conv: FrequencyConv, x: Tensor) -> Tensor:
    """Convolution, ReLU, max-pool in the order in which the papers list them."""
    responses = F.relu(conv.conv(x.flatten(0, 1).unsqueeze(1)))
    return F.max_pool1d(responses, responses.shape[2]).view(*x.shape[:2], -1)


# --- reference ---


@pytest.mark.parametrize(("frequencies", "width", "positions"), [(40, 30, 11), (257, 200, 58), (9, 9, 1)])
def test_values_and_gradients_are_those_of_torch(frequencies: int, width: int, positions: int) -> None:
    conv = module(frequencies, 6, width)
    x = frames(3, 7, frequencies)
    assert conv.conv(x[0].unsqueeze(1)).shape == (7, 6, positions)
    weights = frames(3, 7, 6)
    expected = of_torch(conv, x)
    wanted = torch.autograd.grad((expected * weights).sum(), list(conv.parameters()))
    found = conv(x)
    given = torch.autograd.grad((found * weights).sum(), list(conv.parameters()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for first, second in zip(given, wanted, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


def test_the_path_of_other_devices_gives_the_same() -> None:
    conv, x = module(), frames(2, 3, 9)
    torch.testing.assert_close(conv(x.clone().requires_grad_()), conv(x))


def test_by_hand() -> None:
    conv = module(3, 1, 2)
    with torch.no_grad():
        conv.conv.weight.copy_(torch.tensor([[[1.0, 2.0]]]))
        conv.conv.bias.copy_(torch.tensor([-1.0]))
    # responses 1 + 4 - 1 and 2 + 6 - 1; then all below 0
    assert conv(torch.tensor([[[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]]])).tolist() == [[[7.0], [0.0]]]


# --- property ---


def test_the_first_of_equal_responses_gets_the_gradient() -> None:
    conv = module(4, 1, 2)
    torch.nn.init.zeros_(conv.conv.weight)
    torch.nn.init.ones_(conv.conv.bias)
    conv(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).sum().backward()
    assert conv.conv.weight.grad is not None
    assert conv.conv.weight.grad.flatten().tolist() == [1.0, 2.0]


# --- malformed ---


def test_fewer_frequencies_than_a_filter_has() -> None:
    with pytest.raises(ValueError, match="The number of frequencies is 29, but must be at least 30, a filter's"):
        FrequencyConv(29, 128, 30)
