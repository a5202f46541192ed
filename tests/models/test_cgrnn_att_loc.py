"""CGRNN and ATT-LOC, which share their first layers, layer by layer, as their authors have them."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.networks import output_shapes
from torch import Tensor, nn

from audiotag.config import TrialConfig
from audiotag.models.build import build_network
from audiotag.models.cgrnn import CGRNN, SEGMENT

with_and_without_imd = pytest.mark.parametrize("imd", [False, True])


def network(model: str, imd: bool) -> Any:
    config = TrialConfig(model=model, imd=imd)
    return build_network(config, config.front_end.columns, 7).eval()


def clips(batch: int, frames: int, imd: bool) -> Tensor:
    return torch.randn(batch, frames, 297 if imd else 40)


def features_of_torch(model: Any, x: Tensor) -> Tensor:
    """Convolution, ReLU, max-pool over all positions, frame by frame; those of the differences behind."""

    def branch(conv: nn.Module, rows: Tensor) -> Tensor:
        return torch.stack([torch.relu(conv(frame.unsqueeze(1))).amax(dim=2) for frame in rows.unbind(1)], dim=1)

    bands = branch(model.mel.conv, x[..., :40])
    return bands if model.imd is None else torch.cat([bands, branch(model.imd.conv, x[..., 40:])], dim=2)


# --- reference ---


@with_and_without_imd
def test_parameters(imd: bool) -> None:
    features = 256 if imd else 128
    convolutions = (128 * 30 + 128) + (128 * 200 + 128) * imd
    # of a bidirectional layer of 128 units: three gates, each from the input and from the state, with two biases
    gru = sum(2 * 3 * 128 * (inputs + 128 + 2) for inputs in (features, 256, 256))
    shared = convolutions + gru + (256 * 500 + 500) + (500 * 7 + 7)
    heads = {"cgrnn": 0, "att_loc": (features * 7 + 7) + (features + 1)}
    for model, head in heads.items():
        assert sum(parameter.numel() for parameter in network(model, imd).parameters()) == shared + head


@with_and_without_imd
def test_shapes_of_cgrnn_layer_by_layer(imd: bool) -> None:
    model = network("cgrnn", imd).train()
    x = clips(2, SEGMENT, imd).requires_grad_()  # so that the convolutions are torch's
    expected = {"mel.conv": (2 * 33, 128, 11), "mel": (2, 33, 128), "gru": (2, 33, 256)}
    expected |= {"imd.conv": (2 * 33, 128, 58), "imd": (2, 33, 128)} if imd else {}
    expected |= {"dense": (2, 500), "dropout": (2, 500), "tags": (2, 7), "": (2, 7)}
    assert output_shapes(model, x).items() >= expected.items()
    assert model.encode(x).shape == (2, 33, 256 if imd else 128)
    assert (CGRNN.segments.frames, CGRNN.segments.hop) == (33, 10)


@with_and_without_imd
def test_shapes_of_att_loc_layer_by_layer(imd: bool) -> None:
    model, x = network("att_loc", imd), clips(2, 249, imd)  # 4 s
    expected = {"mel": (2, 249, 128), "localisation": (2, 249, 7), "attention": (2, 249, 1), "gru": (2, 249, 256)}
    expected |= {"imd": (2, 249, 128)} if imd else {}
    expected |= {"dense": (2, 249, 500), "dropout": (2, 249, 500), "tagging": (2, 249, 7), "": (2, 7)}
    assert output_shapes(model, x).items() >= expected.items()
    assert model.frame_curves(x).shape == (2, 249, 7)


@with_and_without_imd
def test_cgrnn_is_that_of_torchs_own_operations(imd: bool) -> None:
    model, x = network("cgrnn", imd), clips(3, SEGMENT, imd)
    _, last = model.gru.cells(features_of_torch(model, x))  # (layers * directions, B, units)
    hidden = torch.relu(model.dense(torch.cat([last[-2], last[-1]], dim=1)))
    torch.testing.assert_close(model(x), torch.sigmoid(model.tags(hidden)), rtol=1e-4, atol=1e-6)


@with_and_without_imd
def test_att_loc_has_every_formula_of_the_paper(imd: bool) -> None:
    """From the convolutions' features f_t and the GRU's g_t on, in NumPy and double precision."""
    model, x = network("att_loc", imd).double(), clips(2, 9, imd).double()
    features = features_of_torch(model, x)
    f, g = (value.detach().numpy() for value in (features, model.gru.cells(features)[0]))

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


def test_frames_outside_a_segment_do_not_matter() -> None:
    model, x = network("cgrnn", False), clips(1, 60, False)
    other = x.clone()
    other[:, 40:] += 1
    torch.testing.assert_close(model(x[:, 5:38]), model(other[:, 5:38]))
    assert not torch.allclose(model.score(x), model.score(other))
