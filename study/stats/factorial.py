"""Factorial studies: every combination of some factors with two levels each, and what each factor adds to the others.

Conventions, for cells that are means of the objective in one fold:
- A main effect is the mean over the cells with a factor minus the mean over those without it.
- An interaction of two factors is the effect of one where the other is on, minus its effect where the other is off,
  averaged over the combinations of the rest: y11 - y10 - y01 + y00 with two factors, twice the usual contrast, which
  halves this difference. t and p are the same. That of three is how much the interaction of two changes with the third.

In a least-squares fit with factors coded as -1 and 1, an effect of n factors is 2^n times the coefficient of their
product.

Source: Box, Hunter and Hunter 2005, "Statistics for Experimenters", 2nd ed., chapter 5, for effects as contrasts.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from audiotag.config import NO_AUGMENTATION, augmentation
from audiotag.declarations.catalogue import CHAIN, split_chain
from audiotag.declarations.own_code import OwnCode
from study.format import in_words, own_params
from study.ledger.schema import TrialResult
from study.stats.analysis import Analysis, fold_means
from study.stats.significance import Outcome, PairedTest, Untested, adjust, corrected_t_over_folds, outcome

MOST_FACTORS = 5
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Factor:
    """Something with two levels, each in words: "dropout 0.2" and "dropout 0"; "mixup" and "", its absence."""

    on: str
    off: str


@dataclass(frozen=True)
class Design:
    """Every combination of the levels of k factors, once.

    Attributes:
        cells: Of each trial, whether each factor is on.
    """

    factors: tuple[Factor, ...]
    cells: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Effect:
    """The effect of a factor, or the interaction of several; `adjusted` is Holm's p."""

    factors: tuple[Factor, ...]
    test: PairedTest | Untested
    adjusted: float | None
    outcome: Outcome

    @property
    def tested(self) -> PairedTest | None:
        """Its test, if there is one."""
        return self.test if isinstance(self.test, PairedTest) else None


@dataclass(frozen=True)
class Factorial:
    """What a factorial study says.

    Attributes:
        effects: Main effects, then interactions of two; of three factors the one of all, too.
        on_top: The effect of each factor where all others are on.
        alone: The mean difference that each makes where all others are off.
        unfinished: Trials of the design without a result; with any of them there are no effects.
    """

    factors: tuple[Factor, ...]
    effects: tuple[Effect, ...] = ()
    on_top: tuple[Effect, ...] = ()
    alone: tuple[float | None, ...] = ()
    unfinished: tuple[TrialResult, ...] = ()


def analyse_factorial(analysis: Analysis) -> Factorial | None:
    """Compute the effects of a study whose finished trials are a factorial design.

    None where they are not, unless the failed and the pruned ones complete it: an effect over some of its cells would
    be confounded with others.
    """
    if analysis.baseline is None:
        return None
    names, reference, code = analysis.study.varied, analysis.baseline.params, analysis.study.code
    design = find_design([row.params for row in analysis.rows], names, reference, code)
    if design is not None:
        return compute_effects(design, analysis)
    trials = analysis.results.trials
    design = find_design([own_params(trial.params) for trial in trials], names, reference, code)
    if design is None:
        return None
    finished = {row.key for row in analysis.rows}
    return Factorial(design.factors, unfinished=tuple(trial for trial in trials if trial.key not in finished))


def find_design(
    trials: Sequence[Params], names: Collection[str], reference: Params, code: OwnCode | None = None
) -> Design | None:
    """Find the factors of trials that are every combination of two to five of them, once each; else None.

    A factor is an augmentation that only some trials have, or a hyperparameter with two values that all have. What
    always changes together is one factor. Parameters of an augmentation belong to it if they are the same wherever it
    is: with others there is no such design.

    Args:
        trials: Their hyperparameters.
        names: Hyperparameters that may be factors.
        reference: One of the trials; a factor is off where it is as in this one, unless it is something that a trial
            has or has not.
        code: A user's own, for the parameters of augmentations in it.
    """
    if len(trials) not in [2**k for k in range(2, MOST_FACTORS + 1)]:
        return None
    held, own = [_held(params, names, code) for params in trials], _held(reference, names, code)
    groups = _group_by_change(held, own)
    if groups is None or len(set(zip(*groups, strict=True))) < len(trials) or 2 ** len(groups) > len(trials):
        return None
    columns, factors = [], []
    for moved, group in groups.items():
        column = [each != _is_on(own, group) for each in moved]
        levels = [_level(held[column.index(on)], group, trials) for on in (True, False)]
        columns.append(column)
        factors.append(Factor(*levels))
    return Design(tuple(factors), tuple(zip(*columns, strict=True)))


def _group_by_change(held: Sequence[Params], own: Params) -> dict[tuple[bool, ...], list[str]] | None:
    """Group the names that vary by the trials that differ from the reference in them; None where one is no factor."""
    groups: dict[tuple[bool, ...], list[str]] = {}
    longest = max(held, key=lambda each: sum(name.startswith(CHAIN) for name in each))  # has the chain's order
    for name in dict.fromkeys(name for each in (longest, *held) for name in each):
        values, everywhere = {each[name] for each in held if name in each}, all(name in each for each in held)
        if len(values) == 1 and (everywhere or not name.startswith(CHAIN)):
            continue
        if len(values) > (2 if everywhere else 1):
            return None
        groups.setdefault(tuple(each.get(name) != own.get(name) for each in held), []).append(name)
    return groups


def _held(params: Params, names: Collection[str], code: OwnCode | None) -> dict[str, Any]:
    """What a trial has: its augmentations ("+mixup"), their parameters ("mixup.alpha"), and others among the names."""
    given = params.get("augmentation", NO_AUGMENTATION)
    chain = [] if given == NO_AUGMENTATION else split_chain(given)
    owners = {parameter: name for name in chain for parameter in _parameters(name, code)}
    held: dict[str, Any] = {f"{CHAIN}{name}": True for name in chain}
    for name, value in params.items():
        if name in owners:
            held[f"{owners[name]}.{name}"] = value
        elif name.partition(".")[0] in chain or (name in names and name != "augmentation"):
            held[name] = value
    return held


def _parameters(name: str, code: OwnCode | None) -> Iterable[str]:
    try:
        return augmentation(name, code).parameters
    except ValueError:  # it is no longer there
        return ()


def _is_on(held: Params, group: Sequence[str]) -> bool:
    """Whether a trial has what a group of names is about: augmentations, and what is True or False."""
    switches = [name for name in group if name.startswith(CHAIN) or isinstance(held.get(name), bool)]
    return bool(switches) and all(held.get(name) for name in switches)


def _level(held: Params, group: Sequence[str], trials: Sequence[Params]) -> str:
    """A trial's level of what a group of names is about, as trials are named; parameters as short as all have them."""
    parts = [CHAIN.join(name.removeprefix(CHAIN) for name in group if name.startswith(CHAIN) and name in held)]
    for name in group:
        short = name.rpartition(".")[2]
        if not name.startswith(CHAIN) and held[name] is not False:
            parts.append(in_words(short if all(short in params for params in trials) else name, held[name]))
    return ", ".join(part for part in parts if part)


def compute_effects(design: Design, analysis: Analysis) -> Factorial:
    """Compute the effects of a design of an analysis's rows.

    Holm's correction is over the effects, and apart from them over those on top. Interactions of three factors are left
    out from four factors on: each would raise the bar for the others.
    """
    k = len(design.factors)
    means = fold_means(analysis.rows)  # (rows, r k)
    if analysis.study.is_until_clear:  # rows differ in their partitions, and effects are looked at once
        means = means[:, : len(analysis.study.folds)]
    partitions = means.shape[1] // len(analysis.study.folds)
    cells = np.empty((*[2] * k, means.shape[1]))
    cells[tuple(np.array(design.cells, dtype=int).T)] = means
    most = k if k <= 3 else 2
    groups = [group for order in range(1, most + 1) for group in combinations(range(k), order)]
    places = [(place,) for place in range(k)]
    alone = [corrected_t_over_folds(_change(cells, place, False), partitions).difference for place in range(k)]
    return Factorial(
        design.factors,
        effects=tuple(_effects(design, analysis, groups, [contrast(cells, group) for group in groups], partitions)),
        on_top=tuple(
            _effects(design, analysis, places, [_change(cells, place, True) for place in range(k)], partitions)
        ),
        alone=tuple(alone),
    )


def contrast(cells: np.ndarray, factors: Collection[int]) -> np.ndarray:
    """Compute the effect of a factor, or the interaction of several, in each fold of each partition, (r k,).

    Args:
        cells: (2, ..., 2, r k), an axis per factor, off before on.
        factors: Their axes.
    """
    for axis in reversed(range(cells.ndim - 1)):
        off, on = np.moveaxis(cells, axis, 0)
        cells = on - off if axis in factors else (on + off) / 2
    return cells


def _change(cells: np.ndarray, place: int, others_on: bool) -> np.ndarray:
    """What a factor changes in each fold of each partition, (r k,), where the others are all on, or all off."""
    off, on = np.moveaxis(cells, place, 0)
    others = (int(others_on),) * (off.ndim - 1)
    return on[others] - off[others]


def _effects(
    design: Design,
    analysis: Analysis,
    groups: Sequence[Sequence[int]],
    by_fold: Sequence[np.ndarray],
    partitions: int,
) -> Iterator[Effect]:
    """Test some effects (r k,) of groups of factors, with Holm's correction over all of them."""
    tests = [corrected_t_over_folds(values, partitions) for values in by_fold]
    if analysis.study.has_fixed_split:
        tests = [Untested(test.difference, "effects are not tested on one fixed split") for test in tests]
    for group, test, adjusted in zip(groups, tests, adjust(tests), strict=True):
        factors = tuple(design.factors[place] for place in group)
        yield Effect(factors, test, adjusted, outcome(test, adjusted, analysis.objective))
