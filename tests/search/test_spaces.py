"""The search spaces, and the scan of them before training."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

import search_spaces
from audiotag.config import TrialConfig
from search_spaces import Space, SpaceError, load_space, space_names
from study.search.space import MOST, check_space, scan_space, trials_in_words


def space(define: Any, sampler: str = "exhaustive", **more: Any) -> Space:
    return Space("made_up", "Why?", define, sampler, 5, "0", **more)


def parameters_of(name: str) -> list[dict[str, Any]]:
    return scan_space(load_space(name)).parameters


# reference


def test_mixup_alpha_has_the_papers_values_in_order() -> None:
    scan = scan_space(load_space("mixup_alpha"))
    assert scan.combinations == [{"alpha": a} for a in (0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 5.0)]
    assert {row["augmentation"] for row in scan.parameters} == {"mixup"}
    assert scan.models == ["crnn"]


def grid(trial: Any) -> None:
    trial.suggest_categorical("alpha", [0.0, 1.0, 2.0])
    trial.suggest_categorical("dropout", [0.0, 0.5])


def line(trial: Any) -> None:
    trial.suggest_float("alpha", 0.0, 1.0)


@pytest.mark.parametrize(
    ("define", "sampler", "trials", "words"),
    [
        (grid, "exhaustive", None, "6 trials: alpha, dropout"),
        (grid, "tpe", 4, "4 of 6 trials, sampled by tpe: alpha, dropout"),
        (grid, "gp", 9, "6 of 6 trials, sampled by gp: alpha, dropout"),
        (grid, "random", None, "6 trials, sampled by random: alpha, dropout"),
        (line, "tpe", 1, "1 trial, sampled by tpe: alpha"),
        (line, "qmc", None, "as many trials as --trials says, sampled by qmc: alpha"),
        (lambda trial: None, "exhaustive", None, "1 trial"),
    ],
)
def test_trials_in_words(define: Any, sampler: str, trials: int | None, words: str) -> None:
    assert trials_in_words(scan_space(replace(space(define, sampler), trials=trials))) == words


def test_augmentation_compares_all_with_none() -> None:
    rows = [(row["augmentation"], row.get("alpha")) for row in parameters_of("augmentation")]
    assert rows == [
        ("none", None),
        ("mixup", 1.5),
        ("sample_pairing", None),
        ("mixup_lp", 1.5),
        ("extrapolation", 1.5),
    ]


def test_dropout_is_asked_with_and_without_mixup() -> None:
    rows = [(row["augmentation"], row.get("alpha"), row["dropout"]) for row in parameters_of("dropout")]
    kinds = [("none", None), ("mixup", 1.5)]
    assert rows == [(*kind, dropout) for kind in kinds for dropout in (0.0, 0.1, 0.2, 0.3, 0.5)]


def test_joint_has_alpha_only_where_the_augmentation_has_it() -> None:
    rows = parameters_of("joint")
    assert {row["augmentation"] for row in rows} == {"none", "mixup", "sample_pairing", "mixup_lp", "extrapolation"}
    for row in rows:
        assert ("alpha" in row) == (row["augmentation"] in ("mixup", "mixup_lp", "extrapolation"))


def test_targets_are_compared_with_none_at_one_alpha() -> None:
    rows = [(row["augmentation"], row.get("target"), row.get("alpha")) for row in parameters_of("targets")]
    assert rows == [("none", None, None), ("mix", "soft", 1.5), ("mix", "first", 1.5), ("mix", "union", 1.5)]


def test_mixing_has_every_point_of_the_family_once() -> None:
    scan = scan_space(load_space("mixing"))
    configs = {TrialConfig.from_dict(row) for row in scan.parameters}
    assert len(configs) == len(scan.parameters) == 1 + 9 + 4 * (4 * 9 + 4)  # none, half, alphas of the others
    points = {(c.get("direction"), c.get("target"), c.get("domain")) for c in configs}
    assert len(points) == 1 + 9 + 9 + 1


def test_only_a_sampled_space_has_ranges() -> None:
    assert scan_space(load_space("joint")).ranges == {
        "alpha": {"low": 0.1, "high": 5.0, "log": True},
        "dropout": {"low": 0.0, "high": 0.5, "log": False},
    }
    assert scan_space(load_space("mixup_alpha")).ranges == {}


# property


@pytest.mark.parametrize("name", space_names())
def test_every_space_asks_a_question_and_sets_hyperparameters_without_repeats(name: str) -> None:
    scan = scan_space(load_space(name))
    assert scan.space.question.splitlines()[0].endswith("?")
    names = check_space(scan, {})
    assert names
    assert set(names) == {name for parameters in scan.parameters for name in parameters}
    assert len({tuple(sorted(row.items())) for row in scan.parameters}) == len(scan.parameters)


def test_conditional_parameters_are_enumerated_in_order() -> None:
    def define(trial: Any) -> None:
        if trial.suggest_categorical("augmentation", ["none", "mixup"]) == "mixup":
            trial.suggest_categorical("alpha", [2.0, 1.0])

    assert scan_space(space(define)).combinations == [
        {"augmentation": "none"},
        {"augmentation": "mixup", "alpha": 2.0},
        {"augmentation": "mixup", "alpha": 1.0},
    ]


@pytest.mark.parametrize("sampler", search_spaces.SAMPLERS)
def test_a_space_with_an_end_is_known_to_have_one_whatever_samples_it(sampler: str) -> None:
    loaded = load_space("mixup_alpha")
    found = scan_space(replace(loaded, sampler=sampler))
    assert (found.combinations, found.parameters) == (scan_space(loaded).combinations, parameters_of("mixup_alpha"))


def test_a_sampled_space_with_a_range_or_with_very_many_values_has_no_end() -> None:
    assert scan_space(load_space("joint")).combinations is None
    assert scan_space(space(lambda trial: {"seed": trial.suggest_int("seed", 0, MOST)}, "tpe")).combinations is None
    finite = scan_space(space(lambda trial: {"seed": trial.suggest_int("seed", 1, MOST)}, "tpe")).combinations
    assert finite == [{"seed": number} for number in range(1, MOST + 1)]


# degenerate


def test_a_space_that_suggests_nothing_has_one_combination() -> None:
    scan = scan_space(space(lambda trial: {"alpha": 1.0}))
    assert (scan.combinations, scan.parameters) == ([{}], [{"alpha": 1.0}])


# malformed


def test_an_unknown_name_lists_similar_ones() -> None:
    with pytest.raises(SpaceError, match=r"Unknown space `mixup_alfa`: did you mean mixup_alpha"):
        load_space("mixup_alfa")
    with pytest.raises(SpaceError, match=f"the spaces are {', '.join(space_names())}"):
        load_space("zzz")


@pytest.mark.parametrize("name", ["__init__", "", "mixup_alpha.txt"])
def test_only_names_of_spaces_are_loaded(name: str) -> None:
    with pytest.raises(SpaceError, match="Unknown space"):
        load_space(name)


@pytest.mark.parametrize(
    ("define", "more", "match"),
    [
        (lambda trial: {"alpha": 1.0}, {"baseline": {"dropuot": 0.1}}, "BASELINE with `dropuot`, .* are .*dropout"),
        (lambda trial: {"dropuot": 0.1}, {}, "Unknown hyperparameter `dropuot`: .* are .*dropout"),
        (lambda trial: {"dropout": trial.suggest_categorical("dropout", [0.1, 1.5])}, {}, "`dropout` is 1.5, but must"),
        (lambda trial: trial.sugest_float("dropout", 0, 1), {}, "define of the space `made_up` .*sugest_float"),
        (lambda trial: {"dropout": trial.suggest_float("dropout", 0, 1)}, {}, "no list of values of dropout"),
    ],
    ids=["baseline", "name", "value", "function", "endless"],
)
def test_mistakes_in_a_space_are_named(define: Any, more: dict[str, Any], match: str) -> None:
    with pytest.raises(SpaceError, match=match):
        check_space(scan_space(space(define, **more)), {})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"__doc__": ""}, "must have a docstring"),
        ({"define": None}, "a function `define"),
        ({"SAMPLER": "magic"}, "has SAMPLER 'magic', but must have one of"),
        ({"SAMPLER": "tpe", "TRIALS": 0}, "has TRIALS 0, but must have a number above 0"),
        ({"BASELINE": "none"}, "has BASELINE 'none', but must have hyperparameters with values"),
        ({"BASELINE": {}}, "has BASELINE {}, but must have"),
        ({"__doc__": 5}, "must have a docstring"),
    ],
)
def test_incomplete_space_file(change: dict[str, Any], match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("search_spaces.made_up", "Why?")
    module.__dict__.update({"define": lambda trial: None, "__file__": __file__, **change})
    monkeypatch.setattr(search_spaces, "space_names", lambda: ["made_up"])
    monkeypatch.setattr(search_spaces.importlib, "import_module", lambda name: module)
    with pytest.raises(SpaceError, match=match):
        load_space("made_up")
