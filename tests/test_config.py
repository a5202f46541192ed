import json
import math
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from audiotag.config import AUGMENTATIONS, MODELS, TrialConfig
from audiotag.corpus.splits import FoldSplit
from audiotag.models.build import front_end
from audiotag.training.fit import fit, start_fit

NAMES = [field.name for field in fields(TrialConfig)]
WHOLE = ("batch_size", "max_epochs", "patience", "gru_units", "gru_layers")
TINY = TrialConfig(learning_rate=1e-2, batch_size=4, max_epochs=2, gru_units=2)


@dataclass(frozen=True)
class Change:
    """A field's change of value and what one must see of it: the state "before" and "after" it."""

    sees: str  # a key of `observed`
    after: dict[str, Any]
    before: Any = ()


DAE_DNN = {"model": "dae_dnn", "gru_units": 0, "gru_layers": 0, "pretrain_epochs": 1}
# Every field has its case: a field without one fails.
CHANGES = {
    "model": Change("parameters", {"model": "att_loc"}, {"model": "cgrnn"}),
    "imd": Change("parameters", {"imd": True}, {"model": "cgrnn"}),
    "schedule": Change("weights", {"schedule": "intermittent"}, {"augmentation": "sample_pairing"}),
    "augmentation": Change("weights", {"augmentation": "sample_pairing"}),
    "alpha": Change("weights", {"alpha": 2.0}, {"augmentation": "mixup", "alpha": 0.5}),
    "dropout": Change("weights", {"dropout": 0.5}),
    "learning_rate": Change("weights", {"learning_rate": 2e-2}),
    "batch_size": Change("weights", {"batch_size": 3}),
    "max_epochs": Change("epochs", {"max_epochs": 3}),
    "patience": Change("epochs", {"patience": 2}, {"patience": 1, "max_epochs": 30}),
    "gru_units": Change("parameters", {"gru_units": 3}),
    "gru_layers": Change("parameters", {"gru_layers": 2}),
    "optimizer": Change("weights", {"optimizer": "sgd"}),
    "pretrain_epochs": Change("weights", {"pretrain_epochs": 2}, DAE_DNN),
    "precision": Change("weights", {"precision": "bf16"}),
}


def observed(config: TrialConfig) -> dict[str, Any]:
    """What a tiny fold shows of its configuration. The validation clips contradict the training, which stops early."""
    columns = front_end(config).columns if config.model in ("cgrnn", "att_loc") else 4
    features = np.random.default_rng(0).normal(size=(8, 6, columns)).astype(np.float32)
    targets = np.random.default_rng(1).integers(0, 2, (8, 2)).astype(np.float32)
    features, targets = np.concatenate([features, features]), np.concatenate([targets, 1 - targets])
    split = FoldSplit(np.arange(8), np.arange(8, 16), np.arange(8, 16))
    state = start_fit(config, features, 2, split.train, seed=0, fold=0, device="cpu")
    results = list(fit(state, config, features, targets, split, seed=0, fold=0, device="cpu"))
    parameters = list(state.model.parameters())
    return {
        "epochs": len(results),
        "parameters": sum(parameter.numel() for parameter in parameters),
        "weights": torch.cat([parameter.detach().flatten() for parameter in parameters]).tolist(),
    }


# --- reference ---


def test_the_defaults_of_the_paper() -> None:
    config = TrialConfig()
    assert (config.batch_size, config.patience, config.dropout) == (44, 20, 0.1)
    assert (config.augmentation, config.alpha) == ("none", 0.0)


# --- property ---


@pytest.mark.parametrize("name", NAMES)
def test_each_field_changes_something_that_can_be_observed(name: str) -> None:
    assert name in CHANGES, f"the new field `{name}` needs a case here: what does it change that one can see?"
    change = CHANGES[name]
    config = replace(TINY, **dict(change.before))
    changed = replace(config, **change.after)
    assert [other for other in NAMES if getattr(config, other) != getattr(changed, other)] == [name]
    before = observed(config)
    assert observed(config)[change.sees] == before[change.sees]  # what differs is not chance
    assert observed(changed)[change.sees] != before[change.sees]


def test_no_case_is_left_over() -> None:
    assert set(CHANGES) == set(NAMES)


def test_each_augmentation_trains_other_weights() -> None:
    seen = []
    for augmentation in AUGMENTATIONS:
        alpha = 0.0 if augmentation in ("none", "sample_pairing") else 1.0
        seen.append(observed(replace(TINY, augmentation=augmentation, alpha=alpha))["weights"])
    assert all(first != second for place, first in enumerate(seen) for second in seen[:place])


@pytest.mark.parametrize("augmentation", ["mixup", "mixup_lp", "extrapolation"])
def test_an_alpha_of_0_is_no_augmentation(augmentation: str) -> None:
    assert observed(replace(TINY, augmentation=augmentation)) == observed(TINY)


@pytest.mark.parametrize(("max_epochs", "patience", "epochs"), [(1, 9, 1), (4, 9, 4), (30, 1, 2), (30, 3, 4)])
def test_the_number_of_epochs(max_epochs: int, patience: int, epochs: int) -> None:
    config = replace(TINY, max_epochs=max_epochs, patience=patience)
    assert observed(config)["epochs"] == epochs


def test_the_round_trip_through_json() -> None:
    config = TrialConfig(
        "cgrnn", True, "extrapolation", 1.5, "intermittent", 0.25, "sgd", 3e-4, 12, 7, 3, 64, 2, precision="bf16"
    )
    assert TrialConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert list(config.to_dict()) == NAMES
    assert TrialConfig.from_dict({}) == TrialConfig()
    same = [name for name in NAMES if getattr(config, name) == getattr(TrialConfig(), name)]
    assert same == ["pretrain_epochs"]  # which the model does not have


@pytest.mark.parametrize("model", MODELS)
def test_what_is_left_out_is_the_models_own(model: str) -> None:
    config = TrialConfig(model=model)
    assert TrialConfig.from_dict({"model": model}) == config
    assert TrialConfig.from_dict(config.to_dict()) == config
    expected = {"crnn": (0.1, 44, 128, 0), "dae_dnn": (0.2, 100, 0, 100)}.get(model, (0.2, 100, 128, 0))
    assert (config.dropout, config.batch_size, config.gru_units, config.pretrain_epochs) == expected
    assert all(value is not None and type(value) in (str, bool, int, float) for value in config.to_dict().values())


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'alpha'"):
        TINY.alpha = 1.0  # type: ignore[misc]


# --- degenerate ---


@pytest.mark.parametrize(
    "values",
    [
        {"augmentation": "mixup", "alpha": 0},
        {"augmentation": "mixup", "alpha": 1e6},
        {"dropout": 0},
        {"dropout": 0.999},
        {"learning_rate": 1},
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
        ({"model": "CRNN"}, "of `model` is 'CRNN', but must be one of crnn, dae_dnn, cgrnn, att_loc"),
        ({"model": ["crnn"]}, r"of `model` is \['crnn'\], but must be one of crnn"),
        ({"optimizer": "adamw"}, "of `optimizer` is 'adamw', but must be one of adam, sgd"),
        ({"augmentation": "mixup", "schedule": "often"}, "of `schedule` is 'often', but must be one of always, interm"),
        ({"model": "cgrnn", "imd": 1}, "of `imd` is 1, but must be True or False"),
        ({"imd": True}, "of `imd` is True, but 'crnn' has no imd: leave it out"),
        ({"model": "dae_dnn", "imd": True}, "of `imd` is True, but 'dae_dnn' has no imd"),
        ({"model": "dae_dnn", "gru_units": 8}, "of `gru_units` is 8, but 'dae_dnn' has no gru_units: leave it out"),
        ({"pretrain_epochs": 5}, "of `pretrain_epochs` is 5, but 'crnn' has no pretrain_epochs"),
        ({"model": "dae_dnn", "pretrain_epochs": 0}, "of `pretrain_epochs` is 0, but must be a whole number of at"),
        ({"schedule": "intermittent"}, "of `schedule` is 'intermittent', but 'none' has no schedule: leave it out"),
    ],
)
def test_choices_and_what_a_model_does_not_have(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrialConfig.from_dict(values)


@pytest.mark.parametrize("key", ["Alpha", "mixup_alpha", "n_mels", "seed", ""])
def test_an_unknown_key(key: str) -> None:
    message = (
        f"Unknown hyperparameter `{key}`: the hyperparameters are model, imd, augmentation, alpha, .*, pretrain_epochs"
    )
    with pytest.raises(ValueError, match=message):
        TrialConfig.from_dict({"dropout": 0.2, key: 1})


@pytest.mark.parametrize("value", ["Mixup", "", None, 1])
def test_an_augmentation_that_is_none(value: Any) -> None:
    message = f"of `augmentation` is {value!r}, but must be one of none, mixup, sample_pairing, mixup_lp, extrapolation"
    with pytest.raises(ValueError, match=message):
        TrialConfig.from_dict({"augmentation": value})


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


@pytest.mark.parametrize("augmentation", ["none", "sample_pairing"])
def test_an_alpha_for_an_augmentation_without_one(augmentation: str) -> None:
    with pytest.raises(ValueError, match=f"of `alpha` is 0.5, but '{augmentation}' has no alpha: leave it out"):
        TrialConfig(augmentation=augmentation, alpha=0.5)
