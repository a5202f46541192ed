"""The ledger: the truth about a study, as files. Ray, Optuna and MLflow hold views of it that can be thrown away.

Every file is there whole or not at all (`study.ledger.files`). A finished fold is three files; its JSON is written
last, names the sizes of the other two and so says that they are whole. Layout: README, "The study folder".
"""

import hashlib
import json
import os
import shutil
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from study.ledger.files import LedgerError, WriteError, make_folder, read_json, set_aside, warn, write_file, write_json

STUDY_FILE, RESULTS_FILE, DRIVER_FILE = "study.json", "results.json", ".driver.json"
TRIAL = {"number": int, "config": dict}
# of a finished fold
RECORD = {"fold": int, "eer": dict, "history": list, "epochs": int, "seconds": float, "files": dict, "trial": dict}
FORMAT = 4  # of the folder; a reader refuses another
STUDY = {  # what a study file must hold
    **dict.fromkeys(("study", "id", "space", "space_fingerprint", "question", "protocol", "created"), str),
    **dict.fromkeys(("trials", "seed"), int),
    **dict.fromkeys(("corpus", "settings"), dict),
    **dict.fromkeys(("varied", "left_out", "features"), list),
}


def trial_key(
    config: dict[str, Any],
    corpus_fingerprint: str,
    features: dict[str, Any],
    seed: int,
    protocol: str,
    repeats: int = 1,
) -> str:
    """The name of a trial's folder: a hash of all that its result depends on, the same in every run of the study."""
    parts = [config, corpus_fingerprint, features, seed, protocol, *([repeats] if repeats > 1 else [])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


class TrialFolder:
    """One trial's files: its configuration, its finished folds, the fold in progress, or why it failed.

    With repeats, every seed has folds of its own: `repeats` gives the folder as each of them sees it.
    """

    def __init__(self, path: Path, seed: int | None = None) -> None:
        self.path = path
        self.key = path.name
        self._seed = seed  # None: the study's own

    def repeats(self, seeds: list[int]) -> list["TrialFolder"]:
        """The folder for each seed: the first one's folds are fold_<k>.*, the others' fold_<k>_seed_<s>.*."""
        return [self, *(TrialFolder(self.path, seed) for seed in seeds[1:])]

    def trial(self) -> dict[str, Any] | None:
        """{"number": its place in the study, from 0, "config": every hyperparameter}; None before it is written.

        The finished folds hold it too, should its own file be damaged.
        """
        if (trial := read_json(self.path / "trial.json", TRIAL)) is not None:
            return trial
        records = [read_json(path, RECORD) for path in sorted(self.path.glob("fold_*.json"))]
        return next((record["trial"] for record in records if record is not None), None)

    def write_trial(self, number: int, config: dict[str, Any]) -> None:
        """Makes the folder with the trial's number and configuration."""
        make_folder(self.path)
        write_json(self.path / "trial.json", {"number": number, "config": config})

    def fold(self, fold: int) -> dict[str, Any] | None:
        """The record of a finished fold; None where it is not finished or one of its files is damaged."""
        record = read_json(self._fold_path(fold, "json"), RECORD)
        if record is None:
            return None
        for name, size in record["files"].items():
            path = self.path / name  # both kinds are zip files: looking at their directory is quick
            if not path.is_file() or path.stat().st_size != size or not zipfile.is_zipfile(path):
                warn(self.path / name, "is missing or damaged: the fold will be trained again")
                return None
        return record

    def set_aside(self, fold: int) -> None:
        """Renames the files of a fold that is damaged, so that a person may still look at them."""
        if self._fold_path(fold, "json").is_file():
            for suffix in ("json", "npz", "pt"):
                set_aside(self._fold_path(fold, suffix))

    def scores(self, fold: int, *names: str) -> dict[str, np.ndarray]:
        """Of a finished fold, only `names` if given: held_out (n, K), evaluation (m, K), float32, and clips' names."""
        with np.load(self._fold_path(fold, "npz"), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays}

    def write_fold(
        self, fold: int, record: dict[str, Any], scores: dict[str, np.ndarray], weights: dict[str, Any]
    ) -> None:
        """A finished fold: weights and probabilities first, then the record that makes them count."""
        import torch

        arrays, model = self._fold_path(fold, "npz"), self._fold_path(fold, "pt")
        write_file(model, lambda file: torch.save(weights, file), durable=True)
        write_file(arrays, lambda file: np.savez(file, **scores), durable=True)  # type: ignore[arg-type]
        sizes = {path.name: path.stat().st_size for path in (arrays, model)}
        write_json(self._fold_path(fold, "json"), {**record, "files": sizes, "trial": self.trial()})
        (self.path / "running.pt").unlink(missing_ok=True)

    def running(self, fold: int) -> dict[str, Any] | None:
        """The saved state of a fold in progress; None where there is none for this fold."""
        import torch

        path = self.path / "running.pt"
        if not path.is_file():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            return saved["state"] if (saved["fold"], saved.get("seed")) == (fold, self._seed) else None
        except Exception as error:  # whatever a torn file makes of the unpickler
            self.set_running_aside(error)
            return None

    def set_running_aside(self, error: Exception) -> None:
        """Renames a state of the fold in progress that cannot be used."""
        path = self.path / "running.pt"
        warn(path, f"cannot be used ({type(error).__name__}) and is set aside: the fold starts again")
        set_aside(path)

    def write_running(self, fold: int, state: dict[str, Any]) -> None:
        """Replaces the state of the fold in progress.

        Not forced to the disk: a power failure costs this fold's epochs, a killed process nothing.
        """
        import torch

        whose = {"fold": fold} | ({} if self._seed is None else {"seed": self._seed})
        write_file(self.path / "running.pt", lambda file: torch.save({**whose, "state": state}, file))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Waits until no other process works on this trial (say one whose driver was killed a moment ago), and clears
        away what a killed writer left half-written.

        Raises:
            WriteError: when the folder cannot be written.
        """
        make_folder(self.path)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire()
            for leftover in self.path.glob(".*.tmp"):
                leftover.unlink()
        except OSError as error:
            lock.release()
            raise WriteError(self.path, error) from error
        try:
            yield
        finally:
            lock.release()

    def failure(self) -> str | None:
        """Why the trial failed, in a line; None where it did not."""
        failed = read_json(self.path / "failed.json", {"reason": str})
        return failed["reason"] if failed else None

    def write_failure(self, reason: str) -> None:
        """Marks the trial as failed. Its finished folds stay."""
        make_folder(self.path)
        write_json(self.path / "failed.json", {"reason": reason})

    def weights_path(self, fold: int) -> Path:
        """Where the best weights of a fold are."""
        return self._fold_path(fold, "pt")

    def _fold_path(self, fold: int, suffix: str) -> Path:
        whose = "" if self._seed is None else f"_seed_{self._seed}"
        return self.path / f"fold_{fold}{whose}.{suffix}"


class Ledger:
    """A study's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path, study: dict[str, Any]) -> "Ledger":
        """A new study folder.

        Raises:
            LedgerError: when something of that name is there, or the folder cannot be written.
        """
        aside = root.with_name(f".{root.name}.{os.getpid()}.tmp")  # renamed when whole
        try:
            aside.mkdir(parents=True)
            write_json(aside / STUDY_FILE, {"format": FORMAT, **study})
            aside.rename(root)
        except (OSError, WriteError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            if not root.exists():
                why = getattr(error.__cause__ or error, "strerror", None) or error
                raise LedgerError(f"The study folder {root} cannot be written ({why}): choose --studies.") from None
            raise LedgerError(
                f"The study `{root.name}` exists in {root.parent}: continue it with --resume {root.name}, "
                "or choose another --name."
            ) from None
        return cls(root)

    @classmethod
    def open(cls, root: Path) -> "Ledger":
        """A study folder that is there.

        Raises:
            LedgerError: where there is none, or one that this version cannot read.
        """
        ledger = cls(root)
        if not (root / STUDY_FILE).is_file():
            raise LedgerError(f"There is no study `{root.name}` in {root.parent} (no {STUDY_FILE} in it).")
        study = read_json(root / STUDY_FILE, {"format": int}, keep=True)
        if study is not None and study["format"] != FORMAT:
            raise LedgerError(
                f"The study `{root.name}` has format {study['format']!r}, but this version reads {FORMAT}: "
                "use the version that wrote it."
            )
        wrong = [name for name, kind in STUDY.items() if study is None or not isinstance(study.get(name), kind)]
        if wrong:
            what = f"a damaged {STUDY_FILE}" if study is None else f"a {STUDY_FILE} without a usable `{wrong[0]}`"
            raise LedgerError(f"The study `{root.name}` in {root.parent} has {what}: put back a copy of it.")
        return ledger

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the study for one driver. The lock is the kernel's and ends with its process, however that ends; a file
        beside it tells others who holds it.

        Raises:
            LedgerError: while another driver holds it, or when the folder cannot be written.
        """
        lock = FileLock(self.root / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise LedgerError(
                f"The study `{self.root.name}` is being run by {self._driver()}: wait for it, or stop it first."
            ) from None
        except OSError as error:
            raise WriteError(self.root, error) from error
        try:
            now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
            write_json(self.root / DRIVER_FILE, {"host": socket.gethostname(), "pid": os.getpid(), "since": now})
            yield
        finally:
            with suppress(OSError):
                (self.root / DRIVER_FILE).unlink()
            lock.release()

    def _driver(self) -> str:
        driver = read_json(self.root / DRIVER_FILE, {"host": str, "pid": int, "since": str})
        return "another process" if driver is None else "process {pid} on {host} since {since}".format(**driver)

    def study(self) -> dict[str, Any]:
        """The study's settings, as they were when it began."""
        study = read_json(self.root / STUDY_FILE, keep=True)
        assert study is not None, "opened ledgers have a study file"
        return study

    def write_study(self, study: dict[str, Any]) -> None:
        """Replaces the settings, of which only the number of trials may change."""
        write_json(self.root / STUDY_FILE, {"format": FORMAT, **study})

    def trial(self, key: str) -> TrialFolder:
        """The folder of a trial, there or not yet."""
        return TrialFolder(self.root / "trials" / key)

    def trials(self) -> list[TrialFolder]:
        """All trials with a configuration, by their numbers."""
        folders = [TrialFolder(path) for path in (self.root / "trials").glob("*")]
        numbers = {folder.key: trial["number"] for folder in folders if (trial := folder.trial()) is not None}
        return sorted((folder for folder in folders if folder.key in numbers), key=lambda folder: numbers[folder.key])

    def next_number(self) -> int:
        """The first number that no trial has: one whose file was damaged beyond repair gets its place back."""
        taken = {trial["number"] for folder in self.trials() if (trial := folder.trial())}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def results(self) -> dict[str, Any] | None:
        """What was last written to results.json; None before."""
        return read_json(self.root / RESULTS_FILE)

    def write_results(self, results: dict[str, Any]) -> None:
        """Replaces results.json."""
        write_json(self.root / RESULTS_FILE, results)
