"""A study's trials run by Ray Tune. Ray's own files are never read back."""

import logging
import warnings
from typing import Any, Protocol, TypeVar

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.result import NODE_IP
from ray.tune.schedulers import TrialScheduler

from audiotag.corpus.corpus import Corpus
from search_spaces import SpaceError
from study.cloud import url_of
from study.ledger.context import StudyContext
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import Ledger
from study.ledger.progress import Report
from study.ledger.pruning import read_pruned
from study.ledger.results import in_progress
from study.ledger.trial_folder import TrialFolder
from study.search.searcher import LedgerSearcher
from study.search.space import quiet_optuna
from study.tuning.crew import Crew
from study.tuning.failures import LowMemory, RunAgain, explain, last_error, why_low_on_memory
from study.tuning.faults import RESTARTS, Faults
from study.tuning.features import StudyFeatures
from study.tuning.nodes import place_trials
from study.tuning.saving import save_seconds
from study.tuning.shared_features import share
from study.tuning.trainable import train_trial
from study.tuning.writer import start_writer

REPORTS_PER_SECOND = 50  # of all trials; at some 80 Tune's loop, listeners included, did nothing else
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

    def __init__(self, listeners: list[Listener], ledger: Ledger, faults: Faults) -> None:
        self._listeners, self._ledger, self._faults = listeners, ledger, faults
        self._context = StudyContext(ledger.study)
        self._started: set[str] = set()
        self.progress = False  # whether an epoch was trained

    def __getstate__(self) -> dict[str, Any]:
        """Leave out all that matters: Tune pickles its callbacks for a restore of its own, which nobody uses."""
        return {}

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
        key = self._key(trial)
        self._faults.note_report(key, result.get(NODE_IP, ""))
        self.progress |= report.epoch is not None or report.pretraining is not None
        for each in report.by_epoch():
            self._tell("reported", key, each)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell that a trial broke off and goes on; one that has done so too often is given up.

        Tune starts that one once more, too, to hear from the trial itself that it has failed.
        """
        key, reason = self._key(trial), self._note_fault(trial)
        if self._faults.gives_up(key):
            trial.max_failures = 0
            self._give_up(key, reason)
        else:
            self._tell("broke_off", key, reason)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell that a trial ended or was pruned."""
        key = self._key(trial)
        if (record := read_pruned(self._ledger.trial(key))) is not None:
            self._tell("pruned", key, record.reason)
        else:
            self._tell("ended", key, Report.from_dict(trial.last_result).failed)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tell that a trial broke off for good, once the ledger says so.

        Tune also gives up a trial whose worker has not even started.
        """
        key = self._key(trial)
        reason = None if trial.max_failures else self._folder(key).read_failure()
        if reason is None:
            why = self._note_fault(trial)
            if not self._faults.gives_up(key):
                raise RunAgain(f"a worker did not start because {why}")
            reason = self._give_up(key, why)
        self._tell("ended", key, reason)

    def _folder(self, key: str) -> TrialFolder:
        return in_progress(self._ledger.trial(key), self._context.study)

    def _give_up(self, key: str, reason: str) -> str:
        """Record that a trial has failed; return why."""
        reason = f"it broke off {RESTARTS + 1} times, the last time because {reason}"
        self._folder(key).write_failure(reason)
        return reason

    def _note_fault(self, trial: Trial) -> str:
        """Note why a trial broke off, and say it; its worker may die before Tune takes it for started.

        Raises:
            LowMemory: Where that is no fault of the trial: an exception in a callback ends Tune's run.
            UnfitNode: Likewise.
        """
        error = last_error(trial)
        if (reason := why_low_on_memory(error)) is not None:
            raise LowMemory(reason)
        if self._key(trial) not in self._started:
            self.on_trial_start(0, [], trial)
        self._faults.note(self._key(trial), error)
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
    ledger: Ledger,
    corpus: Corpus,
    features: StudyFeatures,
    *,
    trials: int,
    slots: int,
    crew: Crew,
    listeners: list[Listener],
    faults: Faults,
    scheduler: TrialScheduler | None = None,
) -> None:
    """Run so many more trials until all have finished or failed, or were pruned.

    The searcher proposes a trial when there is a slot for it, so with all results that are there: left to itself Tune
    would propose it while its predecessors run. There are about `slots`.

    Raises:
        LedgerError: If the ledger cannot be written.
        SpaceError: If the space's function cannot be run for a proposal.
        LowMemory: If there was not enough memory for a trial; none of them has failed for that.
        RunAgain: If it is to be called again: no trial has failed.
        UnfitNode: Likewise, without some nodes.
    """
    relay = Relay(listeners, ledger, faults)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        _make_trainable(ledger, corpus, features, slots, crew),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=trials,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(ledger.root),
            verbose=0,
            callbacks=[relay],
            failure_config=tune.FailureConfig(max_failures=-1),
        ),
    )
    with quiet_optuna():
        try:
            tuner.fit()
        except Exception as error:
            if (known := find_cause(error, LedgerError, SpaceError)) is not None:
                raise known from None
            if (ended := find_cause(error, RunAgain)) is not None:
                raise ended from None
            shortage = find_cause(error, LowMemory)
            reason = why_low_on_memory(error) if shortage is None else str(shortage)
            if reason is not None:  # Ray ended a worker while it trained: Tune has no case for that
                raise LowMemory(reason, relay.progress) from None
            raise


def _make_trainable(ledger: Ledger, corpus: Corpus, features: StudyFeatures, slots: int, crew: Crew) -> Any:
    """What a trial's worker runs, with what all trials of a study share, and where."""
    trainable = tune.with_parameters(
        train_trial,
        context=StudyContext(ledger.study),
        corpus=corpus,
        features=share(features, elsewhere=crew.expected is not None),
        writer=start_writer(ledger),
        save_seconds=save_seconds(slots, in_cloud=url_of(ledger.root) is not None),
        report_seconds=slots / REPORTS_PER_SECOND,
        threads=max(1, int(crew.per_trial["cpu"])),
        card=crew.per_trial["gpu"],
        expected=crew.expected,
    )
    return tune.with_resources(trainable, place_trials(crew.per_trial, crew.unused))


def find_cause(error: BaseException | None, *kinds: type[E]) -> E | None:
    """The exception of one of some kinds under Tune's, if there is one."""
    while error is not None and not isinstance(error, kinds):
        error = error.__cause__ or error.__context__
    return error
