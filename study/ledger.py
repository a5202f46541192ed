"""The ledger: the truth about a study, as files. Ray, Optuna and MLflow hold views of it that can be thrown away.

Every file is written under a temporary name in its own folder and then renamed: a reader sees the old file or the
new one, whenever the writer is killed. A finished fold is three files; its JSON is written last, names the sizes of the
other two and so says that they are whole. Layout: README, "The study folder".
"""

import hashlib
import io
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

STUDY_FILE, RESULTS_FILE = "study.json", "results.json"
RECORD = {"fold": int, "eer": dict, "history": list, "epochs": int, "seconds": float, "files": dict}  # of a fold
FORMAT = 2  # of the folder; a reader refuses another


class LedgerError(ValueError):
    """A study folder that cannot be used as asked; the message is one line for the user."""


def trial_key(
    config: dict[str, Any], corpus_fingerprint: str, features: dict[str, Any], seed: int, protocol: str
) -> str:
    """The name of a trial's folder: a hash of all that its result depends on, the same in every run of the study."""
    content = json.dumps([config, corpus_fingerprint, features, seed, protocol], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


class TrialFolder:
    """One trial's files: its configuration, its finished folds, the fold in progress, or why it failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key = path.name

    def trial(self) -> dict[str, Any] | None:
        """{"number": its place in the study, from 0, "config": every hyperparameter}; None before it is written."""
        return read_json(self.path / "trial.json", {"number": int, "config": dict})

    def write_trial(self, number: int, config: dict[str, Any]) -> None:
        """Makes the folder with the trial's number and configuration."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "trial.json", {"number": number, "config": config})

    def fold(self, fold: int) -> dict[str, Any] | None:
        """The record of a finished fold; None where it is not finished or one of its files is damaged."""
        record = read_json(self._fold_path(fold, "json"), RECORD)
        if record is None:
            return None
        for name, size in record["files"].items():
            path = self.path / name  # both kinds are zip files: looking at their directory is quick
            if not path.is_file() or path.stat().st_size != size or not zipfile.is_zipfile(path):
                _warn(self.path / name, "is missing or damaged: the fold will be trained again")
                return None
        return record

    def set_aside(self, fold: int) -> None:
        """Renames the files of a fold that is damaged, so that a person may still look at them."""
        if self._fold_path(fold, "json").is_file():
            for suffix in ("json", "npz", "pt"):
                _set_aside(self._fold_path(fold, suffix))

    def scores(self, fold: int) -> dict[str, np.ndarray]:
        """Probabilities of a finished fold: held_out (n, K), evaluation (m, K), float32, and their clips' names."""
        with np.load(self._fold_path(fold, "npz"), allow_pickle=False) as arrays:
            return dict(arrays)

    def write_fold(
        self, fold: int, record: dict[str, Any], scores: dict[str, np.ndarray], weights: dict[str, Any]
    ) -> None:
        """A finished fold: weights and probabilities first, then the record that makes them count."""
        import torch

        arrays, model = self._fold_path(fold, "npz"), self._fold_path(fold, "pt")
        write_whole(model, lambda file: torch.save(weights, file), durable=True)
        write_whole(arrays, lambda file: np.savez(file, **scores), durable=True)  # type: ignore[arg-type]
        sizes = {path.name: path.stat().st_size for path in (arrays, model)}
        write_json(self._fold_path(fold, "json"), {**record, "files": sizes})
        (self.path / "running.pt").unlink(missing_ok=True)

    def running(self, fold: int) -> dict[str, Any] | None:
        """The saved state of a fold in progress; None where there is none for this fold."""
        import torch

        path = self.path / "running.pt"
        if not path.is_file():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            return saved["state"] if saved["fold"] == fold else None
        except Exception as error:  # whatever a torn file makes of the unpickler
            self.set_running_aside(error)
            return None

    def set_running_aside(self, error: Exception) -> None:
        """Renames a state of the fold in progress that cannot be used."""
        path = self.path / "running.pt"
        _warn(path, f"cannot be used ({type(error).__name__}) and is set aside: the fold starts again")
        _set_aside(path)

    def write_running(self, fold: int, state: dict[str, Any]) -> None:
        """Replaces the state of the fold in progress.

        Not forced to the disk: a power failure costs this fold's epochs, a killed process nothing.
        """
        import torch

        write_whole(self.path / "running.pt", lambda file: torch.save({"fold": fold, "state": state}, file))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Waits until no other process works on this trial (say one whose driver was killed a moment ago), and clears
        away what a killed writer left half-written."""
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".lock"):
            for leftover in self.path.glob(".*.tmp"):
                leftover.unlink()
            yield

    def failure(self) -> str | None:
        """Why the trial failed, in a line; None where it did not."""
        failed = read_json(self.path / "failed.json", {"reason": str})
        return failed["reason"] if failed else None

    def write_failure(self, reason: str) -> None:
        """Marks the trial as failed. Its finished folds stay."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "failed.json", {"reason": reason})

    def _fold_path(self, fold: int, suffix: str) -> Path:
        return self.path / f"fold_{fold}.{suffix}"


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
        aside = root.with_name(
            f".{root.name}.{os.getpid()}.tmp"
        )  # renamed when whole: never a folder without its study
        try:
            aside.mkdir(parents=True)
            write_json(aside / STUDY_FILE, {"format": FORMAT, **study})
            aside.rename(root)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            if not root.exists():
                raise LedgerError(
                    f"The study folder {root} cannot be written ({error.strerror}): choose --studies."
                ) from None
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
        study = read_json(root / STUDY_FILE, {"format": int})
        if study is None:
            raise LedgerError(
                f"The study `{root.name}` in {root.parent} has a damaged {STUDY_FILE}: put back a copy of it."
            )
        if study.get("format") != FORMAT:
            raise LedgerError(
                f"The study `{root.name}` has format {study.get('format')!r}, but this version reads {FORMAT}: "
                "use the version that wrote it."
            )
        return ledger

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the study for one driver. The lock is the kernel's and ends with its process, however that ends.

        Raises:
            LedgerError: while another driver holds it.
        """
        try:
            with FileLock(self.root / ".lock", timeout=0):
                yield
        except Timeout:
            raise LedgerError(
                f"The study `{self.root.name}` is being run by another process: wait for it, or stop it first."
            ) from None

    def study(self) -> dict[str, Any]:
        """The study's settings, as they were when it began."""
        study = read_json(self.root / STUDY_FILE)
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
        folders = [TrialFolder(path.parent) for path in (self.root / "trials").glob("*/trial.json")]
        numbers = {folder.key: trial["number"] for folder in folders if (trial := folder.trial()) is not None}
        return sorted((folder for folder in folders if folder.key in numbers), key=lambda folder: numbers[folder.key])

    def next_number(self) -> int:
        """The number of the next trial."""
        return max((trial["number"] + 1 for folder in self.trials() if (trial := folder.trial())), default=0)

    def results(self) -> dict[str, Any] | None:
        """What was last written to results.json; None before."""
        return read_json(self.root / RESULTS_FILE)

    def write_results(self, results: dict[str, Any]) -> None:
        """Replaces results.json."""
        write_json(self.root / RESULTS_FILE, results)


def read_json(path: Path, parts: dict[str, type] | None = None) -> Any:
    """What a JSON file holds; None where it is missing, or torn or foreign (which is said in one warning).

    `parts`: what must be in it, and of which type.
    """
    try:
        content = json.loads(path.read_bytes())
        wanted = (parts or {}).items()
        if not isinstance(content, dict) or any(not isinstance(content.get(name), kind) for name, kind in wanted):
            raise ValueError("not what the ledger writes")
        return content
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _warn(path, f"cannot be read ({type(error).__name__}) and counts as missing")
        return None


def write_json(path: Path, content: Any) -> None:
    """Replaces a JSON file. NaN is refused: JSON has none."""
    text = json.dumps(content, indent=1, allow_nan=False).encode()
    write_whole(path, lambda file: file.write(text), durable=True)


def write_whole(path: Path, write: Callable[[IO[bytes]], Any], durable: bool = False) -> None:
    """Writes a file so that a reader, or a kill at any instant, finds the old content or all of the new.

    `durable` also forces it to the disk before the name changes, for files that must survive a power failure.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    buffer = io.BytesIO()
    write(buffer)
    try:
        with temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _set_aside(path: Path) -> None:
    if path.exists():
        path.replace(path.with_name(f"{path.name}.damaged"))


def _warn(path: Path, what: str) -> None:
    warnings.warn(f"{path} {what}", RuntimeWarning, stacklevel=3)
