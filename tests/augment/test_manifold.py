"""Manifold mixup: by hand, and in every network that has layers for it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from audiotag.augment import build_augmentations
from audiotag.augment.manifold import manifold_mixup
from audiotag.augment.pairs import draw_partners
from audiotag.config import TrialConfig, network, network_names
from audiotag.models.build import build_network, standardise


class Two(nn.Module):
    """Two layers, after the first of which it may be mixed."""

    mixing_layers = ("first",)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def test_it_mixes_the_input_or_what_a_layer_gives() -> None:
    model, rng = Two(), np.random.default_rng(0)
    x, y = torch.randn(5, 4), torch.rand(5, 2)
    places = set()
    for seed in range(20):
        partner, own = draw_partners(x, np.random.default_rng(seed))
        lam, place = own.beta(0.5, 0.5), own.integers(2)
        new_x, new_y = manifold_mixup(x, y, np.random.default_rng(seed), model, alpha=0.5)
        torch.testing.assert_close(new_y, lam * y + (1 - lam) * y[partner])
        hidden = model.first(x) if place else None
        if place:  # the layer was called in this test: what it gave was mixed
            wanted = lam * nn.functional.linear(x, model.first.weight, model.first.bias)
            wanted = wanted + (1 - lam) * nn.functional.linear(x[partner], model.first.weight, model.first.bias)
            torch.testing.assert_close(hidden, wanted)
            assert torch.equal(new_x, x)
        else:
            torch.testing.assert_close(new_x, lam * x + (1 - lam) * x[partner])
        plain = nn.functional.linear(x, model.first.weight, model.first.bias)
        torch.testing.assert_close(model.first(x), plain)  # once, and never again
        places.add(int(place))
    assert places == {0, 1}
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("name", [name for name in network_names() if network(name).mixing_layers])
def test_each_layer_of_a_network_is_called_once_and_changes_its_output(name: str) -> None:
    config = TrialConfig(model=name, augmentation="manifold_mixup", alpha=0.5)
    model: Any = build_network(config, config.front_end.columns, 3).eval()
    (augment,) = build_augmentations(config, model)
    frames = model.segments.frames if hasattr(model, "segments") else 110
    x, y = torch.randn(4, frames, config.front_end.columns), torch.rand(4, 3)
    with torch.inference_mode():
        plain = model(standardise(model, x))
        changed = 0
        for seed in range(16):
            new_x, _ = augment(x, y, np.random.default_rng(seed))
            mixed = model(standardise(model, new_x))
            assert not any(module._forward_hooks for module in model.modules())
            changed += not torch.equal(mixed, plain)
            assert torch.equal(model(standardise(model, x)), plain)
    assert changed >= 14  # a permutation may leave all clips where they are


def test_a_network_without_such_layers_is_refused() -> None:
    for name in ("manifold_mixup", "manifold_mixup+gain"):
        with pytest.raises(ValueError, match=r"mixes inside a network, but `att_loc` has no layers for it"):
            TrialConfig(model="att_loc", augmentation=name)
