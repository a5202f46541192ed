"""A study's trials run by Ray Tune, and Ray itself. Ray's own files are never read back."""

import logging
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from audiotag.corpus.corpus import Corpus
from audiotag.features.log_mel import LogMel
from study.ledger.context import TrialSettings
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import Ledger, TrialFolder
from study.ledger.pruning import pruned
from study.ledger.reports import FAILED, HALTED, SAID
from study.search.searcher import LedgerSearch
from study.search.space import quiet_optuna
from study.tuning.worker import run_in_worker

RESTARTS = 3  # of a trial whose worker died; it continues from its last epoch


class Listener(Protocol):
    """Who wants to hear of trials while they run."""

    def started(self, key: str, config: dict[str, Any]) -> None:
        """A trial got its resources; again after it broke off."""

    def broke_off(self, key: str, reason: str) -> None:
        """A trial's worker died or raised; it goes on after its last epoch."""

    def reported(self, key: str, report: dict[str, Any]) -> None:
        """What `study.tuning.trial.trial_reports` yielded."""

    def stopped(self, key: str, reason: str) -> None:
        """A trial was stopped by the scheduler."""

    def ended(self, key: str, reason: str | None) -> None:
        """A trial finished, or failed with a reason."""


class Relay(tune.Callback):
    """Ray Tune's events in the study's words."""

    def __init__(self, listeners: list[Listener], settings: TrialSettings) -> None:
        self._listeners, self._settings = listeners, settings

    def __getstate__(self) -> dict[str, Any]:
        """Without the listeners: Tune pickles its callbacks for a restore of its own, which nobody uses."""
        return {"_listeners": [], "_settings": self._settings}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        config = self._settings.config(trial.config)
        self._tell("started", self._settings.key(config), config.to_dict())

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        for text in result.get(SAID, ()):
            warnings.warn(text, LedgerWarning, stacklevel=1)
        if HALTED in result:
            raise LedgerError(result[HALTED])  # an exception in a callback ends Tune's run: here that is the purpose
        self._tell("reported", self._key(trial), result)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._tell("broke_off", self._key(trial), _why(trial))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        key = self._key(trial)
        if (record := pruned(self._folder(key))) is not None:
            self._tell("stopped", key, record["reason"])
        else:
            self._tell("ended", key, trial.last_result.get(FAILED))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        reason = f"it broke off {trial.num_failures} times, the last time because {_why(trial)}"
        self._folder(self._key(trial)).write_failure(reason)
        self._tell("ended", self._key(trial), reason)

    def _key(self, trial: Trial) -> str:
        return self._settings.key(self._settings.config(trial.config))

    def _folder(self, key: str) -> TrialFolder:
        return Ledger(Path(self._settings.ledger)).trial(key)

    def _tell(self, event: str, *arguments: Any) -> None:
        for listener in self._listeners:
            try:
                getattr(listener, event)(*arguments)
            except Exception as error:  # Tune ends the whole study for an exception in a callback
                warnings.warn(f"{type(listener).__name__}.{event}: {error!r}", RuntimeWarning, stacklevel=2)


def _why(trial: Trial) -> str:
    """Why a trial's function ended, in a line. Tune keeps the exception in a file of its own on the driver's disk."""
    path = Path(trial.pickled_error_file or "")
    error = ray.cloudpickle.loads(path.read_bytes()) if path.is_file() else None
    if isinstance(error, ray.exceptions.RayActorError):
        memory = "low on memory" in str(error)
        return "its worker ran out of memory" if memory else "its worker died (killed, or out of memory)"
    cause = getattr(error, "cause", None) or error
    return f"of {type(cause).__name__}: {' '.join(str(cause).split())[:300]}"


def run_trials(
    search: LedgerSearch,
    settings: TrialSettings,
    corpus: Corpus,
    features: dict[LogMel, np.ndarray],
    *,
    trials: int,
    slots: int,
    per_trial: dict[str, float],
    listeners: list[Listener],
    scheduler: TrialScheduler | None = None,
) -> None:
    """Runs so many more trials, one in each slot; returns when all have finished or failed, or were stopped by the
    scheduler.

    A trial is proposed when its slot is free, so with all results that are there. Left to itself Tune would propose it
    while its predecessors run, and start the first trials one after the other.

    Raises:
        LedgerError: when the ledger cannot be written.
    """
    trainable = tune.with_parameters(
        run_in_worker,
        settings=settings,
        corpus=corpus,
        features={heard: np.asarray(values) for heard, values in features.items()},
        threads=max(1, int(per_trial["cpu"])),
        card=per_trial["gpu"],
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        tune.with_resources(trainable, per_trial),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=scheduler,
            num_samples=trials,
            max_concurrent_trials=slots,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=settings.ledger,
            verbose=0,
            callbacks=[Relay(listeners, settings)],
            failure_config=tune.FailureConfig(max_failures=RESTARTS),
        ),
    )
    with quiet_optuna():
        try:
            tuner.fit()
        except Exception as error:
            if (reason := _ledger_error(error)) is not None:
                raise reason from None
            raise


def _ledger_error(error: BaseException | None) -> LedgerError | None:
    """The reason of ours under Tune's exceptions, if there is one."""
    while error is not None and not isinstance(error, LedgerError):
        error = error.__cause__ or error.__context__
    return error
