"""MLflow kept up to date while a study runs."""

import threading
from collections.abc import Callable
from typing import Any

from study.ledger.ledger import Ledger
from study.tracking.mlflow_store import TrackingError, public, reason
from study.tracking.mlflow_sync import Live, Projection

INTERVAL, LONGEST_PAUSE = 2.0, 30.0  # s between projections, and at most between attempts during an outage


class Tracker:
    """Keeps MLflow up to date while a study runs, in a thread of its own: training never waits for it.

    It may be told of trials as a listener of `study.tuning.tune`. A failure is said in one line and tried again, with
    growing pauses, until it works.
    """

    def __init__(self, ledger: Ledger, uri: str, warn: Callable[[str], None]) -> None:
        self._projection = Projection(ledger, uri)
        self._uri, self._warn = uri, warn
        self._live: Live = {}  # epochs that have not been projected
        self._lock = threading.Lock()
        self._changed, self._closing, self._abandoned = threading.Event(), threading.Event(), threading.Event()
        self._status, self._complete, self._failing = "running", False, False
        self._thread = threading.Thread(target=self._loop, name="mlflow", daemon=True)

    def start(self) -> None:
        """Starts projecting, at the first report: importing MLflow takes 2 s of CPU that the workers need to start."""
        self._thread.start()

    def touch(self) -> None:
        """The ledger has changed."""
        self._changed.set()

    def epoch(self, key: str, fold: int, result: dict[str, Any]) -> None:
        """A fold in progress has one more epoch (EpochResult's fields; others are ignored)."""
        with self._lock:
            self._live.setdefault((key, fold), []).append(result)
        self._changed.set()

    def started(self, key: str, config: dict[str, Any]) -> None:
        """As a listener: a trial began; MLflow has it with its first report."""

    def broke_off(self, key: str, reason: str) -> None:
        """As a listener: a trial's worker died; MLflow keeps what it has."""

    def reported(self, key: str, report: dict[str, Any]) -> None:
        """As a listener: an epoch, or the end of the last fold."""
        if "epoch" in report:
            self.epoch(key, report["fold"], report)
        else:
            self.touch()

    def stopped(self, key: str, reason: str) -> None:
        """As a listener: a trial was stopped by the scheduler."""
        self.touch()

    def ended(self, key: str, reason: str | None) -> None:
        """As a listener: a trial finished or failed."""
        self.touch()

    def close(self, status: str, timeout: float) -> bool:
        """A last projection, of a study finished or interrupted; whether all of it arrived within `timeout` s."""
        self._status = status
        self._closing.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._abandoned.set()
        return self._complete

    def _loop(self) -> None:
        pause = INTERVAL
        while not self._abandoned.is_set():
            self._changed.wait()
            self._changed.clear()
            closing = self._closing.is_set()
            done = self._project(self._status if closing else "running")
            if closing and done:
                self._complete = True
                return
            pause = INTERVAL if done or closing else min(2 * pause, LONGEST_PAUSE)
            if not done:
                self._changed.set()
            (self._abandoned if closing else self._closing).wait(pause)

    def _project(self, status: str) -> bool:
        with self._lock:
            live = {place: list(epochs) for place, epochs in self._live.items()}
        try:
            self._projection.update(live, status)
        except Exception as error:  # whatever it is, training goes on
            if not self._failing and not self._abandoned.is_set():  # given up: the last line has been printed
                text = (
                    str(error)
                    if isinstance(error, TrackingError)
                    else f"MLflow: {type(error).__name__}: {reason(error)}"
                )
                self._warn(f"{text} Training goes on and nothing is lost; it will be tried again.")
            self._failing = True
            return False
        if self._failing:
            self._warn(f"MLflow at {public(self._uri)} is up to date again.")
            self._failing = False
        with self._lock:
            for place, epochs in live.items():
                self._live[place] = self._live[place][len(epochs) :]
            self._live = {place: epochs for place, epochs in self._live.items() if epochs}
        return True
