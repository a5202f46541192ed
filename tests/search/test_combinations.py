"""Every combination of a space: which, in which order, and what is said where they cannot be listed."""

import random
import signal
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest

from search_spaces import SAMPLERS, Space, SpaceError
from study.search.combinations import count_values, value_at
from study.search.space import MOST, SAMPLES, check_space, quiet_optuna, scan_space

Define = Callable[[Any], Any]


def space(define: Define, sampler: str = "exhaustive") -> Space:
    return Space("made_up", "Why?", define, sampler, None, "0")


def combinations(define: Define, sampler: str = "exhaustive") -> list[dict[str, Any]] | None:
    return scan_space(space(define, sampler)).combinations


def choose(name: str, choices: Sequence[Any]) -> Define:
    """A space's function that suggests one parameter."""

    def define(trial: Any) -> None:
        trial.suggest_categorical(name, choices)

    return define


class Counted:
    """A space's function that counts its calls."""

    def __init__(self, define: Define) -> None:
        self._define, self.calls = define, 0

    def __call__(self, trial: Any) -> Any:
        self.calls += 1
        return self._define(trial)


# reference


def conditional(trial: Any) -> None:
    if trial.suggest_categorical("augmentation", ["none", "mixup", "mixup_lp"]) != "none":
        trial.suggest_float("alpha", 0.1, 0.7, step=0.1)
        if trial.suggest_int("gru_layers", 3, 9, step=3) == 6:
            trial.suggest_categorical("imd", [True, False])
    trial.suggest_int("patience", 2, 4, log=True)
    trial.suggest_categorical("dropout", [0.3])


def test_the_combinations_are_those_of_optunas_own_search() -> None:
    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
        study.optimize(lambda trial: conditional(trial) or 0.0)
    found = combinations(conditional)
    assert sorted(map(repr, found)) == sorted(repr(trial.params) for trial in study.trials)
    assert [row["augmentation"] for row in found] == ["none"] * 3 + ["mixup"] * 84 + ["mixup_lp"] * 84
    assert list(dict.fromkeys(row["alpha"] for row in found[3:])) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (optuna.distributions.IntDistribution(1, 7, step=3), [1, 4, 7]),
        (optuna.distributions.FloatDistribution(0.1, 0.3, step=0.1), [0.1, 0.2, 0.3]),
        (optuna.distributions.FloatDistribution(1e-7, 3e-7, step=1e-7), [1e-7, 2e-7, 3e-7]),
        (optuna.distributions.CategoricalDistribution(["b", None, 2]), ["b", None, 2]),
    ],
)
def test_values_of_a_parameter(kind: Any, values: list[Any]) -> None:
    assert [value_at(kind, place) for place in range(count_values(kind))] == values


# property


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_combinations_that_a_space_leaves_out_are_not_counted(sampler: str) -> None:
    def define(trial: Any) -> None:
        layers = trial.suggest_categorical("gru_layers", [1, 2, 3])
        if layers == 3:
            raise optuna.TrialPruned
        if trial.suggest_categorical("dropout", [0.0, 0.5]) and layers == 1:
            raise optuna.TrialPruned

    scan = scan_space(space(define, sampler))
    assert [(row["gru_layers"], row["dropout"]) for row in scan.combinations] == [(1, 0.0), (2, 0.0), (2, 0.5)]
    assert scan.parameters == scan.combinations


def test_a_sample_has_nothing_that_a_space_leaves_out() -> None:
    def define(trial: Any) -> None:
        if trial.suggest_float("dropout", 0.0, 0.9) > 0.3:
            raise optuna.TrialPruned

    scan = scan_space(space(define, "tpe"))
    assert 10 < len(scan.parameters) < SAMPLES
    assert max(row["dropout"] for row in scan.parameters) <= 0.3


DIGITS = ("alpha", "dropout", "learning_rate", "batch_size", "patience", "max_epochs", "gru_layers", "gru_units")


def all_digits(trial: Any) -> None:
    for name in (
        "alpha",
        "dropout",
        "learning_rate",
        "batch_size",
        "patience",
        "max_epochs",
        "gru_layers",
        "gru_units",
    ):
        trial.suggest_categorical(name, range(1, 14))


@pytest.mark.slow
def test_what_cannot_be_listed_is_given_up_early() -> None:
    """810 million combinations took hours of silence and all of the memory."""
    many = Counted(all_digits)
    with pytest.raises(SpaceError, match=f"more than {MOST} combinations"):
        scan_space(space(many))
    assert many.calls == MOST
    assert combinations(all_digits, "tpe") is None
    with pytest.raises(SpaceError, match=f"more than {MOST} combinations"):
        scan_space(space(lambda trial: {"max_epochs": trial.suggest_int("max_epochs", 1, 10**12)}))


def test_combinations_that_are_left_out_count_for_the_limit() -> None:
    def define(trial: Any) -> None:
        all_digits(trial)
        raise optuna.TrialPruned

    with pytest.raises(SpaceError, match="combinations, too many to list"):
        scan_space(space(define))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("choices", [[0.5, 0.5, 1.0], [1, 1.0, 2], [2, True, 1], ["a", "b", "a"], [0, 1, -0.0]])
def test_a_value_that_is_listed_twice_is_a_mistake(choices: list[Any], sampler: str) -> None:
    """Optuna's own exhaustive search runs for ever."""
    scan = scan_space(space(choose("alpha", choices), sampler))
    with pytest.raises(SpaceError, match="the same value of `alpha` twice"):
        check_space(scan, {})


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_choices_that_differ_between_trials_are_a_mistake(sampler: str) -> None:
    def choices(trial: Any) -> None:
        kind = trial.suggest_categorical("augmentation", ["mixup", "mixup_lp"])
        trial.suggest_categorical("alpha", [0.5, 1.0] if kind == "mixup" else [1.0, 2.0])

    def kinds(trial: Any) -> None:
        if trial.suggest_categorical("augmentation", ["mixup", "mixup_lp"]) == "mixup":
            trial.suggest_float("alpha", 1.0, 2.0, step=1.0)
        else:
            trial.suggest_int("alpha", 1, 2)

    for define in (choices, kinds):
        with pytest.raises(SpaceError, match=r"gives `alpha` .* in some trials and .* in others"):
            scan_space(space(define, sampler))


def test_ranges_may_differ_between_trials() -> None:
    def define(trial: Any) -> None:
        low = trial.suggest_int("gru_layers", 1, 2)
        trial.suggest_int("patience", low, 3)

    assert [tuple(row.values()) for row in combinations(define)] == [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3)]


# malformed


def random_choices(trial: Any) -> None:
    trial.suggest_categorical("alpha", random.sample(range(100), 3))
    trial.suggest_categorical("dropout", [0.1, 0.2])


def random_names(trial: Any) -> None:
    for name in random.sample(["alpha", "dropout", "patience", "max_epochs"], 3):
        trial.suggest_categorical(name, [1, 2])


NOT_REPEATABLE: dict[str, Define] = {
    "choices": random_choices,
    "names": random_names,
    "fixed": lambda trial: {"alpha": random.random()},
    "number": lambda trial: {"patience": 1 + trial.number},
}


@pytest.mark.parametrize("sampler", ["exhaustive", "tpe"])
@pytest.mark.parametrize("name", NOT_REPEATABLE)
def test_a_space_that_is_not_repeatable_is_a_mistake(name: str, sampler: str) -> None:
    with pytest.raises(SpaceError, match=r"called again|in some trials"):
        scan_space(space(NOT_REPEATABLE[name], sampler))


def stop(trial: Any) -> None:
    raise SystemExit(0)


def prune(trial: Any) -> None:
    raise optuna.TrialPruned


WRONG: dict[str, tuple[Define, str]] = {
    "list": (lambda trial: ["mixup"], r"returns \['mixup'\]"),
    "text": (lambda trial: "mixup", "returns 'mixup'"),
    "names": (lambda trial: {1: 2}, "returns {1: 2}"),
    "number": (lambda trial: 0, "returns 0"),
    "both": (lambda trial: {"alpha": -trial.suggest_categorical("alpha", [0.5, 1.0])}, "suggests .* and returns -0.5"),
    "division": (lambda trial: 1 / 0, "ZeroDivisionError"),
    "value": (lambda trial: trial.suggest_float("alpha", 2.0, 1.0), "ValueError: .*low"),
    "nothing": (lambda trial: trial.suggest_categorical("alpha", []), "ValueError: .*choices"),
    "recursion": (lambda trial: WRONG["recursion"][0](trial), "RecursionError"),
    "arguments": (lambda: None, "TypeError"),
    "exit": (stop, "sys.exit"),
    "pruned": (prune, "leaves every combination out"),
}


@pytest.mark.parametrize("sampler", ["exhaustive", "tpe"])
@pytest.mark.parametrize("name", WRONG)
def test_a_function_that_cannot_be_run_is_a_mistake(name: str, sampler: str) -> None:
    define, why = WRONG[name]
    with pytest.raises(SpaceError, match=f"`made_up` .*{why}"):
        scan_space(space(define, sampler))


@pytest.mark.parametrize("value", [float("nan"), [1.0], {"a": 1}, None, "1", float("inf"), b"1", 1j])
@pytest.mark.parametrize("suggested", [False, True])
@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_a_value_of_another_type_is_a_mistake(value: Any, suggested: bool) -> None:
    def define(trial: Any) -> Any:
        if suggested:
            trial.suggest_categorical("alpha", [1.0, value])
        return {"augmentation": "mixup"} | ({} if suggested else {"alpha": value})

    with pytest.raises(SpaceError, match="does not fit: The value of `alpha`"):
        check_space(scan_space(space(define)), {})


def test_an_interruption_passes_through() -> None:
    def define(trial: Any) -> None:
        all_digits(trial)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        scan_space(space(define))
