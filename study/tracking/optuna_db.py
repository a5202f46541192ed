"""optuna.db: the ledger as Optuna's own tools show it, live and after. A copy, made again at each start of a session.

The search itself works on a study in memory, where a proposal that would repeat a trial is told as failed; here stand
the ledger's trials and nothing else. One writer, the driver, in a thread of its own: training never waits for it.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy.orm import Session

from search_spaces import Space
from study.ledger.ledger import Ledger, TrialFolder
from study.ledger.results import trial_results
from study.search.optuna_trials import optuna_trial, state_of

FILE = "optuna.db"
INTERVAL = 1.0  # s between updates
PATIENCE = 60.0  # s that the end of a session waits for the last one
METRIC_NAMES = "study:metric_names"  # where Optuna keeps them


def open_storage(path: Path) -> RDBStorage:
    """A database, made if need be. What a power failure may tear in it is made again."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
        connection.execute("pragma synchronous = off")
        return connection

    return RDBStorage("sqlite:///", engine_kwargs={"creator": connect})  # no address to quote a path in


def add_trials(storage: RDBStorage, study_id: int, first: int, trials: list[FrozenTrial]) -> None:
    """Adds trials with the ids `first`, `first` + 1, ... in one transaction.

    The same rows as from Optuna's own create_new_trial, which takes 17 ms of CPU a trial.
    """
    rows: list[Any] = []
    for number, trial in enumerate(trials, start=first):
        begun, ended = trial.datetime_start, trial.datetime_complete
        rows.append(
            models.TrialModel(
                trial_id=number,
                number=number - 1,
                study_id=study_id,
                state=trial.state,
                datetime_start=begun,
                datetime_complete=ended,
            )
        )
        for objective, value in enumerate(trial.values or []):
            held, kind = models.TrialValueModel.value_to_stored_repr(value)
            rows.append(models.TrialValueModel(trial_id=number, objective=objective, value=held, value_type=kind))
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            place, text = distribution.to_internal_repr(value), distribution_to_json(distribution)
            rows.append(
                models.TrialParamModel(trial_id=number, param_name=name, param_value=place, distribution_json=text)
            )
        for step, value in trial.intermediate_values.items():
            held, defined = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
            rows.append(
                models.TrialIntermediateValueModel(
                    trial_id=number, step=step, intermediate_value=held, intermediate_value_type=defined
                )
            )
        for name, value in trial.user_attrs.items():
            rows.append(models.TrialUserAttributeModel(trial_id=number, key=name, value_json=json.dumps(value)))
    with Session(storage.engine) as session, session.begin():
        session.add_all(rows)


def install(aside: Path, path: Path) -> None:
    """Gives a database the content of another in one transaction: a dashboard that has it open sees what is new.

    One that is damaged, or in use for too long, is replaced by the other.
    """
    try:
        with closing(sqlite3.connect(aside)) as new, closing(sqlite3.connect(path)) as old:
            new.backup(old)
        aside.unlink()
    except sqlite3.DatabaseError:
        path.with_name(f"{FILE}-journal").unlink(missing_ok=True)  # of a killed writer: SQLite would undo ours with it
        os.replace(aside, path)


class Database:
    """A study's optuna.db, made anew from the ledger and then kept up to it."""

    def __init__(self, ledger: Ledger, space: Space, running: set[str]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._ledger, self._space, self._study = ledger, space, ledger.study()
        self._ids: dict[str, int] = {}
        self._seen: dict[str, FrozenTrial] = {}  # trials that have not ended, as they are in the database
        path, aside = ledger.root / FILE, ledger.root / f".{FILE}.{os.getpid()}.tmp"
        for leftover in ledger.root.glob(f".{FILE}.*"):
            leftover.unlink()
        self._storage = open_storage(aside)
        try:
            self._study_id = self._storage.create_new_study([StudyDirection.MINIMIZE], self._study["study"])
            self._storage.set_study_system_attr(self._study_id, METRIC_NAMES, ["eer_mean"])
            shown = {"space": self._study["space"], "corpus": self._study["corpus"]["name"]}
            for name, value in {**shown, "question": self._study["question"]}.items():
                self._storage.set_study_user_attr(self._study_id, name, value)
            self.update(running)
        finally:
            self.close()
        install(aside, path)
        self._storage = open_storage(path)

    def update(self, running: set[str]) -> None:
        """Adds what the ledger has and the database lacks; trials with these keys are being trained now."""
        new = {}
        for folder in self._open_trials():
            result = trial_results(folder, self._study)
            trial = optuna_trial(folder, self._study, self._space, result, folder.key in running)
            if folder.key in self._ids:
                self._add(self._ids[folder.key], self._seen[folder.key], trial)
                self._seen[folder.key] = trial
            else:
                new[folder.key] = trial
        first = len(self._ids) + 1
        add_trials(self._storage, self._study_id, first, list(new.values()))
        self._ids |= {key: number for number, key in enumerate(new, start=first)}
        self._seen |= new

    def _open_trials(self) -> list[TrialFolder]:
        """The trials that may have something new, by their numbers."""
        ended = {key for key, trial in self._seen.items() if trial.state.is_finished()}
        folders = [self._ledger.trial(path.name) for path in (self._ledger.root / "trials").glob("*")]
        numbered = [
            (trial["number"], folder.key, folder)
            for folder in folders
            if folder.key not in ended and (trial := folder.trial()) is not None
        ]
        return [folder for _, _, folder in sorted(numbered, key=lambda entry: entry[:2])]

    def _add(self, number: int, old: FrozenTrial, new: FrozenTrial) -> None:
        for step, mean in new.intermediate_values.items():
            if step not in old.intermediate_values:
                self._storage.set_trial_intermediate_value(number, step, mean)
        for name, value in new.user_attrs.items():
            if name not in old.user_attrs:
                self._storage.set_trial_user_attr(number, name, value)
        if new.state != old.state:
            self._storage.set_trial_state_values(number, new.state, new.values)

    def close(self) -> None:
        """Lets go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def is_current(ledger: Ledger) -> bool:
    """Whether optuna.db holds each of a study's trials as it ended: nothing is to be written then."""
    path, study = ledger.root / FILE, ledger.study()
    if not path.is_file():
        return False
    ended = {folder.key: state_of(trial_results(folder, study), False) for folder in ledger.trials()}
    try:
        trials = optuna.load_study(study_name=study["study"], storage=open_storage(path)).trials
    except Exception:  # whatever a damaged database makes of it
        return False
    return {trial.user_attrs.get("key"): trial.state for trial in trials} == ended and len(trials) == len(ended)


class OptunaView:
    """Keeps optuna.db up to date while a study runs; a listener of `study.tuning.tune`. A failure costs one warning."""

    def __init__(self, ledger: Ledger, space: Space, warn: Callable[[str], None]) -> None:
        self._ledger, self._space, self._warn = ledger, space, warn
        self._database: Database | None = None
        self._running: set[str] = set()
        self._failed = False
        self._changed, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="optuna", daemon=True)

    def start(self) -> None:
        """Starts with what the ledger holds now."""
        self._changed.set()
        self._thread.start()

    def close(self) -> None:
        """A last update, after which no trial is RUNNING."""
        self._closing.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    def started(self, key: str, config: dict[str, Any]) -> None:
        """As a listener: a trial began."""
        self._running.add(key)
        self._changed.set()

    def broke_off(self, key: str, reason: str) -> None:
        """As a listener: a trial's worker died; it goes on."""

    def reported(self, key: str, report: dict[str, Any]) -> None:
        """As a listener: an epoch, of which nothing is shown, or the end of a fold."""
        if "fold" not in report:
            self._changed.set()

    def stopped(self, key: str, reason: str) -> None:
        """As a listener: a trial was stopped by the scheduler."""
        self._changed.set()

    def ended(self, key: str, reason: str | None) -> None:
        """As a listener: a trial finished or failed."""
        self._changed.set()

    def _loop(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            closing = self._closing.is_set()
            self._write(set() if closing else set(self._running))
            if closing:
                return
            self._closing.wait(INTERVAL)

    def _write(self, running: set[str]) -> None:
        try:
            if self._database is None:
                self._database = Database(self._ledger, self._space, running)
            self._database.update(running)
        except Exception as error:  # whatever it is, the study goes on; the next attempt begins with an empty file
            self._database = None
            if not self._failed:
                self._failed = True
                self._warn(f"{FILE} of {self._ledger.root.name} is not up to date ({error!r}). Nothing else is lost.")


def write_view(ledger: Ledger, space: Space, warn: Callable[[str], None]) -> None:
    """Makes optuna.db again, of a study that does not run."""
    OptunaView(ledger, space, warn)._write(set())
