"""What a search space holds, found by drawing from it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FixedTrial

from audiotag.config import TrialConfig, bare, hyperparameter_names
from audiotag.corpus.errors import count
from search_spaces import Space, SpaceError, describe
from study.ledger.context import Settings, resolve
from study.search.combinations import Walk, is_endless, repeated

SAMPLES = 256  # random trials of a space that has no end, to see its parameters and try its values
MOST = 5000  # combinations, with those that the space leaves out: beyond them it has no end


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Switch Optuna's messages off for a while."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Ray's OptunaSearch, of samplers that think for a second (gp)
            warnings.filterwarnings("ignore", message="Define-by-run function .* took", category=UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a trial of a space sets: suggested parameters, all that each of them may be, and fixed ones."""

    suggested: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    fixed: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The suggested and the fixed ones."""
        return {**self.fixed, **self.suggested}


@dataclass(frozen=True, eq=False)
class SpaceScan:
    """What a space holds.

    Attributes:
        space: The space.
        combinations: Every combination of the suggested parameters, in the order in which the space's file lists the
            values, without those that it leaves out; None where a parameter has no list of values, or a sampled space
            has more of them than MOST.
        parameters: What trials set, suggested and fixed: of every combination, or of a random sample.
        distributions: Of each suggested parameter all that it may have.
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
        SpaceError: For a space whose function cannot be run or is not repeatable, or an exhaustive one that has no end.
    """
    listed = list_combinations(space)
    drawn = sample(space) if listed is None else listed
    if not drawn:
        raise SpaceError(f"The space `{space.name}` leaves every combination out (TrialPruned): nothing can be tried.")
    _check_repeatable(space, drawn)
    distributions = group_distributions(drawn)
    _check_agreement(space, distributions)
    combinations = None if listed is None else [each.suggested for each in listed]
    return SpaceScan(space, combinations, [each.parameters for each in drawn], distributions)


def trials_in_words(scan: SpaceScan) -> str:
    """How many trials a study of a space has by default, and what they vary: "30 trials, sampled by tpe: alpha"."""
    space, most = scan.space, None if scan.combinations is None else len(scan.combinations)
    if space.sampler == "exhaustive" or (most is not None and space.trials is None):
        text = count(most or 0, "trial")
    else:
        text = count(space.trials, "trial") if space.trials else "as many trials as --trials says"
        text = text if most is None else f"{min(space.trials or most, most)} of {count(most, 'trial')}"
    text += "" if space.sampler == "exhaustive" else f", sampled by {space.sampler}"
    return f"{text}: {', '.join(scan.distributions)}" if scan.distributions else text


def scan_trials(space: Space, configs: Sequence[dict[str, Any]]) -> SpaceScan:
    """What a space holds that is no more than the trials of these configurations.

    Raises:
        SpaceError: For a space whose function cannot be run.
    """
    trials = [repeat_trial(space, config) for config in configs]
    drawn = [Drawn(trial.params, trial.distributions, call_define(space, trial)) for trial in trials]
    parameters = [each.parameters for each in drawn]
    return SpaceScan(space, [each.suggested for each in drawn], parameters, group_distributions(drawn))


def list_combinations(space: Space) -> list[Drawn] | None:
    """Every combination of a space, whatever its sampler; None where it has no end.

    Raises:
        SpaceError: For an exhaustive space in which a parameter has no list of values, or with more than MOST.
    """
    walk, found = Walk(), list[Drawn]()
    why = f"it has more than {MOST} combinations, too many to list"
    for _ in range(MOST):
        drawn = draw(space, walk)
        more = walk.advance()
        if walk.strayed:
            raise SpaceError(_not_repeatable(space))
        if walk.endless is not None:
            why = f"there is no list of values of {', '.join(_endless_parameters(space) or [walk.endless])}"
            break
        found += [] if drawn is None else [drawn]
        if not more:
            return found
    if space.sampler == "exhaustive":
        raise SpaceError(
            f"The space `{space.name}` cannot be tried exhaustively, because {why}: "
            "choose --sampler tpe, gp, qmc or random, or give one in the space's file."
        )
    return None


def _endless_parameters(space: Space) -> list[str]:
    return [name for name, kinds in group_distributions(sample(space)).items() if any(map(is_endless, kinds))]


def draw(space: Space, sampler: BaseSampler) -> Drawn | None:
    """What a sampler proposes for a trial; None where the space leaves the combination out.

    The trial is in a study of its own: Optuna's studies forbid the differences that `scan_space` reports.

    Raises:
        SpaceError: If the space's function cannot be run.
    """
    with quiet_optuna():
        trial = optuna.create_study(sampler=sampler).ask()
        try:
            fixed = call_define(space, trial)
        except optuna.TrialPruned:
            return None
        return Drawn(trial.params, trial.distributions, fixed)


def sample(space: Space, seed: int = 0) -> list[Drawn]:
    """Some random trials of a space, without those that it leaves out."""
    sampler = RandomSampler(seed=seed)
    drawn = [draw(space, sampler) for _ in range(SAMPLES)]
    return [each for each in drawn if each is not None]


def call_define(space: Space, trial: Any) -> dict[str, Any]:
    """What a space sets beside what it suggests.

    Raises:
        SpaceError: If its function cannot be run, or returns something else.
        optuna.TrialPruned: If it leaves the combination out.
    """
    where = f"The function define of the space `{space.name}`"
    try:
        fixed = space.define(trial)
    except optuna.TrialPruned:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's own function does wrong
        raise SpaceError(f"{where} cannot be run: {describe(error, space.folder)}.") from error
    if fixed is None:
        return {}
    if not isinstance(fixed, dict) or not all(isinstance(name, str) for name in fixed):
        raise SpaceError(f"{where} returns {fixed!r}, but must return nothing or a dict from names to fixed values.")
    for name, value in trial.params.items():
        if name in fixed and repr(fixed[name]) != repr(value):
            raise SpaceError(f"{where} suggests {value!r} for `{name}` and returns {fixed[name]!r}: leave one out.")
    return dict(fixed)


def complete(space: Space, suggested: dict[str, Any]) -> dict[str, Any]:
    """What a trial sets, suggested and fixed, of which the suggested parameters are given."""
    trial = FixedTrial(suggested)
    return {**call_define(space, trial), **trial.params}


def repeat_trial(space: Space, config: dict[str, Any]) -> FixedTrial:
    """A trial as the space's own function makes it of a configuration, of which it tells the suggested part."""
    trial = FixedTrial(config)
    call_define(space, trial)
    return trial


def group_distributions(drawn: Sequence[Drawn]) -> dict[str, list[BaseDistribution]]:
    """The distributions that each suggested parameter has in some trials."""
    found: dict[str, list[BaseDistribution]] = {}
    for each in drawn:
        for name, kind in each.distributions.items():
            found.setdefault(name, []).append(kind)
    return found


def shared_distributions(space: Space) -> dict[str, BaseDistribution]:
    """The distribution of each parameter of a space, the conditional ones too, that is the same in all trials."""
    grouped = group_distributions(sample(space))
    return {name: kinds[0] for name, kinds in grouped.items() if all(kind == kinds[0] for kind in kinds)}


def _check_repeatable(space: Space, drawn: Sequence[Drawn]) -> None:
    """Refuse a function that sets something else when it is called again with the same values."""
    for each in drawn:
        again = FixedTrial(each.suggested, number=1)  # the first had number 0
        try:
            parameters = {**call_define(space, again), **again.params}
        except (SpaceError, optuna.TrialPruned):
            parameters = None
        if repr(parameters) != repr(each.parameters):
            raise SpaceError(_not_repeatable(space))


def _not_repeatable(space: Space) -> str:
    return (
        f"The function define of the space `{space.name}` asks for or returns something else when it is called again "
        "with the same values: it must depend on them alone, not on random numbers or the trial's number."
    )


def _check_agreement(space: Space, distributions: dict[str, list[BaseDistribution]]) -> None:
    """Refuse a parameter that differs between trials in its choices, its type or its scale, as Optuna does."""
    for name, kinds in distributions.items():
        first = kinds[0]
        if other := next((kind for kind in kinds if not _agree(first, kind)), None):
            raise SpaceError(
                f"The space `{space.name}` gives `{name}` {_shown(first)} in some trials and {_shown(other)} in "
                "others: give it one list, and leave out what does not go together with `raise optuna.TrialPruned`."
            )


def _agree(first: BaseDistribution, kind: BaseDistribution) -> bool:
    if type(kind) is not type(first) or isinstance(kind, CategoricalDistribution):
        return kind == first
    return getattr(kind, "log", None) == getattr(first, "log", None)


def _shown(kind: BaseDistribution) -> str:
    return f"the choices {list(kind.choices)}" if isinstance(kind, CategoricalDistribution) else str(kind)


def _check_baseline(scan: SpaceScan, configs: Sequence[TrialConfig]) -> None:
    """Refuse a BASELINE that no trial can be: its values together where all are listed, else one by one."""
    space, wanted = scan.space, scan.space.baseline or {}
    if scan.combinations is not None and wanted:
        found = any(all(config.get(name) == value for name, value in wanted.items()) for config in configs)
        if not found:
            raise SpaceError(f"The space `{space.name}` has BASELINE {wanted}, but no trial has these: correct them.")
    for name, value in wanted.items():
        kinds = scan.distributions.get(name, [])
        if not any(_may_be(kind, value) for kind in kinds) and all(config.get(name) != value for config in configs):
            raise SpaceError(
                f"The space `{space.name}` has BASELINE with {name} {value!r}, but no trial has that: correct it."
            )


def _may_be(kind: BaseDistribution, value: Any) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    return isinstance(value, int | float) and getattr(kind, "low", 0) <= value <= getattr(kind, "high", 0)


def check_space(scan: SpaceScan, settings: Settings) -> tuple[str, ...]:
    """The names of the hyperparameters that a space sets, in order, after each configuration was tried.

    Raises:
        SpaceError: For an unknown hyperparameter, a value out of its range, or one that is listed twice.
    """
    space, names = scan.space, dict[str, None]()
    try:
        known = hyperparameter_names(space.code)
    except ValueError as error:
        raise SpaceError(f"The space `{space.name}` does not fit: {error}") from error
    for name in space.baseline or {}:
        if bare(name) not in known:
            raise SpaceError(
                f"The space `{space.name}` has BASELINE with `{name}`, but the names are {', '.join(known)}."
            )
    for name, kinds in scan.distributions.items():
        if (twice := repeated(kinds[0])) is not None:
            raise SpaceError(
                f"The space `{space.name}` lists the same value of `{name}` twice, as {twice[0]!r} and {twice[1]!r}: "
                "list each value once."
            )
    configs = []
    for parameters in scan.parameters:
        try:
            configs.append(resolve(settings, parameters, space.code))
        except ValueError as error:
            raise SpaceError(f"The space `{space.name}` does not fit: {error}") from error
        names |= dict.fromkeys(parameters)
    _check_baseline(scan, configs)
    return tuple(sorted(names, key=lambda name: (known.index(bare(name)), name != bare(name))))
