"""The one writer of a study's ledger, as the workers reach it: an actor on the driver's machine."""

import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.cloud import register, url_of
from study.ledger.driver import DriverRecord, guard
from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.keeper import TrialStart, keeper_of
from study.ledger.ledger import Ledger
from study.ledger.saved_state import FoldFiles, Training
from study.ledger.schema import FoldRecord, StudyRecord
from study.ledger.store import cloud_environment

SIDE_BY_SIDE = 16  # trials for which it works at a time: none waits for the disk of another
Writer = ActorHandle[Any]


@dataclass(frozen=True)
class Answer:
    """What a method of a keeper gave.

    Attributes:
        value: What it returned.
        warnings: Of the ledger.
        refused: Why the ledger did not take what was handed over.
    """

    value: Any = None
    warnings: tuple[str, ...] = ()
    refused: str | None = None


class LedgerWriter:
    """Keeps what the trials of a study hand over. It holds nothing itself: Ray may start it again.

    Args:
        root: The study's folder.
        study: Its record.
        driver: The process that runs it.
        url: Of which the folder of all studies is a working copy, if it is one.
        environment: A pickled reference to what the driver's environment says about the cloud. The values stay with the
            driver, which gives them to each process of the writer, and are in no record of Ray's.
    """

    def __init__(
        self,
        root: Path,
        study: StudyRecord,
        driver: DriverRecord | None,
        url: str | None = None,
        environment: bytes | None = None,
    ) -> None:
        if url is not None:
            if environment is not None:
                found: dict[str, str] = ray.get(ray.cloudpickle.loads(environment))
                os.environ |= found
            register(root.parent, url)
            if driver is not None:
                guard(root, driver)
        self._root, self._study, self._driver = root, study, driver
        self._caught = threading.local()  # warnings of the call that a thread works on
        warnings.simplefilter("always", LedgerWarning)
        warnings.showwarning = self._catch  # for all threads, unlike `catch_warnings`

    def call(self, key: str, method: str, *arguments: Any) -> Answer:
        """Call a method of a trial's keeper."""
        texts = self._caught.texts = []
        keeper = keeper_of(self._root, key, self._study, self._driver)
        try:
            return Answer(getattr(keeper, method)(*arguments), tuple(texts))
        except LedgerError as error:
            return Answer(None, tuple(texts), str(error))

    def _catch(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, LedgerWarning):
            self._caught.texts.append(str(message))


class RemoteKeeper:
    """A trial's `Keeper` in a worker: what it hands over is written by the writer.

    A training does not wait until its state is on the disk, but for the one before; for a finished fold it waits.
    """

    def __init__(self, writer: Writer, key: str) -> None:
        self._writer, self._key = writer, key
        self._saving: ray.ObjectRef[Answer] | None = None

    def begin(self) -> TrialStart:
        """Give the trial what it goes on from."""
        start: TrialStart = self._call("begin")
        return start

    def keep_state(self, content: bytes) -> None:
        """Replace the saved state of the training in progress."""
        self.finish_saving()
        self._saving = self._writer.call.remote(self._key, "keep_state", content)

    def keep_fold(self, training: Training, record: FoldRecord, files: FoldFiles) -> None:
        """Keep a finished training; the saved state goes."""
        self._call("keep_fold", training, record, files)

    def set_state_aside(self, reason: str) -> None:
        """Set a saved state aside that cannot be used."""
        self._call("set_state_aside", reason)

    def fail(self, partition: int, reason: str) -> None:
        """Mark the trial as failed in a partition."""
        self._call("fail", partition, reason)

    def _call(self, method: str, *arguments: Any) -> Any:
        self.finish_saving()
        return _read(self._writer.call.remote(self._key, method, *arguments))

    def finish_saving(self) -> None:
        """Wait until the state that was handed over last is on the disk."""
        saving, self._saving = self._saving, None
        if saving is not None:
            _read(saving)


def _read(answer: "ray.ObjectRef[Answer]") -> Any:
    """What the writer answers.

    Raises:
        LedgerError: If the ledger did not take it.
    """
    found: Answer = ray.get(answer)
    for text in found.warnings:
        warnings.warn(text, LedgerWarning, stacklevel=3)
    if found.refused is not None:
        raise LedgerError(found.refused)
    return found.value


def start_writer(ledger: Ledger) -> Writer:
    """Start the writer of a study's ledger on this machine. If it dies, Ray starts it again and what was asked, too."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "max_concurrency": SIDE_BY_SIDE}
    actor: Any = ray.remote(LedgerWriter).options(scheduling_strategy=here, **options)
    url = url_of(ledger.root.parent)
    # a cluster began with another environment; of a reference among the arguments Ray warns, as of one that may be lost
    environment = ray.cloudpickle.dumps(ray.put(cloud_environment())) if url is not None else None
    writer: Writer = actor.remote(ledger.root, ledger.study, ledger.driver, url, environment)
    return writer
