from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.models.crnn import CRNN

PAPER_FILTERS = (8, 16, 32, 64, 64, 64, 64)


def network(n_mels: int = 8, n_tags: int = 3, seed: int = 0, **changes: Any) -> CRNN:
    torch.manual_seed(seed)
    return CRNN(n_mels, n_tags, **{"dropout": 0.0, "gru_units": 4, "gru_layers": 1, **changes})


def clips(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def recurrent(model: CRNN) -> nn.GRU:
    """The GRU, which on a CPU may be only the holder of its parameters."""
    return next(module for module in model.modules() if isinstance(module, nn.GRU))


def of_torch(model: CRNN, x: Tensor) -> Tensor:
    """The network as the paper writes it, of torch's own operations, without dropout: (B, T, M) to (B, K)."""
    x = ((x - model.mean) / model.scale).unsqueeze(1)
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


def constant_block(dropout: float) -> nn.Module:
    """A first block, in training, whose output is 1 wherever dropout keeps it: (B, 1, M, T) to (B, 8, M / 2, T)."""
    block = network(dropout=dropout).blocks[0]
    nn.init.zeros_(block.norm.weight)
    nn.init.ones_(block.norm.bias)
    return block


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
    monkeypatch.setattr(model, "_frames", lambda log_mel: (tagging, localisation))
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


def test_a_clip_does_not_know_its_batch_mates() -> None:
    model = network(dropout=0.5).eval()
    model.blocks[0].norm.running_mean += 0.3
    x = clips(6, 12, 8)
    alone = torch.cat([model(x[clip : clip + 1]) for clip in range(6)])
    torch.testing.assert_close(model(x), alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model(x.flip(0)).flip(0), alone, rtol=1e-5, atol=1e-6)


def test_every_parameter_gets_a_gradient() -> None:
    model = network(dropout=0.3, gru_layers=2)
    F.binary_cross_entropy(model(clips(4, 12, 8)), torch.eye(4)[:, :3]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_features_are_standardised_with_what_the_state_dict_keeps() -> None:
    mean, scale = torch.linspace(-20, 3, 8), torch.linspace(0.1, 5, 8)
    model = network(mean=mean, scale=scale).eval()
    plain = network().eval()
    x = clips(2, 12, 8)
    torch.testing.assert_close(model(x * scale + mean), plain(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(x), plain(x))
    plain.load_state_dict(model.state_dict())
    assert torch.equal(plain(x), model(x))


def test_dropout_is_on_in_training_only_and_follows_the_seed() -> None:
    model = network(dropout=0.5)
    x = clips(2, 12, 8)
    torch.manual_seed(1)
    first, second = model(x), model(x)
    torch.manual_seed(1)
    assert torch.equal(model(x), first)
    assert not torch.equal(second, first)
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5, 0.9])
def test_dropout_drops_its_share_of_every_byte(probability: float) -> None:
    block = constant_block(probability)
    torch.manual_seed(0)
    result = block(torch.zeros(400, 1, 8, 25)).permute(0, 2, 3, 1).flatten(0, 2)  # (words, channels): 8 bytes each
    dropped = (result == 0).float()
    share = round(256 * probability) / 256
    assert share == pytest.approx(probability, abs=1 / 512)
    assert (dropped.mean(dim=0) - share).abs().max() < 5 * (share * (1 - share) / len(dropped)) ** 0.5
    together = torch.corrcoef(dropped.T) - torch.eye(8)
    assert together.abs().max() < 5 / len(dropped) ** 0.5  # the bytes of a word are independent
    torch.testing.assert_close(result[result != 0].unique(), torch.tensor([1 / (1 - share)]))


def test_gradients_flow_through_what_dropout_keeps() -> None:
    block = constant_block(0.25)
    torch.manual_seed(0)
    result = block(torch.zeros(3, 1, 8, 5))
    result.sum().backward()
    torch.testing.assert_close(block.norm.bias.grad, (result != 0).sum(dim=(0, 2, 3)) / 0.75)


def test_dropout_follows_the_seed_and_not_the_memory_format() -> None:
    def drop(seed: int, x: Tensor) -> Tensor:
        torch.manual_seed(seed)
        return block(x)

    block = network(dropout=0.5).blocks[1]
    x = clips(3, 8, 4, 5)
    assert torch.equal(drop(1, x), drop(1, x))
    assert torch.equal(drop(1, x) == 0, drop(1, x.contiguous(memory_format=torch.channels_last)) == 0)
    assert not torch.equal(drop(1, x), drop(2, x))


# --- degenerate ---


@pytest.mark.parametrize("probability", [0.0, 0.001])
def test_dropout_near_0_keeps_everything_and_draws_nothing(probability: float) -> None:
    block = constant_block(probability)
    state = torch.random.get_rng_state()
    assert (block(torch.zeros(5, 1, 8, 25)) == 1).all()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_dropout_near_1_keeps_something() -> None:
    block = constant_block(0.9999)
    torch.manual_seed(0)
    result = block(torch.zeros(50, 1, 8, 25)).detach()
    assert result.unique().tolist() == [0.0, 256.0]
    assert float(result.mean()) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("shape", [(1, 1, 2, 1), (1, 1, 2, 3), (3, 1, 4, 7)])
def test_dropout_takes_any_number_of_values(shape: tuple[int, ...]) -> None:
    assert set(constant_block(0.5)(torch.zeros(shape)).unique().tolist()) <= {0.0, 2.0}


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
    monkeypatch.setattr(model, "_frames", lambda log_mel: (torch.ones(1, 3, 2), torch.tensor([[[0.0, 1.0]] * 3])))
    assert model(clips(1, 3, 8)).tolist() == [[0.0, 1.0]]


# --- malformed ---


@pytest.mark.parametrize("n_mels", [-8, 0, 1, 3, 40, 127, 129])
def test_bands_that_are_no_power_of_two(n_mels: int) -> None:
    with pytest.raises(ValueError, match=f"The value of `n_mels` is {n_mels}, but must be a power of two: each block"):
        network(n_mels)
