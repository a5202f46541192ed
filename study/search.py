"""Space and ledger to an Optuna study to a Ray Tune run. Ray's own files are never read back."""

import logging
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
import ray
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search.optuna import OptunaSearch

from audiotag.corpus import Corpus
from audiotag.features import LogMel
from search_spaces import Space
from study.combinations import combinations, quiet_optuna
from study.files import LedgerError, LedgerWarning
from study.ledger import Ledger, TrialFolder
from study.results import trial_results
from study.settings import TrialSettings
from study.worker import FAILED, HALTED, METRIC, SAID, run_in_worker

RESTARTS = 3  # of a trial whose worker died; it continues from its last epoch
REDRAWS = 100  # attempts to sample a configuration that the study has not had


class Listener(Protocol):
    """Who wants to hear of trials while they run."""

    def started(self, key: str, config: dict[str, Any]) -> None:
        """A trial got its resources; again after it broke off."""

    def broke_off(self, key: str, reason: str) -> None:
        """A trial's worker died or raised; it goes on after its last epoch."""

    def reported(self, key: str, report: dict[str, Any]) -> None:
        """What `study.trial.trial_reports` yielded."""

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
        self._tell("ended", self._key(trial), trial.last_result.get(FAILED))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        reason = f"it broke off {trial.num_failures} times, the last time because {_why(trial)}"
        Ledger(Path(self._settings.ledger)).trial(self._key(trial)).write_failure(reason)
        self._tell("ended", self._key(trial), reason)

    def _key(self, trial: Trial) -> str:
        return self._settings.key(self._settings.config(trial.config))

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


class LedgerSearch(OptunaSearch):
    """OptunaSearch that enters each configuration in the ledger, repeats none, and tells failed trials as failed."""

    def __init__(self, ledger: Ledger, settings: TrialSettings, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._ledger = ledger
        self._settings = settings
        self._mine: set[str] = set()  # keys handed out in this session

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Tune saves its searcher again and again for a restore of its own, which nobody uses."""
        Path(checkpoint_path).touch()

    def suggest(self, trial_id: str) -> Any:
        """The next configuration that is neither finished, failed nor running."""
        for _ in range(REDRAWS):
            parameters = super().suggest(trial_id)
            assert parameters is not None, "OptunaSearch always has a proposal"
            config = self._settings.config(parameters)
            key = self._settings.key(config)
            folder = self._ledger.trial(key)
            if folder.trial() is None:
                folder.write_trial(self._ledger.next_number(), config.to_dict())
            elif key in self._mine or trial_results(folder, self._ledger.study()) is not None:
                study = self._ot_study
                study.tell(self._ot_trials.pop(trial_id), state=TrialState.FAIL)  # type: ignore[attr-defined]
                continue
            self._mine.add(key)
            return parameters
        return tune.search.Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: epochs of different folds are no learning curve, and a restarted trial counts its reports anew."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells Optuna: COMPLETE with the mean EER, or FAIL."""
        failed = result is not None and FAILED in result
        super().on_trial_complete(trial_id, None if failed or error else result, error or failed)


def make_search(space: Space, ledger: Ledger, settings: TrialSettings) -> LedgerSearch:
    """A searcher on a fresh Optuna study that holds what the ledger knows and goes on from there."""
    storage = optuna.storages.InMemoryStorage()
    name = ledger.root.name
    with quiet_optuna():
        study = optuna.create_study(storage=storage, study_name=name, direction="minimize")
        unfinished = []
        for folder in ledger.trials():
            if (told := trial_results(folder, ledger.study())) is not None:
                study.add_trial(_frozen(space, _config(folder), told))
            else:
                unfinished.append(_config(folder))
        for config in unfinished:
            study.enqueue_trial(_frozen(space, config, None).params)
        if space.sampler == "exhaustive":
            left_out = [row["params"] for row in ledger.study().get("left_out", [])]
            for parameters in combinations(space):
                if parameters not in left_out:
                    study.enqueue_trial(parameters, skip_if_exists=True)
            sampler: optuna.samplers.BaseSampler = optuna.samplers.BruteForceSampler(seed=settings.seed)
        else:
            sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.trials))

        return LedgerSearch(
            ledger,
            settings,
            space=space.define,
            metric=METRIC,
            mode="min",
            sampler=sampler,
            study_name=name,
            storage=storage,
        )


def _config(folder: TrialFolder) -> dict[str, Any]:
    trial = folder.trial()
    assert trial is not None, "the ledger lists trials by their configuration"
    return trial["config"]


def _frozen(space: Space, config: dict[str, Any], result: dict[str, Any] | None) -> FrozenTrial:
    """An Optuna trial of a configuration; the space's own function tells its parameters from the rest."""
    fixed = FixedTrial(config)
    space.define(fixed)
    finished = result is not None and result["status"] == "finished"
    return create_trial(
        state=TrialState.COMPLETE if finished else TrialState.FAIL,
        value=result[METRIC] if result is not None and finished else None,
        params=fixed.params,
        distributions=fixed.distributions,
    )


def run_trials(
    search: LedgerSearch,
    settings: TrialSettings,
    corpus: Corpus,
    features: dict[LogMel, np.ndarray],
    *,
    trials: int,
    per_trial: dict[str, float],
    listeners: list[Listener],
) -> None:
    """Runs so many more trials; returns when all have finished or failed.

    Raises:
        LedgerError: when the ledger cannot be written.
    """
    trainable = tune.with_parameters(
        run_in_worker,
        settings=settings,
        corpus=corpus,
        features={heard: np.asarray(values) for heard, values in features.items()},
        threads=max(1, int(per_trial["cpu"])),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        tune.with_resources(trainable, per_trial),
        tune_config=tune.TuneConfig(search_alg=search, num_samples=trials, reuse_actors=True),
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
