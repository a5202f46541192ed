"""What a search space holds, found by drawing from it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial, FrozenTrial

from audiotag.config import TrialConfig, hyperparameter_names
from search_spaces import Space, SpaceError
from study.ledger.context import Settings, resolve

SAMPLES = 256  # random trials of a sampled space, to see its parameters and try its values
FINITE = 100  # combinations, up to which a sampled space is known to have an end


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Switch Optuna's messages off for a while, with its warning at the end of an exhausted space (Study.stop)."""
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


@dataclass(frozen=True, eq=False)
class SpaceScan:
    """What a space holds.

    Attributes:
        space: The space.
        combinations: Every combination of the suggested parameters, in the order in which the space's file lists the
            values; None where a parameter has no list of values, or a sampled space has more of them than FINITE.
        parameters: What trials set, suggested and fixed: of every combination, or of a random sample.
        distributions: Of each suggested parameter all that it may have, in a sampled space.
    """

    space: Space
    combinations: list[dict[str, Any]] | None
    parameters: list[dict[str, Any]]
    distributions: dict[str, list[BaseDistribution]]

    @property
    def models(self) -> list[str]:
        """The models that the space sets, whether or not they exist; of a space that sets none, the default one."""
        return sorted({str(parameters.get("model", TrialConfig.model)) for parameters in self.parameters})

    @property
    def ranges(self) -> dict[str, dict[str, Any]]:
        """The numeric parameters of a sampled space: {"low", "high", "log"} of each, the widest where they differ."""
        found = {}
        for name, kinds in self.distributions.items() if self.space.sampler != "exhaustive" else ():
            numeric = [kind for kind in kinds if isinstance(kind, FloatDistribution | IntDistribution)]
            if numeric:
                low, high = min(kind.low for kind in numeric), max(kind.high for kind in numeric)
                found[name] = {"low": low, "high": high, "log": numeric[-1].log}
        return found


def scan_space(space: Space) -> SpaceScan:
    """Find out what a space holds.

    Raises:
        SpaceError: For a space whose function cannot be run, or an exhaustive one that has no end.
    """
    combinations = enumerate_finite(space)
    if combinations is not None and space.sampler == "exhaustive":
        return SpaceScan(space, combinations, [complete(space, suggested) for suggested in combinations], {})
    trials = sample(space)
    distributions: dict[str, list[BaseDistribution]] = {}
    for trial, _ in trials:
        for name, kind in trial.distributions.items():
            distributions.setdefault(name, []).append(kind)
    if combinations is not None:
        return SpaceScan(space, combinations, [complete(space, each) for each in combinations], distributions)
    return SpaceScan(space, None, [{**trial.params, **fixed} for trial, fixed in trials], distributions)


def enumerate_finite(space: Space) -> list[dict[str, Any]] | None:
    """Every combination of a space's suggested parameters, whatever its sampler; None where it has no end.

    Raises:
        SpaceError: For an exhaustive space in which a parameter has no list of values.
    """
    exhaustive = space.sampler == "exhaustive"
    try:
        found = _enumerate(space, None if exhaustive else FINITE + 1)
    except SpaceError:
        raise
    except ValueError as error:
        if exhaustive:
            raise SpaceError(_no_end(space, error)) from error
        return None
    return found if exhaustive or len(found) <= FINITE else None


def _enumerate(space: Space, most: int | None) -> list[dict[str, Any]]:
    def objective(trial: optuna.Trial) -> float:
        call_define(space, trial)
        return 0.0

    def order(trial: FrozenTrial) -> list[float]:
        return [trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()]

    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
        study.optimize(objective, n_trials=most)
    return [trial.params for trial in sorted(study.trials, key=order)]


def _no_end(space: Space, error: ValueError) -> str:
    kinds = {name: kind for trial, _ in sample(space) for name, kind in trial.distributions.items()}
    endless = [name for name, kind in kinds.items() if isinstance(kind, FloatDistribution) and kind.step is None]
    why = f"because there is no list of values of {', '.join(endless)}" if endless else f"because of this: {error}"
    return (
        f"The space `{space.name}` cannot be tried exhaustively, {why}: "
        "choose --sampler tpe, gp, qmc or random, or give one in the space's file."
    )


def call_define(space: Space, trial: Any) -> dict[str, Any]:
    """What a space sets beside what it suggests.

    Raises:
        SpaceError: If its function cannot be run.
    """
    try:
        return dict(space.define(trial) or {})
    except (AttributeError, NameError, TypeError, KeyError) as error:
        raise SpaceError(f"The function define of the space `{space.name}` cannot be run: {error}.") from error


def complete(space: Space, suggested: dict[str, Any]) -> dict[str, Any]:
    """What a trial sets, suggested and fixed, of which the suggested parameters are given."""
    trial = FixedTrial(suggested)
    return {**call_define(space, trial), **trial.params}


def suggested_part(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """Those of a configuration's values that the space suggests."""
    trial = FixedTrial(config)
    space.define(trial)
    return trial.params


def sample(space: Space, seed: int = 0) -> list[tuple[optuna.Trial, dict[str, Any]]]:
    """Some random trials of a space, with what it sets beside what it suggests."""
    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        asked = [study.ask() for _ in range(SAMPLES)]
        return [(trial, call_define(space, trial)) for trial in asked]


def shared_distributions(space: Space) -> dict[str, BaseDistribution]:
    """The distribution of each parameter of a space, the conditional ones too, that is the same in all trials."""
    found: dict[str, list[BaseDistribution]] = {}
    for trial, _ in sample(space):
        for name, kind in trial.distributions.items():
            found.setdefault(name, []).append(kind)
    return {name: kinds[0] for name, kinds in found.items() if all(kind == kinds[0] for kind in kinds)}


def check_space(scan: SpaceScan, settings: Settings) -> tuple[str, ...]:
    """The names of the hyperparameters that a space sets, in order, after each configuration was tried.

    Raises:
        SpaceError: For an unknown hyperparameter or a value out of its range.
    """
    space, names = scan.space, dict[str, None]()
    known = hyperparameter_names()
    for name in space.baseline or {}:
        if name not in known:
            raise SpaceError(
                f"The space `{space.name}` has BASELINE with `{name}`, but the names are {', '.join(known)}."
            )
    for parameters in scan.parameters:
        try:
            resolve(settings, parameters)
        except ValueError as error:
            raise SpaceError(f"The space `{space.name}` does not fit: {error}") from error
        names |= dict.fromkeys(parameters)
    return tuple(sorted(names, key=known.index))
