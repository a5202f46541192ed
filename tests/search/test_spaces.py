"""The search spaces and what is found out about them before training."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

import search_spaces
from audiotag.config import TrialConfig
from search_spaces import Space, SpaceError, load_space, space_names
from study.search.space import FINITE, check_space, combinations, configurations, listed, ranges


def space(define: Any, sampler: str = "exhaustive") -> Space:
    return Space("made_up", "Why?", define, sampler, 5, "0")


# reference


def test_mixup_alpha_has_the_papers_values_in_order() -> None:
    assert combinations(load_space("mixup_alpha")) == [{"alpha": a} for a in (0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 5.0)]
    assert {row["augmentation"] for row in configurations(load_space("mixup_alpha"))} == {"mixup"}


def test_augmentation_compares_all_with_none() -> None:
    rows = [(row["augmentation"], row["alpha"]) for row in configurations(load_space("augmentation"))]
    assert rows == [
        ("none", 0.0),
        ("mixup", 1.5),
        ("sample_pairing", 0.0),
        ("mixup_lp", 1.5),
        ("extrapolation", 1.5),
    ]


def test_dropout_is_asked_with_and_without_mixup() -> None:
    rows = configurations(load_space("dropout"))
    assert len(rows) == 10
    assert {(row["augmentation"], row["alpha"]) for row in rows} == {("none", 0.0), ("mixup", 1.5)}
    assert [row["dropout"] for row in rows[:5]] == [row["dropout"] for row in rows[5:]] == [0.0, 0.1, 0.2, 0.3, 0.5]


def test_joint_has_alpha_only_where_it_means_something() -> None:
    rows = configurations(load_space("joint"))
    assert {row["augmentation"] for row in rows} == {"none", "mixup", "sample_pairing", "mixup_lp", "extrapolation"}
    for row in rows:
        assert ("alpha" in row) == (row["augmentation"] in ("mixup", "mixup_lp", "extrapolation"))


def test_ranges_are_those_of_the_numbers_of_a_sampled_space() -> None:
    assert ranges(load_space("joint")) == {
        "alpha": {"low": 0.1, "high": 5.0, "log": True},
        "dropout": {"low": 0.0, "high": 0.5, "log": False},
    }
    assert ranges(load_space("mixup_alpha")) == {}


# property


@pytest.mark.parametrize("name", space_names())
def test_every_space_asks_and_sets_hyperparameters(name: str) -> None:
    loaded = load_space(name)
    assert loaded.question.splitlines()[0].endswith("?")
    names = check_space(loaded, {})
    assert names
    assert set(names) <= set(TrialConfig.__dataclass_fields__)
    assert len({tuple(sorted(row.items())) for row in configurations(loaded)}) == len(configurations(loaded))


def test_conditional_parameters_are_enumerated_in_order() -> None:
    def define(trial: Any) -> None:
        if trial.suggest_categorical("augmentation", ["none", "mixup"]) == "mixup":
            trial.suggest_categorical("alpha", [2.0, 1.0])

    assert combinations(space(define)) == [
        {"augmentation": "none"},
        {"augmentation": "mixup", "alpha": 2.0},
        {"augmentation": "mixup", "alpha": 1.0},
    ]


@pytest.mark.parametrize("sampler", search_spaces.SAMPLERS)
def test_a_space_with_an_end_is_known_to_have_one_whatever_samples_it(sampler: str) -> None:
    loaded = load_space("mixup_alpha")
    assert listed(replace(loaded, sampler=sampler)) == combinations(loaded)


def test_a_space_with_a_range_or_with_very_many_values_has_no_end() -> None:
    many = range(FINITE + 1)
    assert listed(load_space("joint")) is None
    assert listed(space(lambda trial: trial.suggest_categorical("seed", many) and None, "tpe")) is None
    assert len(listed(space(lambda trial: trial.suggest_categorical("seed", many[1:]) and None, "tpe")) or []) == FINITE


# malformed


def test_unknown_name_tells_the_near_ones() -> None:
    with pytest.raises(SpaceError, match=r"Unknown space `mixup_alfa`: did you mean mixup_alpha"):
        load_space("mixup_alfa")
    with pytest.raises(SpaceError, match=r"the spaces are augmentation, dropout, joint, mixup_alpha, stereo, table1"):
        load_space("zzz")


@pytest.mark.parametrize("name", ["../run", "__init__", "", "mixup_alpha.py"])
def test_only_names_of_spaces_are_loaded(name: str) -> None:
    with pytest.raises(SpaceError, match="Unknown space"):
        load_space(name)


def test_misspelt_baseline_is_told() -> None:
    made_up = Space("made_up", "Why?", lambda trial: trial.suggest_categorical("alpha", [1.0]), "exhaustive", 5, "0")
    with pytest.raises(SpaceError, match=r"has BASELINE with `dropuot`, but the names are .*dropout"):
        check_space(replace(made_up, baseline={"dropuot": 0.1}), {})


def test_misspelt_hyperparameter_is_told() -> None:
    with pytest.raises(SpaceError, match=r"Unknown hyperparameter `dropuot`: the hyperparameters are .*dropout"):
        check_space(space(lambda trial: {"dropuot": trial.suggest_categorical("alpha", [1.0])}), {})


def test_value_out_of_range_is_told() -> None:
    with pytest.raises(SpaceError, match=r"`dropout` is 1.5, but must be"):
        check_space(space(lambda trial: trial.suggest_categorical("dropout", [0.1, 1.5]) and None), {})


def test_a_function_that_cannot_be_run_is_told() -> None:
    with pytest.raises(SpaceError, match=r"define of the space `made_up` cannot be run: .*sugest_float"):
        check_space(space(lambda trial: trial.sugest_float("dropout", 0, 1)), {})


def test_range_without_steps_is_not_exhaustive() -> None:
    with pytest.raises(SpaceError, match="exhaustively, because there is no list of values of dropout: choose"):
        combinations(space(lambda trial: trial.suggest_float("dropout", 0.0, 0.5) and None))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"__doc__": ""}, "must have a docstring"),
        ({"define": None}, "a function `define"),
        ({"SAMPLER": "magic"}, "has SAMPLER 'magic', but must have one of"),
        ({"SAMPLER": "tpe", "TRIALS": 0}, "has TRIALS 0, but must have a number above 0"),
        ({"BASELINE": "none"}, "has BASELINE 'none', but must have hyperparameters with values"),
        ({"BASELINE": {}}, "has BASELINE {}, but must have"),
    ],
)
def test_incomplete_space_file(change: dict[str, Any], match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("search_spaces.made_up", "Why?")
    module.__dict__.update({"define": lambda trial: None, "__file__": __file__, **change})
    monkeypatch.setattr(search_spaces, "space_names", lambda: ["made_up"])
    monkeypatch.setattr(search_spaces.importlib, "import_module", lambda name: module)
    with pytest.raises(SpaceError, match=match):
        load_space("made_up")
