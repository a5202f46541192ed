"""TrialConfig, flat outside, and the declarations of networks and augmentations that it sorts names to."""

import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.hyperparameters import another

from audiotag.augment.noises import NO_CLIP
from audiotag.augment.variants import Variants
from audiotag.config import (
    TrialConfig,
    augmentation,
    augmentation_names,
    hyperparameter_names,
    network,
    network_names,
)
from audiotag.corpus.splits import FoldSplit
from audiotag.features.log_mel import LogMel
from audiotag.models import backend
from audiotag.training.fit import fit, start_fit

WHOLE = ("batch_size", "max_epochs", "patience", "gru_units", "gru_layers")
TINY = TrialConfig(learning_rate=1e-2, batch_size=4, max_epochs=2, gru_units=2)


# Of the training's own hyperparameters: the values beside it, its value, another one, and where the change shows
CHANGES: dict[str, tuple[dict[str, Any], Any, Any, str]] = {
    "schedule": ({"augmentation": "sample_pairing"}, "always", "intermittent", "weights"),
    "learning_rate": ({}, 1e-2, 2e-2, "weights"),
    "batch_size": ({}, 4, 3, "weights"),
    "max_epochs": ({}, 2, 3, "epochs"),
    "patience": ({"max_epochs": 30}, 1, 2, "epochs"),
    "optimizer": ({}, "adam", "sgd", "weights"),
    "loss": ({}, "bce", "cross_entropy", "weights"),
    "sampling": ({}, "uniform", "balanced", "weights"),
    "precision": ({}, "fp32", "bf16", "weights"),
    "variant_probability": ({"augmentation": "pitch_shift"}, 0.3, 0.6, "weights"),
}
PAIRS = [  # those that go together
    (model, name)
    for model in network_names()
    for name in augmentation_names()
    if network(model).mixing_layers or not augmentation(name).takes_network
]
CHOSEN = [({"model": model}, name) for model in network_names() for name in network(model).parameters]
WITH = {"direction": {"target": "first"}}  # the values beside another one
CHOSEN += [
    ({"augmentation": kind}, name)
    for kind in augmentation_names()
    for name in augmentation(kind).parameters
    if not augmentation(kind).of_waveforms
]
# those that a waveform's variants depend on, and with these the weights: tests/augment/test_variants.py
OF_VARIANTS = {"semitones", "rates", "low_weight", "high_weight", "presets", "variants", "recordings"}


def tiny(**values: Any) -> TrialConfig:
    """A small configuration of any network."""
    small = {"gru_units": 2, "pretrain_epochs": 1}
    own = network(values.get("model", "crnn")).parameters
    shared = {"learning_rate": 1e-2, "batch_size": 4, "max_epochs": 2}
    return TrialConfig.from_dict(shared | {name: small[name] for name in small if name in own} | values)


def observed(config: TrialConfig) -> dict[str, Any]:
    """What a tiny fold shows of its configuration. The validation clips contradict the training, which stops early."""
    features = np.random.default_rng(0).normal(size=(8, 6, config.front_end.columns)).astype(np.float32)
    targets = np.random.default_rng(1).integers(0, 2, (8, 2)).astype(np.float32)
    features, targets = np.concatenate([features, features]), np.concatenate([targets, 1 - targets])
    split = FoldSplit(np.arange(8), np.arange(8, 16), np.arange(8, 16))
    state = start_fit(config, features, 2, split.train, seed=0, fold=0, device="cpu")
    others = np.random.default_rng(2).normal(size=(8, config.get("variants") or 0, 6, features.shape[2]))
    variants = Variants(others.astype(np.float32), np.arange(8), np.full(others.shape[:2], NO_CLIP))
    results = list(fit(state, config, features, targets, split, seed=0, fold=0, device="cpu", variants=variants))
    weights = torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])
    return {"epochs": len(results), "weights": weights.tolist()}


# --- reference ---


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("crnn", {"dropout": 0.1, "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 44, "gru_layers": 1}),
        ("dae_dnn", {"dropout": 0.2, "optimizer": "sgd", "learning_rate": 5e-3, "batch_size": 100}),
        ("cgrnn", {"dropout": 0.2, "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 100, "gru_layers": 3}),
        ("att_loc", {"dropout": 0.2, "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 100, "gru_layers": 3}),
    ],
)
def test_defaults_of_the_networks(model: str, expected: dict[str, Any]) -> None:
    values = TrialConfig(model=model).to_dict()
    assert {name: values[name] for name in expected} == expected
    assert values.get("pretrain_epochs") == (100 if model == "dae_dnn" else None)
    assert values.get("gru_units") == (None if model == "dae_dnn" else 128)
    assert (values["augmentation"], values["patience"], values["max_epochs"]) == ("none", 20, 200)


def test_front_ends_of_the_networks() -> None:
    assert TrialConfig().front_end == LogMel()
    assert TrialConfig(model="dae_dnn").front_end == LogMel(n_fft=320, hop_length=160, n_mels=40)
    magnitudes = LogMel(n_fft=512, hop_length=256, n_mels=40, power=1.0, unit_peaks=True)
    for model in ("cgrnn", "att_loc"):
        assert TrialConfig(model=model).front_end == magnitudes
        assert TrialConfig(model=model, imd=True).front_end == replace(magnitudes, imd=True)


# --- property ---


@pytest.mark.parametrize("name", CHANGES)
def test_each_hyperparameter_of_the_training_changes_something(name: str) -> None:
    beside, value, other, shows_in = CHANGES[name]
    before = observed(tiny(**beside, **{name: value}))
    assert observed(tiny(**beside, **{name: value}))[shows_in] == before[shows_in]  # the difference is not chance
    assert observed(tiny(**beside, **{name: other}))[shows_in] != before[shows_in]


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "name"), CHOSEN)
def test_each_hyperparameter_of_a_network_or_an_augmentation_changes_the_weights(
    chosen: dict[str, str], name: str
) -> None:
    if name == "convolution" and not backend.LANES:
        pytest.skip("audiotag's loops are not compiled: there is one convolution")
    config = tiny(**chosen, **WITH.get(name, {}))
    other = another(config, name)
    assert observed(replace(config, **{name: other}))["weights"] != observed(config)["weights"]


def test_each_hyperparameter_has_its_case() -> None:
    cases = {*CHANGES, *(name for _, name in CHOSEN), *OF_VARIANTS, "model", "augmentation"}
    elsewhere = {"cuda_graphs", "crop_seconds", "window_scores"}  # tests/training/test_recorded.py, test_windows.py
    assert cases | elsewhere == set(hyperparameter_names())


@pytest.mark.slow
def test_each_augmentation_trains_other_weights() -> None:
    seen = []
    strengths = {"alpha": 1.0, "probability": 1.0}
    for name in augmentation_names():
        if augmentation(name).of_waveforms:
            continue  # what they change is given as variants
        own = {key: value for key, value in strengths.items() if key in augmentation(name).parameters}
        own |= {"domain": "power"} if name == "mix" else {}  # in log-mels it is mixup
        seen.append(observed(tiny(augmentation=name, **own))["weights"])
    assert all(first != second for place, first in enumerate(seen) for second in seen[:place])


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_a_configuration_survives_json_and_pickle(model: str, name: str) -> None:
    config = TrialConfig(model=model, augmentation=name, batch_size=12)
    values = config.to_dict()
    assert all(type(value) in (str, bool, int, float) for value in values.values())
    for again in (TrialConfig.from_dict(json.loads(json.dumps(values))), pickle.loads(pickle.dumps(config))):
        assert again == config
        assert hash(again) == hash(config)
        assert list(again.to_dict()) == list(values)
    assert config != replace(config, dropout=0.9)


@pytest.mark.parametrize(("model", "name"), PAIRS)
def test_a_trial_has_what_its_network_and_its_augmentation_have(model: str, name: str) -> None:
    config = TrialConfig(model=model, augmentation=name)
    values = config.to_dict()
    training = {
        "model",
        "augmentation",
        "optimizer",
        "learning_rate",
        "batch_size",
        "loss",
        "sampling",
        "max_epochs",
        "patience",
    }
    declared = augmentation(name)
    shared = set() if name == "none" else {"schedule"}
    shared |= {"variants", "variant_probability"} if declared.of_waveforms else set()
    shared |= {"recordings"} if declared.takes_noise else set()
    own = {*network(model).parameters, *declared.parameters}
    assert set(values) == training | {"precision", "cuda_graphs", "crop_seconds", "window_scores"} | shared | own
    assert all(config.get(other) == getattr(config, other) == values[other] for other in values)
    assert all(config.get(other) is None for other in hyperparameter_names() if other not in values)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TINY.patience = 3  # type: ignore[misc]
    with pytest.raises(AttributeError, match="alpha"):
        TINY.alpha  # noqa: B018


@pytest.mark.parametrize("values", [{"alpha": 0.0}, {"imd": False, "pretrain_epochs": 0}, {"schedule": "always"}])
def test_values_that_say_nothing_of_a_trial_are_dropped(values: dict[str, Any]) -> None:
    """Earlier versions wrote them, and users' spaces set them."""
    assert TrialConfig.from_dict(values) == TrialConfig()


def test_half_has_no_lambda() -> None:
    config = TrialConfig(augmentation="mix", direction="half", target="first", alpha=0)
    assert {"alpha", "lambdas", "dominant"}.isdisjoint({*config.to_dict(), *config.augmenting})
    assert config.get("alpha") is None
    assert replace(config, direction="interpolate").get("alpha") == TrialConfig(augmentation="mix").get("alpha")


def test_with_bf16_the_convolution_is_direct() -> None:
    assert TrialConfig(precision="bf16", convolution="winograd").convolution == "direct"


# --- degenerate ---


@pytest.mark.parametrize(
    "values",
    [
        {"augmentation": "mixup", "alpha": 0, "dropout": 0, "learning_rate": 1},
        {"augmentation": "mixup", "alpha": 1e6, "dropout": 0.999},
        {"batch_size": 1, "max_epochs": 1, "patience": 1, "gru_units": 1, "gru_layers": 1},
    ],
)
def test_values_at_the_edge(values: dict[str, Any]) -> None:
    config = TrialConfig.from_dict(values)
    assert {name: getattr(config, name) for name in values} == values


# --- malformed ---


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "CRNN"}, "of `model` is 'CRNN', but must be one of att_loc, .*crnn"),
        ({"model": ["crnn"]}, r"of `model` is \['crnn'\], but must be one of att_loc"),
        ({"augmentation": "Mixup"}, "of `augmentation` is 'Mixup', but must be one of none, .*mixup"),
        ({"optimizer": "adamw"}, "of `optimizer` is 'adamw', but must be one of adam, sgd"),
        ({"augmentation": "mixup", "schedule": "often"}, "of `schedule` is 'often', but must be one of always, interm"),
        ({"loss": "mse"}, "of `loss` is 'mse', but must be one of bce, cross_entropy"),
        ({"sampling": "weighted"}, "of `sampling` is 'weighted', but must be one of uniform, balanced"),
        ({"convolution": "fft"}, "of `convolution` is 'fft', but must be one of direct, winograd"),
        ({"model": "cgrnn", "imd": 1}, "of `imd` is 1, but must be True or False"),
        ({"imd": True}, "of `imd` is True, but `crnn` has no imd .*dropout"),
        ({"model": "dae_dnn", "gru_units": 8}, "of `gru_units` is 8, but `dae_dnn` has no gru_units .*: leave it out"),
        ({"model": "dae_dnn", "pretrain_epochs": 0}, "of `pretrain_epochs` is 0, but must be a whole number of at"),
        ({"schedule": "intermittent"}, "of `schedule` is 'intermittent', but `none` has no schedule: leave it out"),
        ({"augmentation": "sample_pairing", "alpha": 0.5}, "but `sample_pairing` has no alpha: leave it out"),
        ({"augmentation": "mix", "target": "hard"}, "of `target` is 'hard', but must be one of soft, first, union"),
        (
            {"augmentation": "mix", "direction": "extrapolate"},
            "of `target` is 'soft', but must be first where .*ext",
        ),
        (
            {"augmentation": "mix", "direction": "extrapolate", "target": "first", "domain": "power"},
            "of `domain` is 'power', but must be log_mel where `direction` is extrapolate",
        ),
        ({"augmentation": "mix", "direction": "half", "alpha": 1.5}, "of `alpha` .* there is no alpha where .*: leave"),
        ({"variants": 2}, "of `variants` is 2, but `none` has no variants: leave it out"),
        ({"augmentation": "mixup", "recordings": "a"}, "of `recordings` is 'a', but `mixup` has no recordings"),
        ({"augmentation": "pitch_shift", "recordings": "a"}, "but `pitch_shift` has no recordings .*semitones"),
        (
            {"augmentation": "pitch_shift", "variants": 0},
            "of `variants` is 0, but must be a whole number of at least 1",
        ),
        ({"augmentation": "background_noise", "low_weight": 1.5}, r"of `low_weight` is 1.5, but .* in \[0, 1\]"),
        ({"augmentation": "mixup+pitch_shift"}, "'mixup.pitch_shift', but pitch_shift changes waveforms: put it first"),
        ({"augmentation": "mix", "probability": 1.1}, r"of `probability` is 1.1, but must be a number in \[0, 1\]"),
    ],
)
def test_values_that_a_trial_cannot_have(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrialConfig.from_dict(values)


@pytest.mark.parametrize("key", ["Alpha", "gru_unit", "n_mels", ""])
def test_an_unknown_name(key: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown hyperparameter `{key}`: the hyperparameters are model, augm.*dropo"):
        TrialConfig.from_dict({"dropout": 0.2, key: 1})


@pytest.mark.parametrize(
    ("name", "requirement", "values"),
    [
        ("alpha", r"a number in \[0, inf\)", [-0.1, math.inf, math.nan, "1", None, True]),
        ("dropout", r"a number in \[0, 1\)", [-0.1, 1, 1.5, math.nan, "0.1", None, False]),
        ("learning_rate", "a positive number", [0, -1e-3, math.inf, math.nan, "1e-3", None, True]),
        *((name, "a whole number of at least 1", [0, -1, 1.0, 2.5, math.nan, "4", None, True]) for name in WHOLE),
    ],
)
def test_values_out_of_range(name: str, requirement: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=rf"The value of `{name}` is {value!r}, but must be {requirement}"):
            TrialConfig.from_dict({"augmentation": "mixup", name: value})


# --- chains ---


def test_a_chain_has_the_hyperparameters_of_each_part_and_qualifies_those_that_two_have() -> None:
    config = TrialConfig.from_dict({"augmentation": "mixup+spec_augment+freq_mixstyle", "mixup.alpha": 1.5, "masks": 2})
    own = {**augmentation("spec_augment").parameters, "masks": 2, "mixup.alpha": 1.5, "freq_mixstyle.alpha": 0.3}
    assert {name: config.get(name) for name in own} == own
    assert "alpha" not in config.to_dict()
    assert TrialConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert pickle.loads(pickle.dumps(config)) == config
    alone = TrialConfig(augmentation="mixup+spec_augment", alpha=1.5)
    assert alone.get("alpha") == 1.5
    assert hyperparameter_names() == hyperparameter_names()  # a chain adds no names


def test_restrictions_hold_in_a_chain() -> None:
    values = {"augmentation": "mix+mixup", "mix.alpha": 1.0, "direction": "half"}
    with pytest.raises(ValueError, match=r"`mix.alpha` is 1.0, but there is no mix.alpha where `direction`"):
        TrialConfig.from_dict(values)
    del values["mix.alpha"]
    config = TrialConfig.from_dict(values)
    assert "mix.alpha" not in config.to_dict()
    assert config.get("mixup.alpha") == 0.0


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"augmentation": "mixup+mixup"}, r"'mixup\+mixup', but a chain has no `none`, and none twice"),
        ({"augmentation": "none+mixup"}, "a chain has no `none`"),
        ({"augmentation": "mixup+"}, r"The value of `augmentation` is '', but must be one of none, .*mixup"),
        ({"augmentation": "mixup+mixupp"}, "'mixupp', but must be one of"),
        (
            {"augmentation": "mixup+freq_mixstyle", "alpha": 1.5},
            r"has no alpha \(it has mixup.alpha, freq_",
        ),
        ({"augmentation": "mixup+spec_augment", "mixup.alpha": 1.5}, r"has no mixup.alpha \(it has alpha"),
        ({"augmentation": "mixup", "mixup.alpha": 1.5}, "has no mixup.alpha"),
        (
            {"augmentation": "mixup+freq_mixstyle", "mixup.alpha": -1.0},
            r"`mixup.alpha` is -1.0, but must be a",
        ),
        ({"augmentation": 5}, "The value of `augmentation` is 5, but must be one of"),
        ({"model": ["crnn"]}, r"The value of `model` is \['crnn'\], but must be one of"),
    ],
)
def test_a_chain_that_is_none_is_one_line(values: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TrialConfig.from_dict(values)
