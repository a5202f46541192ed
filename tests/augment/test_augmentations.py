"""The contract of every augmentation of batches: what it returns, and that its randomness is the generator's."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.hyperparameters import another
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from audiotag.augment import Augment, build_augmentations
from audiotag.augment.mixing import mixup
from audiotag.augment.pairs import blend_targets
from audiotag.augment.spectrogram import freq_mixstyle
from audiotag.config import TrialConfig, augmentation, augmentation_names
from audiotag.models.build import build_network

NAMES = [name for name in augmentation_names()[1:] if not augmentation(name).of_waveforms]
FRAMES = 12
STRENGTHS = ("alpha", "probability", "max_gain", "max_seconds")  # at 0 of any of them an augmentation does nothing
SHARES = ("frame_share", "band_share")  # at 0 of both
HYPERPARAMETERS = [(name, parameter) for name in NAMES for parameter in augmentation(name).parameters]
SWITCHED_OFF = [(name, {strength: 0.0}) for name, strength in HYPERPARAMETERS if strength in STRENGTHS]
SWITCHED_OFF += [(name, dict.fromkeys(SHARES, 0.0)) for name, share in HYPERPARAMETERS if share == SHARES[0]]
SWITCHED_OFF += [
    ("mix", {"direction": "half", "probability": 0.0}),
    ("filter_augment", {"shape": "step", "max_gain": 0.0}),
]
every_augmentation = pytest.mark.parametrize("name", NAMES)
mono_and_stereo = pytest.mark.parametrize(
    "model", [{"model": "crnn"}, {"model": "cgrnn", "imd": True}], ids=["mono", "stereo"]
)


def batch(config: TrialConfig, size: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (B, T, F) and targets (B, K) of 0 and 1."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(size, FRAMES, config.front_end.columns)).astype(np.float32))
    return x, torch.from_numpy(rng.integers(0, 2, (size, 3)).astype(np.float32))


def configured(name: str, **values: Any) -> TrialConfig:
    """An augmentation that always does something, if nothing else is asked for."""
    own = augmentation(name).parameters
    strength = {parameter: value for parameter, value in {"alpha": 0.5, "probability": 1.0}.items() if parameter in own}
    if values.get("direction") == "half":
        del strength["alpha"]
    return TrialConfig(augmentation=name, **strength | values)


def built(config: TrialConfig) -> Augment:
    (augment,) = build_augmentations(config, build_network(config, config.front_end.columns, 3))
    return augment


@mono_and_stereo
@every_augmentation
@pytest.mark.parametrize("size", [1, 6])
def test_it_keeps_shapes_and_leaves_its_input_alone(name: str, size: int, model: dict[str, Any]) -> None:
    config = configured(name, **model)
    x, y = batch(config, size)
    for seed in range(20):
        new_x, new_y = built(config)(x, y, np.random.default_rng(seed))
        assert (new_x.shape, new_y.shape, new_x.dtype, new_y.dtype) == (x.shape, y.shape, x.dtype, y.dtype)
        assert torch.isfinite(new_x).all()
        assert ((new_y >= 0) & (new_y <= 1)).all()
    assert torch.equal(x, batch(config, size)[0])
    assert torch.equal(y, batch(config, size)[1])


@mono_and_stereo
@every_augmentation
def test_it_changes_the_features_as_its_generator_says(name: str, model: dict[str, Any]) -> None:
    chance = {"probability": 0.5} if "probability" in augmentation(name).parameters else {}
    config = configured(name, **chance | model)
    x, y = batch(config)

    def run(seeds: range) -> Tensor:
        return torch.stack([built(config)(x, y, np.random.default_rng(seed))[0] for seed in seeds])

    torch.manual_seed(1)
    first = run(range(8))
    assert torch.equal(first, run(range(8)))
    assert not torch.equal(first, x.expand_as(first))
    assert not torch.equal(first, run(range(8, 16)))


@pytest.mark.parametrize(("name", "parameter"), HYPERPARAMETERS)
def test_each_hyperparameter_changes_something_and_no_later_batch(name: str, parameter: str) -> None:
    """So trials that differ in a strength stay paired: what is drawn for other batches is the same."""
    values = {"target": "first"} if parameter == "direction" else {}
    config = configured(name, **values)
    changed = configured(name, **values | {parameter: another(config, parameter)})
    rngs = [np.random.default_rng(seed) for seed in range(20)], [np.random.default_rng(seed) for seed in range(20)]
    x, y = batch(config)
    before, after = ([built(each)(x, y, rng) for rng in own] for each, own in zip((config, changed), rngs, strict=True))
    assert any(not torch.equal(a[part], b[part]) for a, b in zip(before, after, strict=True) for part in (0, 1))
    for old_rng, new_rng in zip(*rngs, strict=True):
        old, new = (built(config)(*batch(config, seed=1), rng) for rng in (old_rng, new_rng))
        assert torch.equal(old[0], new[0])
        assert torch.equal(old[1], new[1])


@mono_and_stereo
@pytest.mark.parametrize(("name", "strength"), SWITCHED_OFF)
def test_it_does_nothing_where_its_strength_is_0(name: str, strength: dict[str, Any], model: dict[str, Any]) -> None:
    config = configured(name, **strength | model)
    x, y = batch(config)
    for seed in range(5):
        new_x, new_y = built(config)(x, y, np.random.default_rng(seed))
        assert torch.equal(new_x, x)
        assert torch.equal(new_y, y)


@every_augmentation
@settings(deadline=None, max_examples=25)
@given(
    frames=st.integers(1, 20),
    size=st.integers(1, 5),
    level=st.floats(-18, 20),
    targets=st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5),
    seed=st.integers(0, 2**32),
)
def test_any_batch_gives_finite_features_and_targets_in_0_to_1(
    name: str, frames: int, size: int, level: float, targets: list[float], seed: int
) -> None:
    config = configured(name, model="dae_dnn")
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(level, 3, (size, frames, config.front_end.columns)).astype(np.float32))
    x[0] = -18.42  # silence
    new_x, new_y = built(config)(x, torch.tensor(targets[:size])[:, None], rng)
    assert torch.isfinite(new_x).all()
    assert ((new_y >= 0) & (new_y <= 1)).all()


def test_none_is_no_function() -> None:
    assert build_augmentations(TrialConfig()) == []


def test_a_chain_takes_its_parts_in_order_each_with_its_own_hyperparameters() -> None:
    values = {"augmentation": "mixup+freq_mixstyle", "mixup.alpha": 0.5, "freq_mixstyle.alpha": 0.7, "probability": 1.0}
    first, second = build_augmentations(TrialConfig.from_dict(values))
    assert (first.func, first.keywords) == (mixup, {"alpha": 0.5})  # type: ignore[attr-defined]
    assert second.func is freq_mixstyle  # type: ignore[attr-defined]
    assert second.keywords["alpha"] == 0.7  # type: ignore[attr-defined]


# --- unknown labels ---


@every_augmentation
def test_unknown_labels_stay_unknown_and_change_nothing_else(name: str) -> None:
    """A label is unknown after mixing where it would depend on one that is; which one decides no other number."""
    config = configured(name)
    network = build_network(config, config.front_end.columns, 3).train()
    for seed in range(6):
        x, y = batch(config, seed=seed)
        partly = torch.where(torch.rand(y.shape, generator=torch.Generator().manual_seed(seed)) < 0.3, torch.nan, y)
        found = []
        for targets in (y, partly, torch.where(partly.isnan(), 1 - y, y)):
            (step,) = build_augmentations(config, network)
            found.append(step(x, targets, np.random.default_rng(seed)))
        (features, labels), (same, masked), (_, flipped) = found
        assert torch.equal(features, same)
        known = ~masked.isnan()
        assert torch.equal(labels[known], masked[known])
        assert torch.equal(labels[known], flipped[known])
        assert known.any()
        assert not known.all()


def test_a_clip_that_is_not_heard_hides_no_label() -> None:
    y, partner = torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), torch.tensor([1, 0])
    for weight, wanted in ((1.0, y), (0.0, y[partner]), (0.5, [[0.5, torch.nan], [0.5, torch.nan]])):
        for given_weight in (weight, torch.tensor([weight, weight])):
            np.testing.assert_array_equal(blend_targets(y, partner, given_weight), wanted)
    np.testing.assert_array_equal(
        blend_targets(y, partner, torch.tensor([1.0, 0.5])), [[1, torch.nan], [0.5, torch.nan]]
    )
