"""One trial's files: its configuration, its finished folds, the fold in progress, or why it has no result."""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from audiotag.files import look, size_of, stat_of
from study.ledger.files import make_folder, read_json, remove, set_aside, warn, write_bytes, write_json
from study.ledger.mirror import mirror_of
from study.ledger.saved_state import FoldFiles, Training
from study.ledger.schema import FailureRecord, FoldRecord, TrialRecord, read_record, write_record

TRIAL_FILE, FAILURE_FILE, RUNNING_FILE = "trial.json", "failed.json", "running.pt"
_read_fold = partial(read_record, FoldRecord)
R = TypeVar("R")


def trial_key(
    config: dict[str, Any],
    corpus_fingerprint: str,
    features: dict[str, Any],
    seed: int,
    protocol: str,
    repeats: int = 1,
) -> str:
    """Name a trial's folder: a hash of all that its result depends on, the same in every session of the study."""
    parts = [config, corpus_fingerprint, features, seed, protocol, *([repeats] if repeats > 1 else [])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


class TrialFolder:
    """The folder of a trial.

    A finished fold is three files; its JSON is written last, names the sizes of the other two and so says that they are
    whole. Each seed of several, and each partition, has folds of its own: `for_seeds` and `for_partition` give the
    folder as these see it.

    Attributes:
        partition: Whose folds it has; 1 is the corpus's own.
        keep_damaged: Leave damaged files where they are: who only reads a study renames nothing in it.
    """

    def __init__(self, path: Path, seed: int | None = None, partition: int = 1, *, keep_damaged: bool = False) -> None:
        self.path = path
        self.key = path.name
        self.partition, self.keep_damaged = partition, keep_damaged
        self._seed = seed  # None: the study's own

    def for_seeds(self, seeds: list[int]) -> list["TrialFolder"]:
        """The folder for each seed: the first one's folds are fold_<k>.*, the others' fold_<k>_seed_<s>.*."""
        return [self, *(self._view(seed, self.partition) for seed in seeds[1:])]

    def for_partition(self, partition: int) -> "TrialFolder":
        """The folder for a partition: the folds of those that were drawn are fold_<k>_partition_<p>.*."""
        return self._view(self._seed, partition)

    def for_training(self, training: Training) -> "TrialFolder":
        """The folder for a training."""
        return self._view(training.seed, training.partition)

    def _view(self, seed: int | None, partition: int) -> "TrialFolder":
        return TrialFolder(self.path, seed, partition, keep_damaged=self.keep_damaged)

    def read(self, path: Path, build: Callable[[Any], R]) -> R | None:
        """Read one of its JSON files as `read_json` does."""
        return read_json(path, build, keep=self.keep_damaged)

    def read_trial(self) -> TrialRecord | None:
        """The trial's number and configuration; None before they are written.

        The finished folds hold them too, should their own file be damaged.
        """
        if (trial := self.read(self.path / TRIAL_FILE, partial(read_record, TrialRecord))) is not None:
            return trial
        records = [self.read(path, _read_fold) for path in sorted(self.path.glob("fold_*.json"))]
        return next((record.trial for record in records if record is not None), None)

    @property
    def trial(self) -> TrialRecord:
        """The trial's number and configuration, of a trial that the ledger lists."""
        trial = self.read_trial()
        assert trial is not None, "the ledger lists trials by their configuration"
        return trial

    def write_trial(self, number: int, config: dict[str, Any]) -> None:
        """Make the folder, with the trial's number and configuration."""
        make_folder(self.path)
        write_json(self.path / TRIAL_FILE, write_record(TrialRecord(number, config)))

    def read_fold(self, fold: int) -> FoldRecord | None:
        """The record of a finished fold; None where it is not finished or one of its files is damaged."""
        record = self.read(self._fold_path(fold, "json"), _read_fold)
        if record is None:
            return None
        for name, size in record.files.items():
            path = self.path / name
            if not _is_whole(path, size):
                warn(path, "is missing or damaged: the fold will be trained again")
                return None
        return record

    def set_fold_aside(self, fold: int) -> None:
        """Rename the files of a fold that is damaged, so that a person may still look at them."""
        if size_of(self._fold_path(fold, "json")) is not None:
            for suffix in ("json", "npz", "pt"):
                set_aside(self._fold_path(fold, suffix))

    def read_scores(self, fold: int, *names: str) -> dict[str, np.ndarray]:
        """Arrays of a finished fold, only `names` if given: held_out (n, K), evaluation (m, K), and clips' names."""
        with look(partial(np.load, self._fold_path(fold, "npz"), allow_pickle=False)) as arrays:
            return {name: arrays[name] for name in names or arrays}

    def write_fold(self, record: FoldRecord, files: FoldFiles) -> None:
        """Write a finished fold: weights and probabilities first, then the record that makes them count."""
        arrays, model = self._fold_path(record.fold, "npz"), self._fold_path(record.fold, "pt")
        sizes = {model.name: write_bytes(model, files.weights, durable=True)}
        sizes[arrays.name] = write_bytes(arrays, files.scores, durable=True)
        write_json(self._fold_path(record.fold, "json"), write_record(record) | {"files": sizes})
        remove(self.path / RUNNING_FILE)

    def read_running(self) -> bytes | None:
        """The saved state of the training in progress (`study.ledger.saved_state`); None where there is none."""
        try:
            return look((self.path / RUNNING_FILE).read_bytes)
        except FileNotFoundError:
            return None

    def set_running_aside(self, reason: str) -> None:
        """Rename a state of the training in progress that cannot be used."""
        path = self.path / RUNNING_FILE
        warn(path, f"cannot be used ({reason}) and is set aside: the fold starts again")
        set_aside(path)

    def write_running(self, content: bytes) -> None:
        """Replace the state of the training in progress.

        It is not forced to the disk: a power failure costs this fold's epochs, a killed process nothing.
        """
        write_bytes(self.path / RUNNING_FILE, content)

    def clear_leftovers(self) -> None:
        """Remove what a killed writer left half-written."""
        for leftover in self.path.glob(".*.tmp"):
            remove(leftover)

    def read_failure(self) -> str | None:
        """Why the trial failed in this partition, in a line; None where it did not."""
        failure = self.read(self._failure_path, partial(read_record, FailureRecord))
        return failure.reason if failure else None

    def write_failure(self, reason: str) -> None:
        """Mark the trial as failed in this partition. Its finished folds stay."""
        make_folder(self.path)
        write_json(self._failure_path, write_record(FailureRecord(reason)))

    def written(self) -> tuple[float, float]:
        """When the first and the last of its records were written (s since 1970); now where none is seen."""
        found = [status.st_mtime for path in self.path.glob("*.json") if (status := stat_of(path)) is not None]
        return min(found, default=time.time()), max(found, default=time.time())

    def weights_path(self, fold: int) -> Path:
        """Where the best weights of a fold are, to be read.

        Raises:
            StoreError: If they are in an object store that cannot be read.
        """
        path = self._fold_path(fold, "pt")
        if (mirror := mirror_of(path)) is not None:
            mirror.fetch_file(path)
        return path

    @property
    def _failure_path(self) -> Path:
        return self.path / (FAILURE_FILE if self.partition == 1 else f"failed_partition_{self.partition}.json")

    def _fold_path(self, fold: int, suffix: str) -> Path:
        names = Training(self.partition, fold, self._seed).names
        name = "_".join(f"{name}_{number}" for name, number in names.items())
        return self.path / f"{name}.{suffix}"


def _is_whole(path: Path, size: int) -> bool:
    """Whether a file of a fold has its size and can be read; one that is left in an object store is whole there."""
    here = size_of(path)
    if here is None and (mirror := mirror_of(path)) is not None:
        return mirror.size_there(path) == size
    return here == size and _is_zip(path)  # both kinds are zip files: looking at their directory is quick


def _is_zip(path: Path) -> bool:
    try:
        with look(lambda: path.open("rb")) as file:
            return zipfile.is_zipfile(file)
    except OSError:
        return False
