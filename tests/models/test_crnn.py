from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


def of_torch(model: CRNN, x: Tensor) -> Tensor:
    """The network as the paper writes it, of torch's own operations, without dropout: (B, T, M) to (B, K)."""
    x = x.unsqueeze(1)
    for block in model.blocks:
        x = F.conv2d(x, block.conv.weight, padding=1)
        norm = block.norm
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, model.training)
        x = F.max_pool2d(F.elu(x), kernel_size=(1, 2))
    states, _ = recurrent(model)(x.squeeze(3).transpose(1, 2))
    localisation = model.localisation(states).softmax(dim=2)
    return (model.tagging(states).sigmoid() * localisation).sum(dim=1) / localisation.sum(dim=1)


def perturbed(model: CRNN) -> CRNN:
    """The network with norms that are not the identity: weights of both signs, statistics of their own."""
    for block in model.blocks:
        nn.init.normal_(block.norm.weight)
        nn.init.normal_(block.norm.bias)
        nn.init.normal_(block.norm.running_mean)
        nn.init.uniform_(block.norm.running_var, 0.5, 2.0)
    return model


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


def test_kernels_of_the_paper() -> None:
    convolutions = [module for module in network(128).modules() if isinstance(module, nn.Conv2d)]
    assert tuple(conv.out_channels for conv in convolutions) == PAPER_FILTERS
    assert {conv.kernel_size for conv in convolutions} == {(3, 3)}
    gru = recurrent(network(gru_units=5, gru_layers=3))
    assert (gru.hidden_size, gru.num_layers, gru.bidirectional) == (5, 3, True)


@pytest.mark.parametrize(("n_mels", "blocks"), [(128, 7), (64, 6), (16, 4), (4, 2), (2, 1)])
def test_as_many_blocks_as_bands_have_halvings(n_mels: int, blocks: int) -> None:
    model = network(n_mels).eval()
    assert len(model.blocks) == blocks
    assert recurrent(model).input_size == PAPER_FILTERS[blocks - 1]
    assert model(clips(2, 5, n_mels)).shape == (2, 3)


@pytest.mark.parametrize(("n_mels", "n_tags", "units", "layers"), [(128, 7, 128, 1), (128, 7, 128, 3), (8, 2, 5, 2)])
def test_the_number_of_parameters(n_mels: int, n_tags: int, units: int, layers: int) -> None:
    filters = PAPER_FILTERS[: n_mels.bit_length() - 1]
    blocks = sum(9 * before * after + 2 * after for before, after in zip((1, *filters), filters, strict=False))
    inputs = [filters[-1]] + [2 * units] * (layers - 1)
    gru = sum(2 * 3 * (units * size + units * units + 2 * units) for size in inputs)
    heads = 2 * (2 * units * n_tags + n_tags)
    model = network(n_mels, n_tags, gru_units=units, gru_layers=layers)
    assert sum(parameter.numel() for parameter in model.parameters()) == blocks + gru + heads


def test_pooling_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    tagging = torch.tensor([[[0.2, 0.5], [0.8, 0.5], [0.4, 0.1]]])  # 1 clip, 3 frames, 2 tags
    localisation = torch.tensor([[[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]]])
    monkeypatch.setattr(model, "frames", lambda x: (tagging, localisation))
    expected = [(0.05 + 0.6 + 0.2) / 1.5, (0.375 + 0.125 + 0.05) / 1.5]
    torch.testing.assert_close(model(clips(1, 3, 8)), torch.tensor([expected]))
    torch.testing.assert_close(model.frame_curves(clips(1, 3, 8)), tagging * localisation)


def test_training_is_that_of_the_paper_written_in_torch() -> None:
    model, other = (perturbed(network(16, gru_layers=2)) for _ in range(2))
    x, weights = clips(5, 12, 16), clips(5, 3, seed=1)
    probabilities, expected = model(x), of_torch(other, x)
    torch.testing.assert_close(probabilities, expected, rtol=1e-4, atol=1e-5)
    (probabilities * weights).sum().backward()
    (expected * weights).sum().backward()
    parameters = zip(model.named_parameters(), other.parameters(), strict=True)
    for (name, parameter), reference in parameters:
        torch.testing.assert_close(parameter.grad, reference.grad, rtol=1e-3, atol=1e-5, msg=name)
    for block, reference in zip(model.blocks, other.blocks, strict=True):
        torch.testing.assert_close(block.norm.running_mean, reference.norm.running_mean)
        torch.testing.assert_close(block.norm.running_var, reference.norm.running_var)


@pytest.mark.parametrize("gradients", [True, False])
def test_scoring_is_that_of_the_paper_written_in_torch(gradients: bool) -> None:
    model = perturbed(network(16, gru_layers=2, dropout=0.5)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(model(clips(5, 12, 16)), of_torch(model, clips(5, 12, 16)), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- property ---


def test_the_clip_is_the_sum_of_its_curves_over_the_sum_of_its_localisation() -> None:
    model = network(n_tags=4).eval()
    weights: list[Tensor] = []
    model.localisation.register_forward_hook(lambda module, inputs, output: weights.append(output.softmax(dim=-1)))
    x = clips(5, 12, 8)
    curves, probabilities = model.frame_curves(x), model(x)
    torch.testing.assert_close(weights[0].sum(dim=2), torch.ones(5, 12))
    torch.testing.assert_close(probabilities, curves.sum(dim=1) / weights[0].sum(dim=1))
    assert (curves > 0).all()
    assert (curves < 1).all()


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


# --- degenerate ---


def test_with_one_tag_the_pooling_is_a_mean_over_frames() -> None:
    model = network(n_tags=1).eval()
    x = clips(3, 12, 8)
    torch.testing.assert_close(model(x), model.frame_curves(x).mean(dim=1))


@pytest.mark.parametrize(("frames", "n_tags", "batch"), [(1, 2, 1), (7, 1, 2), (300, 10, 3)])
def test_another_length_and_number_of_tags(frames: int, n_tags: int, batch: int) -> None:
    model = network(16, n_tags)
    for training in (True, False):
        probabilities = model.train(training)(clips(batch, frames, 16))
        assert probabilities.shape == (batch, n_tags)
        assert ((probabilities > 0) & (probabilities < 1)).all()


def test_a_tag_that_is_located_nowhere_has_probability_0(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    monkeypatch.setattr(model, "frames", lambda x: (torch.ones(1, 3, 2), torch.tensor([[[0.0, 1.0]] * 3])))
    assert model(clips(1, 3, 8)).tolist() == [[0.0, 1.0]]


# --- malformed ---


@pytest.mark.parametrize("n_columns", [-8, 0, 1, 3, 40, 127, 129])
def test_bands_that_are_no_power_of_two(n_columns: int) -> None:
    with pytest.raises(ValueError, match=f"The value of `n_columns` is {n_columns}, but must be a power of two"):
        network(n_columns)
