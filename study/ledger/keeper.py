"""What a trial goes on from, and how what it hands over is kept: the one writer of a study's ledger."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Protocol

from study.ledger.driver import DriverRecord, read_driver
from study.ledger.files import LedgerError
from study.ledger.ledger import trial_folder
from study.ledger.saved_state import FoldFiles, Training
from study.ledger.schema import FoldRecord, StudyRecord, TrialRecord
from study.ledger.trial_folder import TrialFolder


@dataclass(frozen=True)
class TrialStart:
    """What the ledger has of a trial that begins or goes on.

    Attributes:
        trial: Its number and configuration.
        finished: The records of its finished trainings.
        state: The saved state of a training in progress; None where there is none.
        failure: Why it is not to go on, if that has been recorded meanwhile.
    """

    trial: TrialRecord
    finished: dict[Training, FoldRecord]
    state: bytes | None = None
    failure: str | None = None


class Keeper(Protocol):
    """To whom a trial hands over what it has; it is kept when a method returns, but for states.

    Of a state that is handed over while its worker dies, the one before may be what is kept.
    """

    def begin(self) -> TrialStart:
        """Give the trial what it goes on from."""

    def keep_state(self, content: bytes) -> None:
        """Replace the saved state of the training in progress."""

    def keep_fold(self, training: Training, record: FoldRecord, files: FoldFiles) -> None:
        """Keep a finished training; the saved state goes."""

    def set_state_aside(self, reason: str) -> None:
        """Set a saved state aside that cannot be used."""

    def fail(self, partition: int, reason: str) -> None:
        """Mark the trial as failed in a partition."""


class TrialKeeper:
    """Keeps what a trial hands over in its folder of the ledger: a `Keeper`.

    Args:
        folder: The trial's.
        study: Its study.
        driver: The process that runs the study; as soon as another one does, nothing is written any more. None: none
            is looked for.
    """

    def __init__(self, folder: TrialFolder, study: StudyRecord, driver: DriverRecord | None = None) -> None:
        self._folder, self._study, self._driver = folder, study, driver

    def begin(self) -> TrialStart:
        """Give the trial what it goes on from; damaged files are set aside, and half-written ones removed."""
        self._require_driver()
        self._folder.clear_leftovers()
        study, finished = self._study, {}
        for training in trainings_of(study, self._folder.key):
            part = self._part(training)
            if (record := part.read_fold(training.fold)) is not None:
                finished[training] = record
            else:
                part.set_fold_aside(training.fold)
        return TrialStart(self._folder.trial, finished, self._folder.read_running(), self._folder.read_failure())

    def keep_state(self, content: bytes) -> None:
        """Replace the saved state of the training in progress."""
        self._require_driver()
        self._folder.write_running(content)

    def keep_fold(self, training: Training, record: FoldRecord, files: FoldFiles) -> None:
        """Keep a finished training; the saved state goes."""
        self._require_driver()
        self._part(training).write_fold(record, files)

    def set_state_aside(self, reason: str) -> None:
        """Set a saved state aside that cannot be used."""
        self._require_driver()
        self._folder.set_running_aside(reason)

    def fail(self, partition: int, reason: str) -> None:
        """Mark the trial as failed in a partition."""
        self._require_driver()
        self._folder.for_partition(partition).write_failure(reason)

    def _part(self, training: Training) -> TrialFolder:
        return self._folder.for_training(training)

    def _require_driver(self) -> None:
        """Refuse what a trial of an earlier session hands over, which Ray has not ended yet."""
        if self._driver is None:
            return
        if (now := read_driver(self._folder.path.parents[1])) != self._driver:
            by = f": it is being run by {now}" if now else ""
            raise LedgerError(f"The session of this study has ended{by}.")


def keeper_of(root: Path, key: str, study: StudyRecord, driver: DriverRecord | None = None) -> TrialKeeper:
    """The keeper of one of a study's trials."""
    return TrialKeeper(trial_folder(root, key), study, driver)


def trainings_of(study: StudyRecord, key: str) -> list[Training]:
    """A trial's trainings in their order: a fold with each seed, then the next; all of a partition before the next."""
    seeds = [None, *study.seeds[1:]]
    return [
        Training(partition, fold, seed)
        for partition, fold, seed in product(study.partitions_of(key), study.folds, seeds)
    ]
