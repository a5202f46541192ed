"""Optuna's samplers, a fresh one per proposal: what is drawn depends on the study's seed and the proposal's position.

So nothing of a sampler needs saving, and a resumed study goes on in the sequence where it was. What a sampler learns it
reads from the trials of the Optuna study.
"""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from search_spaces import Space
from study.search.space import quiet_optuna, shared_distributions


class SobolSequence:
    """The points of a scrambled Sobol sequence over all parameters of a space at once.

    Left to itself Optuna's QMCSampler takes its parameters from the first trial that has ended and draws the others at
    random. Here each parameter, a conditional one too, has a coordinate of its own, which counts where the parameter is
    asked for. QMCSampler counts its points in a study, which here is one made for the purpose: the points of a session
    are the same wherever it begins.
    """

    def __init__(self, distributions: dict[str, BaseDistribution], seed: int) -> None:
        self._distributions = distributions
        with quiet_optuna():  # QMCSampler calls itself experimental
            self._sampler = optuna.samplers.QMCSampler(scramble=True, seed=seed)
            self._counter = optuna.create_study()
        self._points: list[dict[str, Any]] = []

    def at(self, position: int, seed: int) -> optuna.samplers.BaseSampler:
        """The sampler that proposes the point at a position, and by `seed` what else a space asks for."""
        blank = optuna.trial.create_trial(value=0.0)  # no point depends on the trial
        while len(self._points) <= position:
            self._points.append(self._sampler.sample_relative(self._counter, blank, self._distributions))
        return PointSampler(self._distributions, self._points[position], seed)


class PointSampler(optuna.samplers.BaseSampler):
    """Proposes one point."""

    def __init__(self, distributions: dict[str, BaseDistribution], point: dict[str, Any], seed: int) -> None:
        self._distributions, self._point = distributions, point
        self._independent = optuna.samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        """All parameters of the space that have one distribution."""
        return self._distributions

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The point."""
        return self._point

    def sample_independent(self, *arguments: Any) -> Any:
        """A random value of a parameter whose distribution changes from trial to trial."""
        return self._independent.sample_independent(*arguments)


class Samplers:
    """Makes the sampler of each position in a study's sequence of proposals."""

    def __init__(self, space: Space, seed: int) -> None:
        self._name, self._seed = space.sampler, seed
        self._sobol = SobolSequence(shared_distributions(space), seed) if space.sampler == "qmc" else None

    def at(self, position: int) -> optuna.samplers.BaseSampler:
        """The sampler of a position, from 0."""
        seed = own_seed(self._seed, position)
        with quiet_optuna():  # two of them call themselves experimental
            if self._sobol is not None:
                return self._sobol.at(position, seed)
            if self._name == "tpe":
                return optuna.samplers.TPESampler(seed=seed)
            if self._name == "gp":
                return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
            if self._name == "random":
                return optuna.samplers.RandomSampler(seed=seed)
            return optuna.samplers.BruteForceSampler(seed=seed)


def own_seed(seed: int, position: int) -> int:
    """A seed for one position, unlike those of other positions and of other studies' seeds."""
    return int(np.random.SeedSequence((seed, position)).generate_state(1)[0])
