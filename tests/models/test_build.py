"""The contract of every network, a new one too."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.config import TrialConfig, network_names
from audiotag.config import network as declaration
from audiotag.models.build import build_network, standardise
from audiotag.training.fit import predict

NETWORKS: dict[str, dict[str, Any]] = {name: {"model": name} for name in network_names()}
NETWORKS |= {f"{name} imd": {"model": name, "imd": True} for name in NETWORKS if "imd" in declaration(name).parameters}
SEGMENTED = [name for name in NETWORKS if "cgrnn" in name or name == "dae_dnn"]
every_network = pytest.mark.parametrize("name", NETWORKS)


def config(name: str, **changes: Any) -> TrialConfig:
    values = {**NETWORKS[name], **changes}
    if "gru_units" in declaration(values["model"]).parameters:
        values.setdefault("gru_units", 6)
    return TrialConfig.from_dict(values)


def network(name: str, n_tags: int = 3, **changes: Any) -> Any:
    torch.manual_seed(0)
    return build_network(config(name, **changes), config(name).front_end.columns, n_tags)


def without_dropout(name: str) -> nn.Module:
    return network(name, **({"dropout": 0.0} if "dropout" in config(name).to_dict() else {}))


def clips(name: str, batch: int, frames: int, seed: int = 1) -> Tensor:
    columns = config(name).front_end.columns
    return torch.randn(batch, frames, columns, generator=torch.Generator().manual_seed(seed))


def whole(model: nn.Module) -> Any:
    """The function that scores whole clips."""
    return getattr(model, "score", model)


def segment(model: Any, x: Tensor) -> Tensor:
    """As much of the clips as the network is trained on at once."""
    return x[:, : model.segments.frames] if hasattr(model, "segments") else x


# --- reference ---


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "crnn"])  # of which test_fit.py has it
def test_one_batch_can_be_overfitted(name: str) -> None:
    model = without_dropout(name)
    x, y = clips(name, 3, 10), torch.eye(3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3 if name == "dae_dnn" else 1e-2)
    for module in model.modules():  # dropout that is no hyperparameter
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for _ in range(300):
        loss = F.binary_cross_entropy(model(x), y)
        if loss < 0.1:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss is still {loss:.3f}")


# --- property ---


@every_network
def test_every_parameter_gets_a_gradient(name: str) -> None:
    """Of the training, and where a network has one, of the pretraining."""
    model = network(name)
    F.binary_cross_entropy(model(clips(name, 4, 40)), torch.eye(4)[:, :3]).backward()
    if hasattr(model, "pretraining"):
        assert any(parameter.grad is None for parameter in model.parameters())  # left alone by the training
        model.pretraining_loss(clips(name, 4, model.pretraining.segments.frames)).backward()
    for part, parameter in model.named_parameters():
        assert parameter.grad is not None, part
        assert torch.isfinite(parameter.grad).all(), part
        assert parameter.grad.abs().max() > 0, part


@every_network
def test_a_clip_does_not_depend_on_its_batch_mates(name: str) -> None:
    model = network(name).eval()
    clip = clips(name, 5, 110)
    for score, x in ((model, segment(model, clip)), (whole(model), clip)):
        alone = torch.cat([score(x[place : place + 1]) for place in range(5)])
        torch.testing.assert_close(score(x), alone, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(score(x.flip(0)).flip(0), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SEGMENTED)
def test_a_clip_scores_the_mean_over_segments_at_every_frame(name: str) -> None:
    model = network(name).eval()
    length = model.segments.frames
    x = clips(name, 2, length + 4)
    segments = [model(x[:, start : start + length]) for start in range(5)]
    assert (segments[0] - segments[4]).abs().max() > 1e-6
    torch.testing.assert_close(model.score(x), torch.stack(segments).mean(dim=0), rtol=1e-4, atol=1e-6)


@every_network
def test_features_are_standardised_with_statistics_that_the_state_dict_keeps(name: str) -> None:
    plain = network(name)
    x = clips(name, 2, 100)
    mean, scale = torch.linspace(-20, 3, x.shape[2]), torch.linspace(0.1, 5, x.shape[2])
    torch.manual_seed(0)
    model = build_network(config(name), x.shape[2], 3, mean, scale)
    torch.testing.assert_close(standardise(model, x * scale + mean), x, rtol=1e-4, atol=1e-4)
    indices = torch.arange(2).numpy()
    expected = predict(plain, x.numpy(), indices)
    np.testing.assert_allclose(predict(model, (x * scale + mean).numpy(), indices), expected, rtol=1e-3, atol=1e-4)
    plain.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(predict(plain, x.numpy(), indices), predict(model, x.numpy(), indices))


@pytest.mark.parametrize("name", [name for name in NETWORKS if "dropout" in config(name).to_dict()])
def test_dropout_is_on_in_training_only_and_follows_the_seed(name: str) -> None:
    model = network(name, dropout=0.5)
    x = clips(name, 2, 97)
    torch.manual_seed(1)
    first, second = model(x), model(x)
    torch.manual_seed(1)
    assert torch.equal(model(x), first)
    assert not torch.equal(second, first)
    assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize("name", [name for name in NETWORKS if declaration(config(name).model).has_curves])
def test_curves_are_in_time(name: str) -> None:
    curves = network(name).eval().frame_curves(clips(name, 2, 110))
    assert (len(curves), curves.shape[2]) == (2, 3)
    assert 1 < curves.shape[1] <= 110
    assert ((curves >= 0) & (curves <= 1)).all()


# --- degenerate ---


@every_network
@pytest.mark.parametrize(("frames", "n_tags", "batch"), [(1, 2, 1), (20, 1, 2), (120, 10, 3)])
def test_another_length_and_number_of_tags(name: str, frames: int, n_tags: int, batch: int) -> None:
    model = network(name, n_tags)
    x = clips(name, batch, frames)
    for training in (True, False):
        model.train(training)
        for probabilities in (model(segment(model, x)), whole(model)(x)):
            assert probabilities.shape == (batch, n_tags)
            assert ((probabilities > 0) & (probabilities < 1)).all()
