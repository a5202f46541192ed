"""The ledger: the truth about a study, as files. Ray, Optuna and MLflow hold views of it that can be thrown away.

Every file is whole or absent. A session opens the ledger once: what does not change any more, the study's record and
the results of trials that have ended, is read once.
"""

import os
import shutil
import socket
import warnings
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audiotag.files import size_of
from audiotag.metrics import METRICS
from audiotag.uris import public
from study.cloud import shown
from study.ledger.clips import Clips, read_clips
from study.ledger.driver import DriverRecord, held, is_driven
from study.ledger.files import LedgerError, LedgerWarning, WriteError, read_json, write_json
from study.ledger.identity import STUDY_FILE, identify
from study.ledger.mirror import fetch, mirror_of
from study.ledger.partitions import in_partition
from study.ledger.schema import READABLE, RecordError, StudyRecord, TrialResult, read_record, write_record
from study.ledger.store import ConflictError, StoreError
from study.ledger.trial_folder import TrialFolder

RESULTS_FILE = "results.json"


class Ledger:
    """A study's folder.

    Attributes:
        root: Its path.
        study: Its record.
        driver: This process, while it runs the study; else None.
        ended: Results of trials of which nothing is left to be trained, by key (filled by `study.ledger.results`).
        keep_damaged: Leave damaged files of trials where they are: for who only reads.
    """

    def __init__(self, root: Path, study: StudyRecord, *, keep_damaged: bool = False) -> None:
        self.root, self.study, self.keep_damaged = root, study, keep_damaged
        self.driver: DriverRecord | None = None
        self.ended: dict[str, TrialResult] = {}
        self._clips: Clips | None = None
        self._taken: set[int] | None = None  # numbers of trials, once they are needed
        self._unsettled, self._moved = False, ""  # identity to be written, and what is to be said of it

    @classmethod
    def create(cls, root: Path, study: StudyRecord) -> "Ledger":
        """Make a new study folder.

        Raises:
            LedgerError: If something of that name exists, or the folder cannot be written.
        """
        mirror, folder = mirror_of(root), shown(root.parent)
        aside = root.with_name(f".{root.name}.{os.getpid()}.tmp")  # renamed when whole
        try:
            aside.mkdir(parents=True)
            study = replace(study, folder=shown(root))
            write_json(aside / STUDY_FILE, write_record(study))
            if mirror is not None:
                mirror.create(root / STUDY_FILE, (aside / STUDY_FILE).read_bytes())
            aside.rename(root)
        except (OSError, WriteError, StoreError, ConflictError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            if not root.exists() and not isinstance(error, ConflictError):
                why = getattr(error.__cause__ or error, "strerror", None) or error
                raise LedgerError(
                    f"The study folder {shown(root)} cannot be written ({why}): choose --studies."
                ) from None
            raise LedgerError(
                f"The study `{root.name}` exists in {folder}: continue it with --resume {root.name}, "
                "or choose another --name."
            ) from None
        return cls(root, study)

    @classmethod
    def open(cls, root: Path, *, keep_damaged: bool = False) -> "Ledger":
        """Open a study folder; one that was copied is a study of its own (`study.ledger.identity`).

        Raises:
            LedgerError: Where there is none, or one that this version cannot read.
        """
        fetch(root)
        if size_of(root / STUDY_FILE) is None:
            raise LedgerError(f"There is no study `{root.name}` in {shown(root.parent)} (no {STUDY_FILE} in it).")
        content = read_json(root / STUDY_FILE, _as_dict, keep=True)
        try:
            if content is None:
                raise RecordError
            _require_readable(root, content)
            record = read_record(StudyRecord, content)
            _require_metric(root, record.metric)
            return cls._of(root, record, keep_damaged)
        except RecordError as error:
            what = f"a {STUDY_FILE} without a usable `{error}`" if content else f"a damaged {STUDY_FILE}"
            raise LedgerError(
                f"The study `{root.name}` in {shown(root.parent)} has {what}: put back a copy of it."
            ) from None

    @classmethod
    def _of(cls, root: Path, record: StudyRecord, keep_damaged: bool) -> "Ledger":
        study, moved = identify(root, record)
        study = replace(study, command=public(study.command))  # an earlier version kept its passwords
        ledger = cls(root, study, keep_damaged=keep_damaged)
        ledger._unsettled, ledger._moved = ledger.study != record, moved or ""
        return ledger

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study for one driver, this process; a file tells others who holds it.

        Raises:
            LedgerError: While another driver holds it, or if the folder cannot be written.
            StoreError: If its object store cannot be used.
        """
        now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
        driver = DriverRecord(socket.gethostname(), os.getpid(), now)
        with held(self.root, driver):
            self.driver = driver
            try:
                self._settle()
                yield
            finally:
                self.driver = None

    def _settle(self) -> None:
        """Record the study's identity where its folder was copied, renamed or moved, and say so."""
        if self._unsettled:
            write_json(self.root / STUDY_FILE, write_record(self.study))
            self._unsettled = False
        if self._moved:
            warnings.warn(self._moved, LedgerWarning, stacklevel=4)
            self._moved = ""

    def is_held(self) -> bool:
        """Whether a driver runs the study now."""
        return is_driven(self.root)

    def update_study(self, **changes: Any) -> None:
        """Change the study's record: its numbers of trials and partitions, and with which program it goes on."""
        study = replace(self.study, **changes)
        if study != self.study:
            write_json(self.root / STUDY_FILE, write_record(study))
            self.study = study
            self.ended = {}  # with more partitions none may have; a thread that reads a result has the old one

    def clips(self, partition: int = 1) -> Clips | None:
        """The clips of the study's corpus, in the folds of a partition; None as long as they are missing or damaged."""
        if self._clips is None:
            self._clips = read_clips(self.root)
        return self._clips and in_partition(self._clips, self.study, partition)

    def trial(self, key: str) -> TrialFolder:
        """The folder of a trial, which may not exist yet."""
        return trial_folder(self.root, key, keep_damaged=self.keep_damaged)

    def trials(self, among: Iterable[str] | None = None, *, without: Container[str] = ()) -> list[TrialFolder]:
        """The trials with a configuration, by their numbers.

        Args:
            among: Keys of the trials in question; None: all. No other file is read.
            without: Keys of trials that are left out.
        """
        return [folder for _, folder in self._numbered(among, without)]

    def _numbered(
        self, among: Iterable[str] | None = None, without: Container[str] = ()
    ) -> list[tuple[int, TrialFolder]]:
        keys = [path.name for path in (self.root / "trials").glob("*")] if among is None else among
        folders = [self.trial(key) for key in keys if key not in without]
        found = [(trial.number, folder) for folder in folders if (trial := folder.read_trial()) is not None]
        return sorted(found, key=lambda pair: pair[0])

    def next_number(self) -> int:
        """Give away the first number that no trial has: one whose file was damaged beyond repair gets its place back.

        Only the driver gives numbers away, so the files are read once; reading all of them for each number took .6 s
        per proposal at 10,000 trials.
        """
        if self._taken is None:
            self._taken = {number for number, _ in self._numbered()}
        number = next(number for number in range(len(self._taken) + 1) if number not in self._taken)
        self._taken.add(number)
        return number

    def read_results(self) -> dict[str, Any] | None:
        """What was last written to results.json; None before."""
        return read_json(self.root / RESULTS_FILE, _as_dict)

    def write_results(self, content: dict[str, Any]) -> None:
        """Replace results.json."""
        write_json(self.root / RESULTS_FILE, content)


def trial_folder(root: Path, key: str, *, keep_damaged: bool = False) -> TrialFolder:
    """The folder of a trial in that of its study."""
    return TrialFolder(root / "trials" / key, keep_damaged=keep_damaged)


def _as_dict(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise RecordError("an object")
    return content


def _require_readable(root: Path, content: dict[str, Any]) -> None:
    if not isinstance(version := content.get("format"), int):
        raise RecordError("format")
    if version not in READABLE:
        raise LedgerError(
            f"The study `{root.name}` has format {version!r}, but this version reads {' and '.join(map(str, READABLE))}"
            ": use the version that wrote it."
        )


def _require_metric(root: Path, metric: str) -> None:
    if metric not in METRICS:
        raise LedgerError(
            f"The study `{root.name}` chooses its trials by the metric {metric!r}, but this version has "
            f"{', '.join(METRICS)}: use the version that wrote it."
        )
