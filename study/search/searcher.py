"""Space and ledger to an Optuna study that proposes what is tried next."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from study.ledger.context import StudyContext
from study.ledger.ledger import Ledger
from study.ledger.progress import METRIC, Report
from study.ledger.pruning import read_pruned
from study.ledger.results import merged_folds, running_means, trial_result
from study.search.optuna_trials import optuna_trial
from study.search.samplers import Samplers, own_seed
from study.search.space import SpaceScan, call_define, complete, quiet_optuna, repeat_trial, sample

DUPLICATES = 3  # after so many proposals in a row that the study has had, an untried configuration is drawn at random
MODES = {"minimize": "min", "maximize": "max"}  # Tune's words for Optuna's directions
MANY = 1 << 30
ATTEMPTS = 10  # at a proposal that the space does not leave out


class LedgerSearcher(OptunaSearch):
    """OptunaSearch that enters each configuration in the ledger and repeats none.

    A proposal that would repeat one, or that the space leaves out, is told as failed and never seen again: only trials
    of the ledger are shown, and no sampler learns from a proposal that was not trained.
    OptunaSearch keeps its Optuna study and its open trials in `_ot_study` and `_ot_trials`, and offers no other way to
    them; tests/search/test_searcher.py notices when they change.
    """

    def __init__(
        self,
        scan: SpaceScan,
        ledger: Ledger,
        context: StudyContext,
        seen: set[str],
        position: int,
        slots: Callable[[], int],
        **arguments: Any,
    ):
        mode = MODES[ledger.study.objective.direction]
        super().__init__(space=partial(call_define, scan.space), metric=METRIC, mode=mode, **arguments)
        self._scan, self._ledger, self._context = scan, ledger, context
        self._samplers = Samplers(scan.space, ledger.study.seed)
        self._seen = seen  # keys of trials that have ended, were handed out in this session, or cannot be run
        self._position = position  # of the next proposal
        self._keys: dict[str, str] = {}  # by Tune's id of a trial
        self._slots, self._running = slots, 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process: Tune pickles its searcher, too, for that restore."""
        return self.__dict__ | {"_slots": None}

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: Tune saves its searcher again and again for a restore of its own, which nobody uses."""
        Path(checkpoint_path).touch()

    def suggest(self, trial_id: str) -> Any:
        """The next configuration that has neither ended nor is running.

        None while there is no slot for it; FINISHED where there is none any more.
        """
        if self._running >= self._slots():
            return None
        for _ in range(DUPLICATES):
            if (parameters := self._ask(trial_id)) is not None:
                return parameters
        if (untried := self._draw_untried()) is None:
            return Searcher.FINISHED
        self._optuna_study.enqueue_trial(untried)
        return self._ask(trial_id)

    @property
    def _optuna_study(self) -> optuna.Study:
        assert self._ot_study is not None, "made with the searcher"
        return self._ot_study

    def _ask(self, trial_id: str) -> dict[str, Any] | None:
        """What Optuna proposes, entered in the ledger; None where the study has had it."""
        parameters = self._propose(trial_id)
        if parameters is None:
            return None
        config = self._context.config(parameters)
        key = self._context.key(config)
        if key in self._seen:
            self._tell_failed(trial_id)
            return None
        if (folder := self._ledger.trial(key)).read_trial() is None:
            folder.write_trial(self._ledger.next_number(), config.to_dict())
        self._seen.add(key)
        self._keys[trial_id] = key
        self._running += 1
        return parameters

    def _propose(self, trial_id: str) -> dict[str, Any] | None:
        """What Optuna proposes at the next position; None where the space leaves out each of some attempts."""
        position, self._position = self._position, self._position + 1
        for attempt in range(ATTEMPTS):
            self._optuna_study.sampler = self._samplers.at(position, attempt)
            try:
                return super().suggest(trial_id)
            except optuna.TrialPruned:
                self._tell_failed(trial_id)
        return None

    def _tell_failed(self, trial_id: str) -> None:
        self._optuna_study.tell(self._ot_trials.pop(trial_id), state=TrialState.FAIL)

    def _draw_untried(self) -> dict[str, Any] | None:
        """Parameters that the study has not had, at random; None where there are no others."""
        scan, seed = self._scan, own_seed(self._ledger.study.seed, self._position)
        if scan.combinations is not None:
            pool = list(zip(scan.combinations, scan.parameters, strict=True))
        else:
            pool = [(drawn.suggested, drawn.parameters) for drawn in sample(scan.space, seed)]
        for number in np.random.default_rng(seed).permutation(len(pool)):
            suggested, parameters = pool[number]
            if self._context.key_of(parameters) not in self._seen:
                return suggested
        return None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Ignore it: epochs of different folds are no learning curve, and a restarted trial counts its reports anew."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna: COMPLETE with the mean of the objective, PRUNED with the means after each fold, or FAIL."""
        self._running -= 1
        folder, study = self._ledger.trial(self._keys[trial_id]), self._ledger.study
        if not error and read_pruned(folder) is not None:
            trial = self._ot_trials[trial_id]
            for folds, mean in enumerate(running_means(merged_folds(folder, study), study), start=1):
                trial.report(mean, folds)
            self._optuna_study.tell(trial, state=TrialState.PRUNED)
            return
        failed = error or (result is not None and Report.from_dict(result).failed is not None)
        super().on_trial_complete(trial_id, None if failed else result, failed)


def make_searcher(
    scan: SpaceScan, ledger: Ledger, context: StudyContext, slots: Callable[[], int] = lambda: MANY
) -> LedgerSearcher:
    """A searcher on a fresh Optuna study that holds what the ledger knows and goes on from there.

    So many trials as `slots` says at the time run side by side.
    """
    space, storage = scan.space, optuna.storages.InMemoryStorage()
    left_out = [complete(space, trial.params) for trial in ledger.study.left_out]
    seen = {context.key_of(parameters) for parameters in left_out}
    with quiet_optuna():
        direction = ledger.study.objective.direction
        study = optuna.create_study(storage=storage, study_name=ledger.root.name, direction=direction)
        unfinished = {}
        for folder in ledger.trials():
            if (result := trial_result(ledger, folder)) is not None and not result.goes_on:
                study.add_trial(optuna_trial(folder, ledger.study, space, result))
                seen.add(folder.key)
            else:
                unfinished[folder.key] = repeat_trial(space, folder.trial.config).params
        position = len(seen) - len(left_out)
        for parameters in unfinished.values():
            study.enqueue_trial(parameters)
        if space.sampler == "exhaustive" and scan.combinations is not None:
            known = seen | unfinished.keys()
            for suggested, parameters in zip(scan.combinations, scan.parameters, strict=True):
                if context.key_of(parameters) not in known:
                    study.enqueue_trial(suggested)
        named = {"study_name": ledger.root.name, "storage": storage}
        return LedgerSearcher(scan, ledger, context, seen, position, slots, **named)
