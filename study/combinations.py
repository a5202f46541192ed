"""What a space holds, found by drawing from it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from audiotag.config import TrialConfig
from search_spaces import Space, SpaceError
from study.settings import Base, resolve

DRAWS = 256  # from a sampled space, to see its parameters and try its values


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's messages off for a while, with its warning at the end of an exhausted space (Study.stop)."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", message=".*Study.stop.*", category=UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def combinations(space: Space) -> list[dict[str, Any]]:
    """Every combination of an exhaustive space's parameters, in the order in which its file lists the values.

    Raises:
        SpaceError: when a parameter has no list of values, or too many to be tried.
    """

    def objective(trial: optuna.Trial) -> float:
        defined(space, trial)
        return 0.0

    def place(trial: FrozenTrial) -> list[float]:
        return [trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()]

    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
        try:
            study.optimize(objective)
        except ValueError as error:
            raise SpaceError(f"The space `{space.name}` cannot be tried exhaustively: {error}") from error
    return [trial.params for trial in sorted(study.trials, key=place)]


def defined(space: Space, trial: Any) -> dict[str, Any]:
    """What a space sets beside what it suggests.

    Raises:
        SpaceError: when its function cannot be run.
    """
    try:
        return dict(space.define(trial) or {})
    except (AttributeError, NameError, TypeError, KeyError) as error:
        raise SpaceError(f"The function define of the space `{space.name}` cannot be run: {error}.") from error


def configurations(space: Space) -> list[dict[str, Any]]:
    """What trials of a space set: every combination of an exhaustive one, a sample of the others."""
    if space.sampler == "exhaustive":
        return [configured(space, parameters) for parameters in combinations(space)]
    return [{**trial.params, **fixed} for trial, fixed in _drawn(space)]


def ranges(space: Space) -> dict[str, dict[str, Any]]:
    """The numeric parameters of a sampled space: {"low", "high", "log"} of each, the widest where they differ."""
    found: dict[str, dict[str, Any]] = {}
    for trial, _ in [] if space.sampler == "exhaustive" else _drawn(space):
        for name, kind in trial.distributions.items():
            if isinstance(kind, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution):
                before = found.get(name, {"low": kind.low, "high": kind.high})
                low, high = min(before["low"], kind.low), max(before["high"], kind.high)
                found[name] = {"low": low, "high": high, "log": kind.log}
    return found


def _drawn(space: Space) -> list[tuple[optuna.Trial, dict[str, Any]]]:
    """Some random trials of a sampled space, with what it sets beside what it suggests."""
    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        drawn = [study.ask() for _ in range(DRAWS)]
        return [(trial, defined(space, trial)) for trial in drawn]


def configured(space: Space, parameters: dict[str, Any]) -> dict[str, Any]:
    """What a trial of a space sets, of which the suggested parameters are given."""
    trial = optuna.trial.FixedTrial(parameters)
    return {**defined(space, trial), **trial.params}


def models(space: Space) -> set[str]:
    """The models that a space sets, whether or not there are such; of a space that sets none, the default one."""
    return {str(parameters.get("model", TrialConfig.model)) for parameters in configurations(space)}


def check_space(space: Space, base: Base) -> list[str]:
    """The names of the hyperparameters that a space sets, in order, after each configuration was tried.

    Raises:
        SpaceError: for an unknown hyperparameter or a value out of its range.
    """
    names: dict[str, None] = {}
    known = list(TrialConfig.__dataclass_fields__)
    for name in space.baseline or {}:
        if name not in known:
            raise SpaceError(
                f"The space `{space.name}` has BASELINE with `{name}`, but the names are {', '.join(known)}."
            )
    for parameters in configurations(space):
        try:
            resolve(base, parameters)
        except ValueError as error:
            raise SpaceError(f"The space `{space.name}` does not fit: {error}") from error
        names |= dict.fromkeys(parameters)
    return sorted(names, key=known.index)
