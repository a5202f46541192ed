"""A study's trials run by Ray Tune. Ray's own files are never read back."""

import logging
import warnings
from collections.abc import Collection
from typing import Any, Protocol, TypeVar

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from audiotag.corpus.corpus import Corpus
from search_spaces import SpaceError
from study.ledger.context import StudyContext
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import trial_folder
from study.ledger.progress import Report
from study.ledger.pruning import read_pruned
from study.ledger.results import in_progress
from study.search.searcher import LedgerSearcher
from study.search.space import quiet_optuna
from study.tuning.failures import LowMemory, explain, last_error, why_low_on_memory
from study.tuning.features import StudyFeatures
from study.tuning.nodes import place_trials
from study.tuning.trainable import train_trial

RESTARTS = 3  # of a trial whose worker died; it continues from its last epoch
E = TypeVar("E", bound=BaseException)


class Listener(Protocol):
    """Whoever follows trials while they run. `started` comes first."""

    def started(self, key: str, config: dict[str, Any]) -> None:
        """A trial got its resources; in general again after it broke off."""

    def broke_off(self, key: str, reason: str) -> None:
        """A trial's worker died or raised; it goes on after its last epoch."""

    def reported(self, key: str, report: Report) -> None:
        """A trial finished an epoch or a fold."""

    def pruned(self, key: str, reason: str) -> None:
        """A trial was pruned by the scheduler."""

    def ended(self, key: str, reason: str | None) -> None:
        """A trial finished, or failed with a reason."""


class Relay(tune.Callback):
    """Ray Tune's events in the study's words."""

    def __init__(self, listeners: list[Listener], context: StudyContext) -> None:
        self._listeners, self._context = listeners, context
        self._started: set[str] = set()
        self.progress = False  # whether an epoch was trained

    def __getstate__(self) -> dict[str, Any]:
        """Leave the listeners out: Tune pickles its callbacks for a restore of its own, which nobody uses."""
        return self.__dict__ | {"_listeners": []}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell that a trial started."""
        config = self._context.config(trial.config)
        self._started.add(key := self._context.key(config))
        self._tell("started", key, config.to_dict())

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Tell what a trial reported, and its warnings."""
        report = Report.from_dict(result)
        for text in report.warnings:
            warnings.warn(text, LedgerWarning, stacklevel=1)
        if report.halted is not None:
            raise LedgerError(report.halted)  # an exception in a callback ends Tune's run: here that is the purpose
        self.progress |= report.epoch is not None or report.pretraining is not None
        self._tell("reported", self._key(trial), report)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell that a trial broke off and goes on."""
        reason = self._why(trial)
        self._tell("broke_off", self._key(trial), reason)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell that a trial ended or was pruned."""
        key = self._key(trial)
        if (record := read_pruned(trial_folder(self._context.root, key))) is not None:
            self._tell("pruned", key, record.reason)
        else:
            self._tell("ended", key, Report.from_dict(trial.last_result).failed)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell that a trial broke off for good, once the ledger says so."""
        reason = f"it broke off {trial.num_failures} times, the last time because {self._why(trial)}"
        key = self._key(trial)
        in_progress(trial_folder(self._context.root, key), self._context.study).write_failure(reason)
        self._tell("ended", key, reason)

    def _why(self, trial: Trial) -> str:
        """Why a trial broke off; a worker may die before Tune takes its trial for started.

        Raises:
            LowMemory: Where that is no fault of the trial: an exception in a callback ends Tune's run.
        """
        error = last_error(trial)
        if (reason := why_low_on_memory(error)) is not None:
            raise LowMemory(reason)
        if self._key(trial) not in self._started:
            self.on_trial_start(0, [], trial)
        return explain(error)

    def _key(self, trial: Trial) -> str:
        return self._context.key_of(trial.config)

    def _tell(self, event: str, *arguments: Any) -> None:
        for listener in self._listeners:
            try:
                getattr(listener, event)(*arguments)
            except Exception as error:  # Tune ends the whole study for an exception in a callback
                warnings.warn(f"{type(listener).__name__}.{event}: {error!r}", RuntimeWarning, stacklevel=2)


def run_trials(
    searcher: LedgerSearcher,
    context: StudyContext,
    corpus: Corpus,
    features: StudyFeatures,
    *,
    trials: int,
    slots: int,
    per_trial: dict[str, float],
    listeners: list[Listener],
    unused: Collection[str] = (),
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run so many more trials, one in each slot, until all have finished or failed, or were pruned.

    A trial is proposed when its slot is free, so with all results that are there. Left to itself Tune would propose it
    while its predecessors run, and start the first trials one after the other.
    No trial is placed on the nodes `unused`.

    Raises:
        LedgerError: If the ledger cannot be written.
        SpaceError: If the space's function cannot be run for a proposal.
        LowMemory: If there was not enough memory for a trial; none of them has failed for that.
    """
    relay = Relay(listeners, context)
    trainable = tune.with_parameters(
        train_trial,
        context=context,
        corpus=corpus,
        features=features,
        threads=max(1, int(per_trial["cpu"])),
        card=per_trial["gpu"],
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        tune.with_resources(trainable, place_trials(per_trial, unused)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=trials,
            max_concurrent_trials=slots,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(context.root),
            verbose=0,
            callbacks=[relay],
            failure_config=tune.FailureConfig(max_failures=RESTARTS),
        ),
    )
    with quiet_optuna():
        try:
            tuner.fit()
        except Exception as error:
            if (known := find_cause(error, LedgerError, SpaceError)) is not None:
                raise known from None
            shortage = find_cause(error, LowMemory)
            reason = why_low_on_memory(error) if shortage is None else str(shortage)
            if reason is not None:  # Ray ended a worker while it trained: Tune has no case for that
                raise LowMemory(reason, relay.progress) from None
            raise


def find_cause(error: BaseException | None, *kinds: type[E]) -> E | None:
    """The exception of one of some kinds under Tune's, if there is one."""
    while error is not None and not isinstance(error, kinds):
        error = error.__cause__ or error.__context__
    return error
