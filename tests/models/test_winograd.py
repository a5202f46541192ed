"""The convolution with fewer multiplications: the same mathematics as torch's, in double precision."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.loops import needs_winograd
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from audiotag.models import backend
from audiotag.models.backend import ConvolutionError, check_convolution, fastest_convolution
from audiotag.models.cpu import kernels
from audiotag.models.layers import conv3x3

SHAPES = [  # batch, channels, bands, frames, filters
    (2, 8, 8, 7, 16),
    (3, 16, 4, 6, 32),
    (1, 32, 4, 13, 64),
    (2, 64, 12, 5, 64),
    (1, 8, 4, 1, 8),
    (2, 64, 4, 2, 8),
    (1, 24, 8, 3, 40),
    (1, 72, 4, 124, 24),
]
PAPERS = (4, 64, 8, 124, 64)
Shape = tuple[int, int, int, int, int]


def image(batch: int, channels: int, bands: int, frames: int, seed: int) -> Tensor:
    """Far from zero mean, and largest at its edge: what a wrong margin would add or lose shows."""
    x = 3 + torch.randn(batch, channels, bands, frames, generator=torch.Generator().manual_seed(seed))
    x[:, :, [0, -1]] *= 2
    x[..., [0, -1]] *= 2
    return x


def given(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Image, weight, and a gradient of the output."""
    batch, channels, bands, frames, filters = shape
    weight = torch.randn(filters, channels, 3, 3, generator=torch.Generator().manual_seed(1))
    return image(batch, channels, bands, frames, seed=0), weight, image(batch, filters, bands, frames, seed=2)


def by_winograd(x: Tensor, weight: Tensor) -> Tensor:
    return conv3x3(x, weight, "winograd")


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The number of times that Winograd's convolution has been used."""
    calls, kernel = [], kernels.convolve
    monkeypatch.setattr(kernels, "convolve", lambda *given: calls.append(1) or kernel(*given))
    return lambda: len(calls)


# reference


@pytest.mark.parametrize("lanes", [16, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradients_are_those_of_torch_in_double(
    shape: Shape, lanes: int, ours: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if lanes > kernels.LANES:
        pytest.skip(f"This CPU has {kernels.LANES} lanes.")
    monkeypatch.setattr(kernels, "LANES", lanes)
    x, weight, gradient = (value.requires_grad_() for value in given(shape))
    twins = [value.detach().double().requires_grad_() for value in (x, weight)]
    out, expected = by_winograd(x, weight), F.conv2d(*twins, padding=1)
    out.backward(gradient.detach())
    expected.backward(gradient.detach().double())
    assert ours() == 2  # forwards and the gradient of the image
    for mine, wanted in ((out, expected), (x.grad, twins[0].grad), (weight.grad, twins[1].grad)):
        assert mine is not None
        assert wanted is not None
        size = wanted.detach().abs().max()
        assert_close(mine.double() / size, wanted / size, rtol=0, atol=3e-6)
    assert out.is_contiguous(memory_format=torch.channels_last)


@needs_winograd
@pytest.mark.parametrize("wanted", ["image", "weight", "neither"])
def test_only_the_gradients_that_are_wanted_are_given(wanted: str, ours: Callable[[], int]) -> None:
    x, weight, _ = given(SHAPES[0])
    x.requires_grad_(wanted == "image")
    weight.requires_grad_(wanted == "weight")
    out = by_winograd(x, weight)
    assert ours() == 1
    assert out.requires_grad == (wanted != "neither")
    if wanted != "neither":
        out.sum().backward()  # whose gradient is one value, seen everywhere
        twins = [value.detach().requires_grad_() for value in (x, weight)]
        F.conv2d(*twins, padding=1).sum().backward()
        for mine, twin in zip((x, weight), twins, strict=True):
            assert twin.grad is not None
            if mine.requires_grad:
                assert_close(mine.grad / twin.grad.abs().max(), twin.grad / twin.grad.abs().max(), rtol=0, atol=3e-6)
            else:
                assert mine.grad is None


@needs_winograd
def test_it_rounds_little_more_coarsely_than_products_one_by_one() -> None:
    x, weight, gradient = (value.normal_(generator=torch.Generator().manual_seed(3)) for value in given(PAPERS))
    twins = [value.double().requires_grad_() for value in (x, weight)]
    expected = F.conv2d(*twins, padding=1)
    expected.backward(gradient.double())
    out = by_winograd(x.requires_grad_(), weight.requires_grad_())
    out.backward(gradient)
    for mine, wanted in ((out, expected), (x.grad, twins[0].grad), (weight.grad, twins[1].grad)):
        assert mine is not None
        assert wanted is not None
        assert (mine - wanted).square().mean() < (1.2e-6 * wanted.square().mean().sqrt()) ** 2  # torch's own: 4e-7


# property


def test_the_result_may_be_changed_in_place() -> None:
    x, weight, _ = given(SHAPES[0])
    (gradient,) = torch.autograd.grad(by_winograd(x, weight.requires_grad_()).mul_(2).sum(), weight)
    (half,) = torch.autograd.grad(by_winograd(x, weight).sum(), weight)
    assert_close(gradient, 2 * half)


def test_what_is_not_finite_stays_in_its_clip() -> None:
    x, weight, _ = given(SHAPES[1])
    expected = by_winograd(x, weight)
    x[1, 0, 2, 3] = torch.inf
    out = by_winograd(x, weight)
    assert not out[1].isfinite().all()
    assert torch.equal(out[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_layout_and_repetition_change_no_bit(memory_format: torch.memory_format) -> None:
    x, weight, _ = given(SHAPES[3])
    first = by_winograd(x, weight)
    again = by_winograd(x.to(memory_format=memory_format), weight.transpose(2, 3).contiguous().transpose(2, 3))
    assert torch.equal(first, again)


def test_an_image_does_not_depend_on_the_others_of_its_batch() -> None:
    x, weight, _ = given(SHAPES[1])
    assert torch.equal(by_winograd(x, weight)[1:2], by_winograd(x[1:2], weight))


@needs_winograd
def test_there_is_no_second_derivative() -> None:
    x, weight, _ = given(SHAPES[0])
    (gradient,) = torch.autograd.grad(by_winograd(x.requires_grad_(), weight).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


# where torch's own serves


@pytest.mark.parametrize(
    ("shape", "filters", "options"),
    [
        ((2, 8, 2, 5), 8, {}),
        ((2, 1, 8, 5), 8, {}),
        ((2, 8, 8, 5), 12, {}),
        ((2, 8, 8, 5), 8, {"dtype": torch.float64}),
        ((2, 8, 8, 5), 8, {"device": "meta"}),
    ],
    ids=["few bands", "one channel", "filters", "double precision", "another device"],
)
def test_shapes_and_types_that_do_not_fit(
    shape: tuple[int, ...], filters: int, options: dict[str, Any], ours: Callable[[], int]
) -> None:
    x, weight = torch.randn(shape, **options), torch.randn(filters, shape[1], 3, 3, **options)
    assert_close(by_winograd(x, weight), F.conv2d(x, weight, padding=1))
    assert ours() == 0


@pytest.mark.parametrize("weight", [(8, 8, 3, 3), (8, 24, 3, 3), (16, 8, 1, 1)])
def test_what_does_not_fit_together_is_refused_by_torch(weight: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        by_winograd(image(2, 16, 4, 5, seed=0), torch.ones(weight))


def test_two_types_are_refused_by_torch() -> None:
    with pytest.raises(RuntimeError, match="type"):
        by_winograd(image(2, 8, 4, 5, seed=0), torch.ones(8, 8, 3, 3).double())


def test_autocast_is_torchs(ours: Callable[[], int]) -> None:
    x, weight, _ = given(SHAPES[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert by_winograd(x, weight).dtype == torch.bfloat16
    assert ours() == 0


def test_without_the_loops_it_is_torchs_and_training_refuses_it(
    ours: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "LANES", 0)
    x, weight, _ = given(SHAPES[0])
    assert_close(by_winograd(x, weight), F.conv2d(x, weight, padding=1))
    assert ours() == 0
    assert fastest_convolution() == "direct"
    check_convolution("direct", "cpu")
    check_convolution(None, "cpu")  # a network without convolutions
    with pytest.raises(ConvolutionError, match="of `convolution` is 'winograd', but must be 'direct', because audio"):
        check_convolution("winograd", "cpu")


@needs_winograd
def test_on_a_gpu_training_refuses_it() -> None:
    check_convolution("winograd", "cpu")
    with pytest.raises(ConvolutionError, match="does not run on cuda"):
        check_convolution("winograd", "cuda")
    assert [fastest_convolution(threads) for threads in (1, 2, 3)] == ["winograd", "winograd", "direct"]
