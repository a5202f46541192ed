"""CGRNN layer by layer, as its authors have it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from audiotag.config import TrialConfig
from audiotag.models.build import build_network
from audiotag.models.cgrnn import CGRNN, SEGMENT
from audiotag.training.fit import start_fit

MEL_CONV = 128 * 30 + 128
IMD_CONV = 128 * 200 + 128
GRU_BIASES = 2 * 2 * 3 * 128  # two directions; torch has two biases a gate


def gru(inputs: int) -> int:
    """Parameters of a bidirectional layer of 128 units: three gates, each from the input and from the state."""
    return 2 * 3 * 128 * (inputs + 128) + GRU_BIASES


DENSE = 256 * 500 + 500 + 500 * 7 + 7


def network(imd: bool) -> Any:
    config = TrialConfig(model="cgrnn", imd=imd)
    return build_network(config, config.front_end.columns, 7)


# --- reference ---


@pytest.mark.parametrize(
    ("imd", "expected"),
    [
        (False, MEL_CONV + gru(128) + 2 * gru(256) + DENSE),
        (True, MEL_CONV + IMD_CONV + gru(256) + 2 * gru(256) + DENSE),
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
    x = torch.randn(2, SEGMENT, columns, requires_grad=True)  # so that the convolutions are torch's
    assert model(x).shape == (2, 7)
    expected = {"mel.conv": (2 * 33, 128, 11), "mel": (2, 33, 128), "gru": (2, 33, 256)}
    expected |= {"imd.conv": (2 * 33, 128, 58), "imd": (2, 33, 128)} if imd else {}
    assert {name: shapes[name] for name in expected} == expected
    assert model.encode(x).shape == (2, 33, features)
    assert (shapes["dense"], shapes["dropout"], shapes["tags"]) == ((2, 500), (2, 500), (2, 7))


def test_training() -> None:
    config = TrialConfig(model="cgrnn")
    assert (CGRNN.segments.frames, CGRNN.segments.hop) == (33, 10)
    features = torch.randn(4, 40, 40).numpy()
    state = start_fit(config, features, 2, torch.arange(4).numpy(), seed=0, fold=0, device="cpu")
    assert isinstance(state.optimizer, torch.optim.Adam)


@pytest.mark.parametrize("imd", [False, True])
def test_the_network_of_torchs_own_operations(imd: bool) -> None:
    model = network(imd).eval()
    x = torch.randn(3, SEGMENT, TrialConfig(model="cgrnn", imd=imd).front_end.columns)
    features = [branch_of_torch(model.mel, x[..., :40])]
    if imd:
        features.append(branch_of_torch(model.imd, x[..., 40:]))
    cells = next(module for module in model.modules() if isinstance(module, nn.GRU))
    _, last = cells(torch.cat(features, dim=2))  # (layers * directions, B, units)
    hidden = torch.relu(model.dense(torch.cat([last[-2], last[-1]], dim=1)))
    torch.testing.assert_close(model(x), torch.sigmoid(model.tags(hidden)), rtol=1e-4, atol=1e-6)


def branch_of_torch(branch: Any, x: Tensor) -> Tensor:
    """Convolution, ReLU, max-pool over all positions, frame by frame."""
    return torch.stack([torch.relu(branch.conv(frame.unsqueeze(1))).amax(dim=2) for frame in x.unbind(1)], dim=1)


# --- property ---


def test_frames_outside_a_segment_do_not_matter() -> None:
    model = network(False).eval()
    x = torch.randn(1, 60, 40)
    other = x.clone()
    other[:, 40:] += 1
    torch.testing.assert_close(model(x[:, 5:38]), model(other[:, 5:38]))
    assert not torch.allclose(model.score(x), model.score(other))


def test_large_batches_are_scored_as_small_ones() -> None:
    model = network(False).eval()
    x = torch.randn(1, 33 + 299, 40)
    with torch.inference_mode():
        many = model.score(x)
    segments = x[0].unfold(0, 33, 1).transpose(1, 2)  # (300, 33, 40)
    few = torch.cat([model(part) for part in segments.split(100)]).mean(dim=0, keepdim=True)
    torch.testing.assert_close(many, few.detach(), rtol=1e-4, atol=1e-6)
