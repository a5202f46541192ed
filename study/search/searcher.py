"""Space and ledger to an Optuna study that proposes what is to be tried next."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from search_spaces import Space
from study.ledger.context import TrialSettings
from study.ledger.ledger import Ledger
from study.ledger.pruning import pruned
from study.ledger.reports import FAILED, METRIC
from study.ledger.results import running_means, trial_results
from study.search.optuna_trials import config_of, optuna_trial
from study.search.samplers import Samplers, own_seed
from study.search.space import configured, drawn, listed, quiet_optuna

REPEATS = 3  # proposals in a row of what the study has had, after which chance takes one that it has not


class LedgerSearch(OptunaSearch):
    """OptunaSearch that enters each configuration in the ledger and repeats none.

    A proposal that would repeat one is told as failed and never seen again: only trials of the ledger are shown.
    """

    def __init__(
        self, space: Space, ledger: Ledger, settings: TrialSettings, taken: set[str], place: int, **arguments: Any
    ):
        super().__init__(space=space.define, metric=METRIC, mode="min", **arguments)
        self._wanted, self._ledger, self._settings = space, ledger, settings
        self._samplers = Samplers(space, settings.seed)
        self._taken = taken  # keys of trials that have ended, were handed out in this session, or cannot be run
        self._place = place  # of the next proposal
        self._keys: dict[str, str] = {}  # by Tune's id of a trial

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune saves its searcher again and again for a restore of its own, which nobody uses."""
        Path(checkpoint_path).touch()

    def suggest(self, trial_id: str) -> Any:
        """The next configuration that has neither ended nor is running; FINISHED where there is none."""
        for _ in range(REPEATS):
            if (parameters := self._ask(trial_id)) is not None:
                return parameters
        if (untried := self._untried()) is None:
            return Searcher.FINISHED
        self._study.enqueue_trial(untried)
        return self._ask(trial_id)

    @property
    def _study(self) -> optuna.Study:
        assert self._ot_study is not None, "made with the searcher"
        return self._ot_study

    def _ask(self, trial_id: str) -> dict[str, Any] | None:
        """What Optuna proposes, entered in the ledger; None where the study has had it."""
        self._study.sampler = self._samplers.at(self._place)
        self._place += 1
        parameters = super().suggest(trial_id)
        assert parameters is not None, "OptunaSearch always has a proposal"
        config = self._settings.config(parameters)
        key = self._settings.key(config)
        if key in self._taken:
            self._tell(self._ot_trials.pop(trial_id), TrialState.FAIL)
            return None
        if (folder := self._ledger.trial(key)).trial() is None:
            folder.write_trial(self._ledger.next_number(), config.to_dict())
        self._taken.add(key)
        self._keys[trial_id] = key
        return parameters

    def _tell(self, trial: optuna.Trial, state: TrialState) -> None:
        with suppress(RuntimeError):  # BruteForceSampler at its end calls Study.stop, which is for optimize() alone
            self._study.tell(trial, state=state)

    def _untried(self) -> dict[str, Any] | None:
        """Parameters that the study has not had, by chance; None where there are no others."""
        seed = own_seed(self._settings.seed, self._place)
        every = listed(self._wanted)
        pool = every if every is not None else [trial.params for trial, _ in drawn(self._wanted, seed)]
        for number in np.random.default_rng(seed).permutation(len(pool)):
            config = self._settings.config(configured(self._wanted, pool[number]))
            if self._settings.key(config) not in self._taken:
                return pool[number]
        return None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: epochs of different folds are no learning curve, and a restarted trial counts its reports anew."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells Optuna: COMPLETE with the mean EER, PRUNED with the means after each fold, or FAIL."""
        folder = self._ledger.trial(self._keys[trial_id])
        if not error and pruned(folder) is not None:
            trial = self._ot_trials[trial_id]
            for folds, mean in enumerate(running_means(folder, self._ledger.study()), start=1):
                trial.report(mean, folds)
            self._tell(trial, TrialState.PRUNED)
            return
        failed = result is not None and FAILED in result
        super().on_trial_complete(trial_id, None if failed or error else result, error or failed)


def make_search(space: Space, ledger: Ledger, settings: TrialSettings) -> LedgerSearch:
    """A searcher on a fresh Optuna study that holds what the ledger knows and goes on from there."""
    storage = optuna.storages.InMemoryStorage()
    name = ledger.root.name
    left_out = [row["params"] for row in ledger.study().get("left_out", [])]
    taken = {settings.key(settings.config(configured(space, parameters))) for parameters in left_out}
    with quiet_optuna():
        study = optuna.create_study(storage=storage, study_name=name, direction="minimize")
        unfinished = []
        for folder in ledger.trials():
            if (result := trial_results(folder, ledger.study())) is not None:
                study.add_trial(optuna_trial(folder, ledger.study(), space, result))
                taken.add(folder.key)
            else:
                unfinished.append(configured_parameters(space, config_of(folder)))
        place = len(taken) - len(left_out)
        for parameters in unfinished:
            study.enqueue_trial(parameters)
        if space.sampler == "exhaustive":
            for parameters in listed(space) or []:
                if parameters not in left_out:
                    study.enqueue_trial(parameters, skip_if_exists=True)
        return LedgerSearch(space, ledger, settings, taken, place, study_name=name, storage=storage)


def configured_parameters(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """Those of a configuration's values that the space suggests."""
    fixed = optuna.trial.FixedTrial(config)
    space.define(fixed)
    return fixed.params
