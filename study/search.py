"""A study's trials run by Ray Tune, and Ray itself. Ray's own files are never read back."""

import logging
import os
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from audiotag.corpus import Corpus
from audiotag.features import LogMel
from study.combinations import quiet_optuna
from study.files import LedgerError, LedgerWarning
from study.ledger import Ledger, TrialFolder
from study.proposals import LedgerSearch
from study.settings import TrialSettings
from study.stopped import pruned
from study.trial import FAILED, HALTED, SAID, run_trial

RESTARTS = 3  # of a trial whose worker died; it continues from its last epoch
# A trial runs in a thread, whose part of the heap glibc gives back to the kernel at every step. How much faulting it in
# again costs depends on the machine: from nothing that noise would show to a third of a training step
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


class ResourceError(ValueError):
    """More resources asked for than there are; one line for the user."""


class Listener(Protocol):
    """Who wants to hear of trials while they run."""

    def started(self, key: str, config: dict[str, Any]) -> None:
        """A trial got its resources; again after it broke off."""

    def broke_off(self, key: str, reason: str) -> None:
        """A trial's worker died or raised; it goes on after its last epoch."""

    def reported(self, key: str, report: dict[str, Any]) -> None:
        """What `study.trial.trial_reports` yielded."""

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


def start_ray(cpus: float | None, gpus: float | None, address: str | None) -> dict[str, float]:
    """Starts Ray, or joins the cluster at `address`, quietly; returns what a trial gets: {"cpu": c, "gpu": g}.

    Where None is given: four trials a GPU where there are GPUs, one core each where there are none.

    Raises:
        ResourceError: when a trial asks for more than the cluster has, or no cluster answers at the address.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    os.environ |= {"TUNE_DISABLE_SIGINT_HANDLER": "1", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    os.environ |= ALLOCATOR  # inherited by the workers of our own cluster
    own: dict[str, Any] = {"include_dashboard": False}
    options = {"runtime_env": {"env_vars": ALLOCATOR}} if address else own
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except ConnectionError as error:
        raise ResourceError(f"--address is {address}, but no Ray cluster answers there: {error}") from error
    except Exception as error:  # Ray has no kind of its own for a start that takes more than its 30 s
        raise ResourceError(f"Ray did not start: {error} Nothing is lost: try again later.") from error
    # a worker that died is told by us, with its trial; Ray prints a paragraph beside it and has no public switch
    setattr(ray._private.worker, "print_to_stdstream", lambda *_, **__: None)  # noqa: B010
    there = ray.cluster_resources()
    cores, cards = there.get("CPU", 0.0), there.get("GPU", 0.0)
    gpus = gpus if gpus is not None else (0.25 if cards else 0.0)
    cpus = cpus if cpus is not None else (min(1.0, cores * gpus / cards) if gpus and cards else 1.0)
    for flag, asked, most in (("--cpus-per-trial", cpus, cores), ("--gpus-per-trial", gpus, cards)):
        if asked > most:
            raise ResourceError(f"{flag} is {asked:g}, but this Ray cluster has {most:g}: ask for no more than that.")
    return {"cpu": cpus, "gpu": gpus}


def stop_ray() -> None:
    """Ends our cluster with all its workers, or leaves the one that was joined."""
    ray.shutdown()


def count_slots(per_trial: dict[str, float]) -> int:
    """How many trials the cluster holds side by side."""
    there = ray.cluster_resources()
    shares = [there.get(name.upper(), 0.0) / asked for name, asked in per_trial.items() if asked]
    return max(1, int(min(shares) + 1e-9))


def run_trials(
    search: LedgerSearch,
    settings: TrialSettings,
    corpus: Corpus,
    features: dict[LogMel, np.ndarray],
    *,
    trials: int,
    per_trial: dict[str, float],
    listeners: list[Listener],
    scheduler: TrialScheduler | None = None,
) -> None:
    """Runs so many more trials; returns when all have finished or failed, or were stopped by the scheduler.

    Raises:
        LedgerError: when the ledger cannot be written.
    """
    trainable = tune.with_parameters(
        run_trial,
        settings=settings,
        corpus=corpus,
        features={heard: np.asarray(values) for heard, values in features.items()},
        threads=max(1, int(per_trial["cpu"])),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    tuner = tune.Tuner(
        tune.with_resources(trainable, per_trial),
        tune_config=tune.TuneConfig(search_alg=search, scheduler=scheduler, num_samples=trials, reuse_actors=True),
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
