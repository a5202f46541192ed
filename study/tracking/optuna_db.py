"""optuna.db: the ledger for Optuna's own tools, live and after. A copy that can be thrown away and made again.

The search itself works on a study in memory, where a proposal that would repeat a trial is told as failed; here are the
ledger's trials and nothing else.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from search_spaces import Space
from study.ledger.findings import Findings, read_findings
from study.ledger.ledger import Ledger
from study.ledger.results import trial_result
from study.ledger.schema import StudyRecord
from study.search.optuna_trials import optuna_trial, state_of
from study.search.space import quiet_optuna
from study.tracking.optuna_notes import set_note, trial_note
from study.tracking.tracker import Progress

FILE = "optuna.db"


def open_storage(path: Path) -> RDBStorage:
    """A database, made if need be. What a power failure may tear in it is made again."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
        connection.execute("pragma synchronous = off")
        return connection

    return RDBStorage("sqlite:///", engine_kwargs={"creator": connect})  # no address to quote a path in


class OptunaCopy:
    """A study in its optuna.db. An update adds what is new; Optuna changes no trial that has ended."""

    shows_epochs = False

    def __init__(self, ledger: Ledger, space: Space) -> None:
        self.name = f"{FILE} of {ledger.root.name}"
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._ledger, self._space = ledger, space
        self._path = ledger.root / FILE
        self._storage: RDBStorage | None = None
        self._trials: dict[str, tuple[int, FrozenTrial]] = {}  # by key: id and content in the database

    def update(self, progress: Progress) -> None:
        """Bring the database up to the ledger; unless the study is running, no trial is RUNNING."""
        goes_on = progress.status == "running"
        among = progress.touched if goes_on and self._storage is not None else None
        storage, self._storage = self._storage or self._open(), None  # after a failure nobody knows what has arrived
        running = progress.started if goes_on else set()
        ended = {key for key, (_, trial) in self._trials.items() if trial.state.is_finished()}
        study_id = storage.get_study_id_from_name(self._ledger.study.name)
        for folder in self._ledger.trials(among, without=ended):
            result = trial_result(self._ledger, folder)
            trial = optuna_trial(folder, self._ledger.study, self._space, result, folder.key in running)
            if folder.key in self._trials:
                number, known = self._trials[folder.key]
                _change(storage, number, known, trial)
            else:
                number = storage.create_new_trial(study_id, trial)
            self._trials[folder.key] = number, trial
        if not goes_on and (findings := read_findings(self._ledger)) is not None:
            self._write_notes(storage, study_id, findings)
        self._storage = storage

    def _write_notes(self, storage: RDBStorage, study_id: int, findings: Findings) -> None:
        """Write what the report finds of the study, and of each trial that has ended."""
        set_note(storage, study_id, findings.markdown)
        for folder in self._ledger.trials():
            if (result := trial_result(self._ledger, folder)) is not None:
                number, _ = self._trials[folder.key]
                set_note(storage, study_id, trial_note(self._ledger.study, result, findings), number)

    def _open(self) -> RDBStorage:
        """The database, with what it has of the study; one that is damaged, or in use for too long, is replaced."""
        try:
            return self._load()
        except Exception:  # whatever a damaged database makes of it
            for name in (FILE, f"{FILE}-journal"):
                self._path.with_name(name).unlink(missing_ok=True)
            return self._load()

    def _load(self) -> RDBStorage:
        storage, study = open_storage(self._path), self._ledger.study
        for name in optuna.get_all_study_names(storage):
            if name != study.name:  # its folder was copied or renamed
                optuna.delete_study(study_name=name, storage=storage)
        number = _find_study(storage, study)
        self._trials = {
            trial.user_attrs["key"]: (storage.get_trial_id_from_study_id_trial_number(number, trial.number), trial)
            for trial in storage.get_all_trials(number)
        }
        if not all(self._agrees(key, trial) for key, (_, trial) in self._trials.items()):
            optuna.delete_study(study_name=study.name, storage=storage)
            _find_study(storage, study)
            self._trials = {}
        return storage

    def _agrees(self, key: str, trial: FrozenTrial) -> bool:
        """Whether a trial in the database can be brought up to the ledger."""
        folder = self._ledger.trial(key)
        if not trial.state.is_finished():
            return folder.read_trial() is not None
        result = trial_result(self._ledger, folder)
        return result is not None and (state_of(result), result.mean) == (trial.state, trial.value)


def _find_study(storage: RDBStorage, record: StudyRecord) -> int:
    """The study's number in a database; it is made if need be."""
    direction = record.objective.direction
    with quiet_optuna():  # set_metric_names calls itself experimental
        study = optuna.create_study(storage=storage, study_name=record.name, direction=direction, load_if_exists=True)
        study.set_metric_names([f"{record.metric}_mean"])
    for name, value in {"space": record.space, "corpus": record.corpus.name, "question": record.question}.items():
        study.set_user_attr(name, value)
    return storage.get_study_id_from_name(record.name)


def write_database(ledger: Ledger, space: Space, warn: Callable[[str], None]) -> None:
    """Bring the optuna.db of a study that does not run up to date; a failure costs one warning."""
    copy = OptunaCopy(ledger, space)
    try:
        copy.update(Progress("finished"))
    except Exception as error:  # of a copy that can be thrown away
        warn(f"{copy.name} is not up to date ({error!r}). Nothing else is lost.")


def _change(storage: RDBStorage, number: int, known: FrozenTrial, trial: FrozenTrial) -> None:
    for step in trial.intermediate_values.keys() - known.intermediate_values.keys():
        storage.set_trial_intermediate_value(number, step, trial.intermediate_values[step])
    for name in trial.user_attrs.keys() - known.user_attrs.keys():
        storage.set_trial_user_attr(number, name, trial.user_attrs[name])
    if trial.state != known.state:
        storage.set_trial_state_values(number, trial.state, trial.values)
