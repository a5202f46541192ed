from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audiotag.models.crnn import CRNN

PAPER_FILTERS = (8, 16, 32, 64, 64, 64, 64)


def network(n_columns: int = 8, n_tags: int = 3, seed: int = 0, **changes: Any) -> CRNN:
    torch.manual_seed(seed)
    return CRNN(n_columns, n_tags, **{"dropout": 0.0, "gru_units": 4, **changes})


def clips(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def recurrent(model: CRNN) -> nn.GRU:
    """The GRU, which on a CPU may be only the holder of its parameters."""
    return next(module for module in model.modules() if isinstance(module, nn.GRU))


# --- reference ---


def test_shapes_of_the_paper_layer_by_layer() -> None:
    model = network(128, 7, dropout=0.1, gru_units=128).eval()
    shapes: list[tuple[int, ...]] = []
    for block in model.blocks:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    model.tagging.register_forward_pre_hook(lambda module, inputs: shapes.append(tuple(inputs[0].shape)))
    assert model(clips(2, 124, 128)).shape == (2, 7)
    bands = (64, 32, 16, 8, 4, 2, 1)
    blocks = [(2, filters, band, 124) for filters, band in zip(PAPER_FILTERS, bands, strict=True)]
    assert shapes == [*blocks, (2, 124, 256)]
    assert model.frame_curves(clips(2, 124, 128)).shape == (2, 124, 7)


@pytest.mark.parametrize(
    ("n_mels", "n_tags", "units", "layers"), [(128, 7, 128, 1), (64, 7, 128, 3), (8, 2, 5, 2), (2, 1, 1, 1)]
)
def test_the_number_of_parameters(n_mels: int, n_tags: int, units: int, layers: int) -> None:
    filters = PAPER_FILTERS[: n_mels.bit_length() - 1]
    blocks = sum(9 * before * after + 2 * after for before, after in zip((1, *filters), filters, strict=False))
    inputs = [filters[-1]] + [2 * units] * (layers - 1)
    gru = sum(2 * 3 * (units * size + units * units + 2 * units) for size in inputs)
    heads = 2 * (2 * units * n_tags + n_tags)
    model = network(n_mels, n_tags, gru_units=units, gru_layers=layers)
    assert sum(parameter.numel() for parameter in model.parameters()) == blocks + gru + heads
    assert model(clips(2, 5, n_mels)).shape == (2, n_tags)


# --- property ---


@pytest.mark.parametrize("loudness", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("bias", [-200.0, 0.0, 200.0])
def test_probabilities_stay_between_0_and_1(loudness: float, bias: float) -> None:
    for seed in range(3):
        model = network(seed=seed).eval()
        with torch.no_grad():
            model.tagging.bias.fill_(bias)
            model.localisation.weight.mul_(loudness)
        probabilities = model(loudness * clips(4, 30, 8, seed=seed))
        assert probabilities.min() >= 0
        assert probabilities.max() <= 1  # torch's cross-entropy raises above


# --- malformed ---


@pytest.mark.parametrize("n_columns", [-8, 0, 1, 3, 40, 127, 129])
def test_bands_that_are_no_power_of_two(n_columns: int) -> None:
    with pytest.raises(ValueError, match=f"The value of `n_columns` is {n_columns}, but must be a power of two"):
        network(n_columns)
