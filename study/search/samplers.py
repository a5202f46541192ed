"""Optuna's samplers, a fresh one for each proposal: what is drawn depends on the study's seed and on its place alone.

So nothing of a sampler needs saving, and a resumed study goes on in the sequence where it was. What a sampler learns it
reads from the trials of the Optuna study.
"""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from search_spaces import Space
from study.search.space import quiet_optuna, shared_distributions


class SobolSequence(optuna.samplers.QMCSampler):
    """QMCSampler that proposes the point of its own place, over all parameters of a space at once.

    Left to itself it takes its parameters from the first trial that has ended and draws the others at random, and
    counts its points in the study's system attributes. Here each parameter, a conditional one too, has a coordinate of
    its own, which counts where the parameter is asked for.
    """

    def __init__(self, distributions: dict[str, BaseDistribution], seed: int, place: int) -> None:
        independent = optuna.samplers.RandomSampler(seed=own_seed(seed, place))
        super().__init__(scramble=True, seed=seed, independent_sampler=independent, warn_independent_sampling=False)
        self._distributions, self._place = distributions, place

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        """All parameters of the space that have one distribution."""
        return self._distributions

    def _find_sample_id(self, study: Any, search_space: dict[str, BaseDistribution]) -> int:
        return self._place


class Samplers:
    """Makes the sampler of each place in a study's sequence of proposals."""

    def __init__(self, space: Space, seed: int) -> None:
        self._name, self._seed = space.sampler, seed
        self._distributions = shared_distributions(space) if space.sampler == "qmc" else {}

    def at(self, place: int) -> optuna.samplers.BaseSampler:
        """The sampler of a place, from 0."""
        with quiet_optuna():  # two of them call themselves experimental
            return self._made(place, own_seed(self._seed, place))

    def _made(self, place: int, seed: int) -> optuna.samplers.BaseSampler:
        if self._name == "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        if self._name == "gp":
            return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        if self._name == "qmc":
            return SobolSequence(self._distributions, self._seed, place)
        if self._name == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.BruteForceSampler(seed=seed)


def own_seed(seed: int, place: int) -> int:
    """A seed for one place, unlike those of other places and other studies' seeds."""
    return int(np.random.SeedSequence((seed, place)).generate_state(1)[0])
