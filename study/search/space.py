"""What a space holds, found by drawing from it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from audiotag.config import TrialConfig
from search_spaces import Space, SpaceError
from study.ledger.context import Base, resolve

DRAWS = 256  # from a sampled space, to see its parameters and try its values
FINITE = 100  # combinations, up to which a sampled space is known to have an end


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's messages off for a while, with its warning at the end of an exhausted space (Study.stop)."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", message=".*Study.stop.*", category=UserWarning)
            # Ray's OptunaSearch, of samplers that think for a second (gp)
            warnings.filterwarnings("ignore", message="Define-by-run function .* took", category=UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def combinations(space: Space) -> list[dict[str, Any]]:
    """Every combination of an exhaustive space's parameters, in the order in which its file lists the values.

    Raises:
        SpaceError: when a parameter has no list of values, or too many to be tried.
    """
    try:
        return _every(space, None)
    except SpaceError:
        raise
    except ValueError as error:
        names = ", ".join(_endless(space))
        why = f"because there is no list of values of {names}" if names else f"because of this: {error}"
        raise SpaceError(
            f"The space `{space.name}` cannot be tried exhaustively, {why}: "
            "choose --sampler tpe, gp, qmc or random, or give one in the space's file."
        ) from error


def listed(space: Space) -> list[dict[str, Any]] | None:
    """Every combination of a space, whatever its sampler; None where a parameter has no list of values, or where a
    sampled space has more combinations than FINITE.
    """
    if space.sampler == "exhaustive":
        return combinations(space)
    try:
        found = _every(space, FINITE + 1)
    except SpaceError:
        raise
    except ValueError:
        return None
    return found if len(found) <= FINITE else None


def _every(space: Space, most: int | None) -> list[dict[str, Any]]:
    def objective(trial: optuna.Trial) -> float:
        defined(space, trial)
        return 0.0

    def place(trial: FrozenTrial) -> list[float]:
        return [trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()]

    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
        study.optimize(objective, n_trials=most)
    return [trial.params for trial in sorted(study.trials, key=place)]


def _endless(space: Space) -> list[str]:
    """The parameters of a space that have no list of values."""
    kinds = {name: kind for trial, _ in drawn(space) for name, kind in trial.distributions.items()}
    return [
        name
        for name, kind in kinds.items()
        if isinstance(kind, optuna.distributions.FloatDistribution) and kind.step is None
    ]


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
    """What trials of a space set: every combination where it has an end, else a sample of them."""
    if (every := listed(space)) is not None:
        return [configured(space, parameters) for parameters in every]
    return [{**trial.params, **fixed} for trial, fixed in drawn(space)]


def ranges(space: Space) -> dict[str, dict[str, Any]]:
    """The numeric parameters of a sampled space: {"low", "high", "log"} of each, the widest where they differ."""
    found: dict[str, dict[str, Any]] = {}
    for trial, _ in [] if space.sampler == "exhaustive" else drawn(space):
        for name, kind in trial.distributions.items():
            if isinstance(kind, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution):
                before = found.get(name, {"low": kind.low, "high": kind.high})
                low, high = min(before["low"], kind.low), max(before["high"], kind.high)
                found[name] = {"low": low, "high": high, "log": kind.log}
    return found


def shared_distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    """The distribution of each parameter of a space, the conditional ones too, that has the same wherever it is met."""
    found: dict[str, list[optuna.distributions.BaseDistribution]] = {}
    for trial, _ in drawn(space):
        for name, kind in trial.distributions.items():
            found.setdefault(name, []).append(kind)
    return {name: kinds[0] for name, kinds in found.items() if all(kind == kinds[0] for kind in kinds)}


def drawn(space: Space, seed: int = 0) -> list[tuple[optuna.Trial, dict[str, Any]]]:
    """Some random trials of a space, with what it sets beside what it suggests."""
    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        asked = [study.ask() for _ in range(DRAWS)]
        return [(trial, defined(space, trial)) for trial in asked]


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
