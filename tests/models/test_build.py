"""What holds of every system: CGRNN and ATT-LOC with and without IMD, DAE-DNN, and the CRNN."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.config import TrialConfig
from audiotag.models.build import build_model, front_end

SYSTEMS: dict[str, dict[str, Any]] = {
    "crnn": {},
    "dae_dnn": {"model": "dae_dnn"},
    "cgrnn": {"model": "cgrnn"},
    "cgrnn imd": {"model": "cgrnn", "imd": True},
    "att_loc": {"model": "att_loc"},
    "att_loc imd": {"model": "att_loc", "imd": True},
}
BLOCKS = [name for name in SYSTEMS if "cgrnn" in name or name == "dae_dnn"]
every_system = pytest.mark.parametrize("name", SYSTEMS)


def config(name: str, **changes: Any) -> TrialConfig:
    small = {} if name == "dae_dnn" else {"gru_units": 6}
    return TrialConfig.from_dict({**SYSTEMS[name], **small, **changes})


def network(name: str, n_tags: int = 3, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    columns = front_end(config(name)).columns
    return build_model(config(name, **changes), columns, n_tags, torch.zeros(columns), torch.ones(columns))


def clips(name: str, batch: int, frames: int, seed: int = 1) -> Tensor:
    columns = front_end(config(name)).columns
    return torch.randn(batch, frames, columns, generator=torch.Generator().manual_seed(seed))


def whole(model: nn.Module) -> Any:
    """The function that scores whole clips."""
    return getattr(model, "score", model)


# --- reference ---


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "crnn"])  # of which test_train.py has it
def test_one_batch_can_be_overfitted(name: str) -> None:
    model = network(name, dropout=0.0)
    x, y = clips(name, 3, 10), torch.eye(3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3 if name == "dae_dnn" else 1e-2)
    for module in model.modules():  # dropout that is no hyperparameter
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for _ in range(16 if name == "dae_dnn" else 30):
        loss = F.binary_cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


# --- property ---


@every_system
def test_every_parameter_gets_a_gradient(name: str) -> None:
    """Of the training with tags, and where a system has one, of the stage without them."""
    model: Any = network(name)
    F.binary_cross_entropy(model(clips(name, 4, 40)), torch.eye(4)[:, :3]).backward()
    if hasattr(model, "unsupervised"):
        assert all(parameter.grad is None for parameter in model.autoencoder.parameters())  # what tags leave alone
        model.unsupervised_loss(clips(name, 4, model.unsupervised.framing.frames)).backward()
    for part, parameter in model.named_parameters():
        assert parameter.grad is not None, part
        assert torch.isfinite(parameter.grad).all(), part
        assert parameter.grad.abs().max() > 0, part


@every_system
def test_a_clip_does_not_depend_on_its_batch_mates(name: str) -> None:
    model = network(name).eval()
    x = clips(name, 5, 110)
    for score in (model, whole(model)):
        x = x if score is not model or name not in BLOCKS else x[:, : model.framing.frames]
        alone = torch.cat([score(x[clip : clip + 1]) for clip in range(5)])
        torch.testing.assert_close(score(x), alone, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(score(x.flip(0)).flip(0), alone, rtol=1e-4, atol=1e-6)
        x = clips(name, 5, 110)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_clip_scores_the_mean_over_blocks_at_every_frame(name: str) -> None:
    model: Any = network(name).eval()
    length = model.framing.frames
    x = clips(name, 2, length + 4)
    blocks = [model(x[:, start : start + length]) for start in range(5)]
    assert (blocks[0] - blocks[4]).abs().max() > 1e-6
    torch.testing.assert_close(model.score(x), torch.stack(blocks).mean(dim=0), rtol=1e-4, atol=1e-6)


@every_system
def test_features_are_standardised_with_what_the_state_dict_keeps(name: str) -> None:
    plain = network(name).eval()
    x = clips(name, 2, 100)
    mean, scale = torch.linspace(-20, 3, x.shape[2]), torch.linspace(0.1, 5, x.shape[2])
    torch.manual_seed(0)
    model = build_model(config(name), x.shape[2], 3, mean, scale).eval()
    torch.testing.assert_close(whole(model)(x * scale + mean), whole(plain)(x), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(whole(model)(x), whole(plain)(x))
    plain.load_state_dict(model.state_dict())
    assert torch.equal(whole(plain)(x), whole(model)(x))


@every_system
def test_dropout_is_on_in_training_only_and_follows_the_seed(name: str) -> None:
    model = network(name, dropout=0.5)
    x = clips(name, 2, 97)
    torch.manual_seed(1)
    first, second = model(x), model(x)
    torch.manual_seed(1)
    assert torch.equal(model(x), first)
    assert not torch.equal(second, first)
    assert torch.equal(model.eval()(x), model(x))


# --- degenerate ---


@every_system
@pytest.mark.parametrize(("frames", "n_tags", "batch"), [(1, 2, 1), (20, 1, 2), (120, 10, 3)])
def test_another_length_and_number_of_tags(name: str, frames: int, n_tags: int, batch: int) -> None:
    model: Any = network(name, n_tags)
    x = clips(name, batch, frames)
    for training in (True, False):
        model.train(training)
        unit = x[:, : model.framing.frames] if name in BLOCKS else x
        for probabilities in (model(unit), whole(model)(x)):
            assert probabilities.shape == (batch, n_tags)
            assert ((probabilities > 0) & (probabilities < 1)).all()
