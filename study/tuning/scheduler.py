"""Rungs as a scheduler of Ray Tune: the driver decides when a trial reports the end of a fold."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from study.ledger.context import TrialSettings
from study.ledger.reports import FAILED, HALTED, METRIC
from study.search.asha import Rungs


class FoldScheduler(FIFOScheduler):
    """First in, first out; a trial that does not pass a rung is stopped.

    A trial waits in its report until Tune asks for the next one, so a stopped trial trains no further epoch.
    """

    def __init__(self, rungs: Rungs, settings: TrialSettings) -> None:
        super().__init__()
        self._rungs, self._settings = rungs, settings

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """STOP for a trial that is not worth its next fold; reports of epochs are no reason to decide."""
        if any(name in result for name in ("fold", FAILED, HALTED)):
            return self.CONTINUE
        stopped = self._rungs.arrive(self._key(trial), result["folds_done"], result[METRIC])
        return self.CONTINUE if stopped is None else self.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """A trial that failed leaves the rungs."""
        if FAILED in result:
            self._rungs.leave(self._key(trial))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """A trial that broke off for good leaves the rungs."""
        self._rungs.leave(self._key(trial))

    def _key(self, trial: Trial) -> str:
        return self._settings.key(self._settings.config(trial.config))
