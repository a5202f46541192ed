"""Every combination of a search space: a walk over the values of each parameter, as `define` asks for them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

Listed = CategoricalDistribution | IntDistribution | FloatDistribution


@dataclass
class Choice:
    """A parameter on the way of a trial through a space, and which of its values the trial takes."""

    name: str
    kind: Listed
    place: int = 0

    @property
    def is_last(self) -> bool:
        """Whether no other value follows."""
        return self.place + 1 >= count_values(self.kind)


class Walk(BaseSampler):
    """A sampler whose trials take the ways through a space in turn, the first parameter's values slowest.

    Optuna's BruteForceSampler runs for ever where two values are equal, knows no limit, and takes the longer for each
    combination the more it has seen.

    Attributes:
        endless: The parameter without a list of values that a trial has met; None: none has.
        strayed: Whether a trial was asked for other parameters than the one before it after the same values.
    """

    def __init__(self) -> None:
        self.endless: str | None = None
        self.strayed = False
        self._way: list[Choice] = []
        self._depth = 0  # parameters that the trial has been asked for

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Draw no parameters together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw no parameters together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Take the value that comes next on the way.

        An exception would pass through the space's own function, which may catch it: what is wrong is noted instead.
        """
        assert isinstance(param_distribution, Listed), "Optuna has no others"
        if self._depth == len(self._way):
            self._way.append(Choice(param_name, param_distribution))
        choice = self._way[self._depth]
        self._depth += 1
        if (choice.name, choice.kind) != (param_name, param_distribution):
            self.strayed = True
            return value_at(param_distribution, 0)
        if is_endless(param_distribution):
            self.endless = param_name
        return value_at(param_distribution, choice.place)

    def advance(self) -> bool:
        """Go on to the next way; False where there is none."""
        self.strayed |= self._depth < len(self._way)
        while self._way and self._way[-1].is_last:
            self._way.pop()
        if not self._way:
            return False
        self._way[-1].place += 1
        self._depth = 0
        return True


def is_endless(kind: BaseDistribution) -> bool:
    """Whether a parameter has no list of values."""
    return isinstance(kind, FloatDistribution) and kind.step is None and not kind.single()


def count_values(kind: Listed) -> int:
    """How many values a parameter has; 1 where it has no list of them."""
    if isinstance(kind, CategoricalDistribution):
        return len(kind.choices)
    if kind.step is None:
        return 1
    return int((_exact(kind.high) - _exact(kind.low)) / _exact(kind.step)) + 1


def value_at(kind: Listed, place: int) -> Any:
    """A parameter's value at a place of its list; the low end where it has none."""
    if isinstance(kind, CategoricalDistribution):
        return kind.choices[place]
    if isinstance(kind, IntDistribution):
        return kind.low + place * kind.step
    return kind.low if kind.step is None else float(_exact(kind.low) + place * _exact(kind.step))


def repeated(kind: BaseDistribution) -> tuple[Any, Any] | None:
    """Two of a parameter's choices that are the same value, as 1 and 1.0 are; None where there are none."""
    seen: dict[Any, Any] = {}
    for value in getattr(kind, "choices", ()):
        if isinstance(value, bool | int | float | str):
            if value in seen:
                return seen[value], value
            seen[value] = value
    return None


def _exact(number: float) -> Decimal:
    return Decimal(str(number))
