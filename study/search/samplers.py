"""Optuna's samplers, a fresh one per proposal: what is drawn depends on the study's seed and the proposal's position.

So nothing of a sampler needs saving, and a resumed study goes on in the sequence where it was. What a sampler learns it
reads from the trials of the Optuna study.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import optuna

from search_spaces import Space
from study.search.space import draw, quiet_optuna, shared_distributions

SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "gp": partial(optuna.samplers.GPSampler, warn_independent_sampling=False),
    "random": optuna.samplers.RandomSampler,
    "exhaustive": optuna.samplers.RandomSampler,  # of a study that is given every combination to begin with
}  # qmc has its points below
MOST_SKIPPED = 1000  # points in a row that a space leaves out, before one is taken all the same


class SobolSequence:
    """The points of a scrambled Sobol sequence over all parameters of a space at once.

    Left to itself Optuna's QMCSampler takes its parameters from the first trial that has ended and draws the others at
    random. Here each parameter, a conditional one too, has a coordinate of its own, which counts where the parameter is
    asked for. QMCSampler counts its points in a study, which here is one made for the purpose: the points of a session
    are the same wherever it begins. Points that the space leaves out are skipped.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._distributions = space, shared_distributions(space)
        with quiet_optuna():  # QMCSampler calls itself experimental
            self._sampler = optuna.samplers.QMCSampler(scramble=True, seed=seed)
            self._counter = optuna.create_study()
        self._points: list[dict[str, Any]] = []

    def at(self, position: int, seed: int) -> optuna.samplers.BaseSampler:
        """The sampler that proposes the point at a position, and by `seed` what else a space asks for."""
        while len(self._points) <= position:
            self._points.append(self._next_point())
        return _fix(self._points[position], seed)

    def _next_point(self) -> dict[str, Any]:
        blank = optuna.trial.create_trial(value=0.0)  # no point depends on the trial
        for _ in range(MOST_SKIPPED):
            point = self._sampler.sample_relative(self._counter, blank, self._distributions)
            if draw(self._space, _fix(point, len(self._points))) is not None:
                break
        return point


def _fix(point: dict[str, Any], seed: int) -> optuna.samplers.BaseSampler:
    """The sampler that proposes a point, and by `seed` what else a space asks for."""
    with quiet_optuna():
        return optuna.samplers.PartialFixedSampler(point, optuna.samplers.RandomSampler(seed=seed))


class Samplers:
    """Makes the sampler of each position in a study's sequence of proposals."""

    def __init__(self, space: Space, seed: int) -> None:
        self._name, self._seed = space.sampler, seed
        self._sobol = SobolSequence(space, seed) if space.sampler == "qmc" else None

    def at(self, position: int, attempt: int = 0) -> optuna.samplers.BaseSampler:
        """The sampler of a position, from 0; another one for each attempt, where the space left the one before out."""
        seed = own_seed(self._seed, position, attempt)
        with quiet_optuna():  # three of them call themselves experimental
            return self._sobol.at(position, seed) if self._sobol is not None else SAMPLERS[self._name](seed=seed)


def own_seed(seed: int, position: int, attempt: int = 0) -> int:
    """A seed for one attempt at one position, unlike those of other positions and of other studies' seeds."""
    entropy = (seed, position, attempt) if attempt else (seed, position)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
