"""Rungs as a scheduler of Ray Tune: the driver decides when a trial reports the end of a fold."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from study.ledger.context import StudyContext
from study.ledger.progress import Report
from study.search.asha import Rungs


class FoldScheduler(FIFOScheduler):
    """First in, first out; a trial that does not pass a rung is pruned: after some folds, or seeds of a fixed split.

    A trial waits in its report until Tune asks for the next one, so a pruned trial trains no further epoch.
    """

    def __init__(self, rungs: Rungs, context: StudyContext) -> None:
        super().__init__()
        self._rungs, self._context = rungs, context

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """STOP for a trial that is not worth its next fold; only the end of a fold is a reason to decide."""
        report = Report.from_dict(result)
        if not report.ends_fold:
            return self.CONTINUE
        done = report.seeds_done if self._context.study.has_fixed_split else report.folds_done
        pruned = self._rungs.judge(self._key(trial), done, report.mean)
        return self.CONTINUE if pruned is None else self.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Remove a trial that failed from the rungs."""
        if Report.from_dict(result).failed is not None:
            self._rungs.remove(self._key(trial))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Remove a trial that broke off for good from the rungs."""
        self._rungs.remove(self._key(trial))

    def _key(self, trial: Trial) -> str:
        return self._context.key_of(trial.config)
