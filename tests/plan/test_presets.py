"""The hyperparameters that a study sets for each of its networks."""

from typing import Any

import pytest

from audiotag.config import TrialConfig, network, network_names
from audiotag.models import backend
from study.plan import preflight
from study.plan.presets import preset_settings
from study.plan.request import Request


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, whose CPU runs the compiled convolution."""
    monkeypatch.setattr(preflight, "has_cards", lambda: False)
    monkeypatch.setattr(backend, "LANES", 8)


def of(model: str, quick: bool = False, **options: Any) -> dict[str, Any]:
    return preset_settings({model}, quick, Request(**options))[model]


@pytest.mark.parametrize("model", network_names())
def test_on_the_synthetic_corpus_each_network_has_its_short_budget(model: str) -> None:
    values = of(model, quick=True)
    quick = network(model).quick
    assert {name: value for name, value in values.items() if name != "convolution"} == quick
    assert TrialConfig.from_dict({"model": model, **values}).max_epochs == quick["max_epochs"] < 10


def test_epochs_bound_the_pretraining_too() -> None:
    assert of("dae_dnn") == {}
    assert of("dae_dnn", epochs=7) == {"max_epochs": 7, "pretrain_epochs": 7}
    assert of("dae_dnn", epochs=500) == {"max_epochs": 500, "pretrain_epochs": 100}
    assert of("dae_dnn", quick=True, epochs=9)["pretrain_epochs"] == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"convolution": "winograd"}),
        ({"cpus_per_trial": 2}, {"convolution": "winograd"}),
        ({"cpus_per_trial": 3}, {}),
        ({"gpus_per_trial": 0.25}, {}),
        ({"gpus_per_trial": 0.0}, {"convolution": "winograd"}),
        ({"address": "auto"}, {}),
        ({"precision": "fp32"}, {"precision": "fp32", "convolution": "winograd"}),
        ({"precision": "bf16"}, {"precision": "bf16"}),
    ],
)
def test_the_convolution_is_chosen_when_the_study_is_made(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert of("crnn", **options) == expected
    assert "convolution" not in of("att_loc", **options)


def test_a_machine_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "LANES", 0)
    assert of("crnn") == {}
    monkeypatch.setattr(backend, "LANES", 8)
    monkeypatch.setattr(preflight, "has_cards", lambda: True)
    assert of("crnn") == {}
