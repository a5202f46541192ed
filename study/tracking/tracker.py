"""Copies of the ledger kept up to date while a study runs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from audiotag.training.epochs import EpochResult
from audiotag.uris import public
from study.ledger.progress import Report
from study.tracking.store_errors import reason
from study.tracking.tracking_uri import TrackingError

INTERVAL, LONGEST_PAUSE = 2.0, 30.0  # s between updates, and at most between attempts during an outage

Training = tuple[str, int, int | None, int | None]  # a trial's key, partition, fold, seed


@dataclass
class Progress:
    """The part of a session that is not in the ledger.

    Attributes:
        status: "running"; at its end "finished" or "interrupted".
        started: Keys of the trials that it has begun.
        epochs: That it has seen of each training of a fold; a copy may have them already.
        touched: Keys of the trials with news since the last update; None where any may have some.
    """

    status: str = "running"
    started: set[str] = field(default_factory=set)
    epochs: dict[Training, list[EpochResult]] = field(default_factory=dict)
    touched: set[str] | None = None


class Copy(Protocol):
    """A copy of the ledger that can be thrown away and made again."""

    name: str  # for messages
    shows_epochs: bool  # of folds in progress

    def update(self, progress: Progress) -> None:
        """Add what is new; may fail anywhere, and looks at all trials at the next call then."""


class Tracker:
    """Keeps a copy of the ledger up to date in a thread of its own: training never waits for it.

    A listener of `study.tuning.tune`. A failure is reported in one line, unless it is known that the copy is `failing`,
    and tried again, with growing pauses, until it works.
    """

    def __init__(
        self, copy: Copy, warn: Callable[[str], None], interval: float = INTERVAL, failing: bool = False
    ) -> None:
        self._copy, self._warn, self._interval = copy, warn, interval
        self._progress, self._touched, self._lock = Progress(), set[str](), threading.Lock()
        self._changed, self._closing, self._abandoned = threading.Event(), threading.Event(), threading.Event()
        self._complete, self._failing = False, failing
        self._thread = threading.Thread(target=self._loop, name=copy.name, daemon=True)

    def start(self) -> None:
        """Start the thread. MLflow's first update comes with the first epoch: its import takes 2 s of workers' CPU."""
        self._thread.start()

    def started(self, key: str, config: dict[str, Any]) -> None:
        """As a listener: a trial began; a copy that shows epochs has it with its first one."""
        self._progress.started.add(key)
        if not self._copy.shows_epochs:
            self._touch(key)

    def broke_off(self, key: str, reason: str) -> None:
        """As a listener: a trial's worker died; copies keep what they have."""

    def reported(self, key: str, report: Report) -> None:
        """As a listener: an epoch, or the end of a fold."""
        if report.epoch is not None and self._copy.shows_epochs:
            training = (key, report.partition, report.fold, report.seed)
            before = self._progress.epochs.get(training, [])
            again = report.epoch.epoch  # where its worker died after the last epoch that was saved
            self._progress.epochs[training] = [*(epoch for epoch in before if epoch.epoch < again), report.epoch]
            self._touch(key)
        elif report.ends_fold:
            self._touch(key)

    def ended(self, key: str, reason: str | None) -> None:
        """As a listener: a trial finished, failed or was pruned."""
        self._progress.epochs = {training: own for training, own in self._progress.epochs.items() if training[0] != key}
        self._touch(key)

    pruned = ended

    def _touch(self, key: str) -> None:
        with self._lock:
            self._touched.add(key)
        self._changed.set()

    def end(self, status: str) -> None:
        """Start the last copy, of a study that is finished or interrupted."""
        self._progress.status = status
        self._closing.set()
        self._changed.set()

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` s; return whether all has arrived."""
        if self._thread.is_alive():
            self._thread.join(timeout)
        return self._complete

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failing

    def give_up(self) -> None:
        """Start no further attempt, and report nothing more."""
        self._abandoned.set()

    def close(self, status: str, timeout: float, while_failing: float | None = None) -> bool:
        """Copy a last time; return whether all arrived within `timeout` s. Then give up.

        A copy that fails is waited for `while_failing` s only, if that is given.
        """
        self.end(status)
        try:
            if while_failing is not None and not self.wait(while_failing) and self._failing:
                return False
            return self.wait(timeout)
        finally:
            self.give_up()

    def _loop(self) -> None:
        pause = self._interval
        while not self._abandoned.is_set():
            self._changed.wait()
            self._changed.clear()
            closing = self._closing.is_set()
            done = self._update()
            self._complete = closing and done
            if self._complete:
                return
            pause = self._interval if done or closing else min(2 * pause, LONGEST_PAUSE)
            if not done:
                self._changed.set()
            (self._abandoned if closing else self._closing).wait(pause)

    def _update(self) -> bool:
        """Copy once; return whether it worked, and report when that changes."""
        text = f"{self._copy.name} is up to date again."
        with self._lock:
            touched, self._touched = self._touched, set()
        try:
            self._copy.update(replace(self._progress, touched=touched))  # its status is of one moment
            failing = False
        except Exception as error:  # whatever it is, training goes on
            known = f"{self._copy.name} is not up to date ({type(error).__name__}: {reason(error)})."
            text = public(str(error)) if isinstance(error, TrackingError) else known
            text += " Training goes on and nothing is lost; it will be tried again."
            failing = True
        if failing != self._failing and not self._abandoned.is_set():  # given up: the last line has been printed
            self._warn(text)
        self._failing = failing
        return not failing
