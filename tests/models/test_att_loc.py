"""ATT-LOC layer by layer, and its pooling by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from models.test_cgrnn import IMD_CONV, MEL_CONV, branch_of_torch, gru
from torch import nn

from audiotag.config import TrialConfig
from audiotag.models.build import build_network

DENSE = 256 * 500 + 500 + 500 * 7 + 7


def network(imd: bool, n_tags: int = 7) -> Any:
    config = TrialConfig(model="att_loc", imd=imd)
    return build_network(config, config.front_end.columns, n_tags)


# --- reference ---


@pytest.mark.parametrize(
    ("imd", "expected"),
    [
        (False, MEL_CONV + (128 * 7 + 7) + (128 + 1) + gru(128) + 2 * gru(256) + DENSE),
        (True, MEL_CONV + IMD_CONV + (256 * 7 + 7) + (256 + 1) + 3 * gru(256) + DENSE),
    ],
)
def test_parameters(imd: bool, expected: int) -> None:
    assert sum(parameter.numel() for parameter in network(imd).parameters()) == expected


@pytest.mark.parametrize(("imd", "columns", "features"), [(False, 40, 128), (True, 297, 256)])
def test_shapes_layer_by_layer(imd: bool, columns: int, features: int) -> None:
    model = network(imd)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape)}))
    x = torch.randn(2, 249, columns)  # 4 s
    assert model(x).shape == (2, 7)
    expected = {"mel": (2, 249, 128), "localisation": (2, 249, 7), "attention": (2, 249, 1), "gru": (2, 249, 256)}
    expected |= {"imd": (2, 249, 128)} if imd else {}
    expected |= {"dense": (2, 249, 500), "dropout": (2, 249, 500), "tagging": (2, 249, 7)}
    assert {name: shapes[name] for name in expected} == expected
    assert model.localisation.in_features == model.attention.in_features == features
    assert model.frame_curves(x).shape == (2, 249, 7)


def test_the_pooling_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """y = sum_t o_t d_t / sum_t max(d_t, 1e-9), here of two frames and two tags."""
    model = network(False, n_tags=2)
    tagging = torch.tensor([[[0.9, 0.2], [0.1, 0.6]]])
    localisation = torch.tensor([[[0.75, 0.25], [0.5, 0.5]]])
    monkeypatch.setattr(model, "frames", lambda x: (tagging, localisation))
    expected = [(0.9 * 0.75 + 0.1 * 0.5) / 1.25, (0.2 * 0.25 + 0.6 * 0.5) / 0.75]
    assert model(torch.zeros(1, 2, 40)).tolist() == [pytest.approx(expected)]


@pytest.mark.parametrize("imd", [False, True])
def test_every_formula_of_the_paper(imd: bool) -> None:
    """From the convolutions' features f_t and the GRU's g_t on, in NumPy and double precision."""
    model = network(imd).double().eval()
    x = torch.randn(2, 9, TrialConfig(model="att_loc", imd=imd).front_end.columns, dtype=torch.float64)
    branches = [branch_of_torch(model.mel, x[..., :40])]
    if imd:
        branches.append(branch_of_torch(model.imd, x[..., 40:]))
    cells = next(module for module in model.modules() if isinstance(module, nn.GRU))
    f, g = (value.detach().numpy() for value in (torch.cat(branches, dim=2), cells(torch.cat(branches, dim=2))[0]))

    def linear(layer: str, values: np.ndarray) -> np.ndarray:
        part = getattr(model, layer)
        return values @ part.weight.detach().numpy().T + part.bias.detach().numpy()

    exponentials = np.exp(linear("localisation", f))
    d = exponentials / exponentials.sum(axis=2, keepdims=True)
    a = 1 / (1 + np.exp(-linear("attention", f)))
    o = 1 / (1 + np.exp(-linear("tagging", np.maximum(linear("dense", a * g), 0))))
    expected = (o * d).sum(axis=1) / np.maximum(d, 1e-9).sum(axis=1)
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(model.frame_curves(x).detach().numpy(), o * d, rtol=1e-6)


# --- property ---


def test_the_localisations_of_a_frame_sum_to_1() -> None:
    _, localisation = network(False).frames(torch.randn(2, 12, 40))
    torch.testing.assert_close(localisation.sum(dim=2), torch.ones(2, 12))


# --- degenerate ---


def test_a_tag_that_is_located_nowhere_has_probability_0(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(False, n_tags=2)
    monkeypatch.setattr(model, "frames", lambda x: (torch.ones(1, 3, 2), torch.tensor([[[0.0, 1.0]] * 3])))
    assert model(torch.zeros(1, 3, 40)).tolist() == [[0.0, 1.0]]


def test_with_one_tag_the_pooling_is_a_mean_over_frames() -> None:
    model = network(False, n_tags=1).eval()
    x = torch.randn(2, 12, 40)
    torch.testing.assert_close(model(x), model.frame_curves(x).mean(dim=1))
