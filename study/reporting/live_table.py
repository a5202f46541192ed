"""What the terminal shows: what is about to run, a live table, and the table of the paper at the end."""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from study.format import decimal, duration, label, trial_name

REFRESH = 4  # times a second, at most
SHOWN = 24  # rows of the live table; a larger study shows the running trials and the last finished ones


@dataclass
class Row:
    """A trial as the live table shows it."""

    key: str
    cells: list[str]  # its parameters
    name: str  # the same in a line
    state: str = "running"
    fold: int | None = None
    seed: int | None = None
    folds_done: int = 0  # with every seed
    trainings_done: int = 0  # of a fold with a seed
    epoch: int | None = None
    unsupervised_epoch: int | None = None  # of the stage without tags, which comes first
    val_loss: float | None = None
    best_eer: float | None = None  # lowest validation EER of the fold in progress
    eer_mean: float | None = None  # over the finished folds
    epoch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=20))  # of the last epochs

    @property
    def place(self) -> str:
        """The epoch, from 1, in words; "pre" in the stage without tags."""
        if self.unsupervised_epoch is not None:
            return f"pre {self.unsupervised_epoch + 1}"
        return "" if self.epoch is None else str(self.epoch + 1)


class LiveTable:
    """Follows a study: a live table in a terminal, a plain line a finished fold elsewhere.

    Args:
        varied: the hyperparameters that label a trial.
        trials, folds: how many there are in all; `done` trials are there from before.
        seeds: with which each fold is trained, in this order.
        slots: trials that run side by side.
        max_epochs: of a fold, for the first, upper estimate of the time left.
    """

    def __init__(
        self,
        console: Console,
        varied: list[str],
        *,
        trials: int,
        done: int,
        folds: list[int],
        slots: int,
        max_epochs: int,
        seeds: list[int] | None = None,
    ) -> None:
        self.console, self.varied, self.folds, self.slots, self.max_epochs = console, varied, folds, slots, max_epochs
        self.trials, self.done_before, self.seeds = trials, done, seeds or [0]
        self.rows: dict[str, Row] = {}
        self.fold_seconds: list[float] = []  # of the folds finished in this session, with one seed
        self._fold_started: dict[str, float] = {}
        self.live = Live(get_renderable=self.render, console=console, refresh_per_second=REFRESH, transient=True)

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def started(self, key: str, config: dict[str, Any]) -> None:
        """A trial got its resources (again, when it broke off)."""
        name = trial_name(config, self.varied) or key
        self.rows.setdefault(key, Row(key, label(config, self.varied), name))

    def broke_off(self, key: str, reason: str) -> None:
        """A trial's worker died or raised."""
        text = f"trial {key} ({self.rows[key].name}) broke off because {reason}; it goes on after its last epoch"
        self.console.print(text, style="yellow", soft_wrap=True)

    def reported(self, key: str, report: dict[str, Any]) -> None:
        """An epoch, or the end of the last fold."""
        row = self.rows[key]
        now = time.monotonic()
        if (trainings := self._trainings_done(report)) > row.trainings_done:
            if key in self._fold_started and row.fold is not None:
                self.fold_seconds.append(now - self._fold_started[key])
            row.trainings_done, row.best_eer = trainings, None
        if report["folds_done"] > row.folds_done:
            row.folds_done, row.eer_mean = report["folds_done"], report["eer_mean"]
            if not self.console.is_terminal:
                progress = f"{row.folds_done} of {len(self.folds)} folds, mean EER so far {row.eer_mean:.3f}"
                self.console.print(f"{row.name}: {progress} ({self.time_left()})", soft_wrap=True)
        if "fold" in report and (row.fold, row.seed) != (report["fold"], report.get("seed")):
            self._fold_started[key] = now - report["seconds"]
            row.fold, row.seed, row.epoch = report["fold"], report.get("seed"), None
        row.unsupervised_epoch = report.get("unsupervised_epoch")
        if "epoch" in report:
            row.epoch, row.val_loss = report["epoch"], report["val_loss"]
            if not math.isnan(eer := report["val_eer_mean"]):
                row.best_eer = min(eer, row.best_eer if row.best_eer is not None else 1.0)
            row.epoch_seconds.append(report["seconds"])

    def stopped(self, key: str, reason: str) -> None:
        """A trial was stopped by the scheduler."""
        self.rows[key].state = "stopped"
        if not self.console.is_terminal:
            self.console.print(f"{self.rows[key].name}: {reason} ({self.time_left()})", soft_wrap=True)

    def _trainings_done(self, report: dict[str, Any]) -> int:
        """How many trainings of a fold with a seed a trial has behind it: seeds come in turn, fold after fold."""
        within = self.seeds.index(report["seed"]) if len(self.seeds) > 1 and "seed" in report else 0
        return report["folds_done"] * len(self.seeds) + within

    def ended(self, key: str, reason: str | None) -> None:
        """A trial finished, or failed with a reason."""
        row = self.rows[key]
        row.state = "finished" if reason is None else "failed"
        if reason is not None:
            self.console.print(f"trial {key} ({row.name}) failed: {reason}", style="red", soft_wrap=True)

    def time_left(self) -> str:
        """The time left in words: from finished folds where there are any, else at most what all epochs would take."""
        ended = sum(row.state != "running" for row in self.rows.values())
        running = [row for row in self.rows.values() if row.state == "running"]
        begun = sum(row.trainings_done for row in running)
        each = len(self.folds) * len(self.seeds)
        folds = (self.trials - self.done_before - ended) * each - begun
        epochs = [seconds for row in self.rows.values() for seconds in row.epoch_seconds]
        if folds <= 0:
            return "nearly done"
        rounds = max(folds / self.slots, *(each - row.trainings_done for row in running), 0)
        if self.fold_seconds:
            return f"about {duration(rounds * sum(self.fold_seconds) / len(self.fold_seconds))} left"
        if epochs:
            most = rounds * self.max_epochs * sum(epochs) / len(epochs)
            return f"at most {duration(most)} left"
        return "time left not known yet"

    def render(self) -> Table:
        """The live table."""
        finished = self.done_before + sum(row.state != "running" for row in self.rows.values())
        title = f"{finished} of {self.trials} trials done, {self.time_left()}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        repeated = len(self.seeds) > 1
        figures = ("epoch", "val loss", "best EER", "mean EER")
        for column in ("trial", *self.varied, "fold", *["seed"] * repeated, *figures, ""):
            table.add_column(column, justify="right" if column in figures else "left")
        rows = list(self.rows.values())
        running = [row for row in rows if row.state == "running"]
        ended = [row for row in rows if row.state != "running"]
        for row in [*ended[-max(SHOWN - len(running), 0) :], *running]:
            fold = f"{min(row.folds_done + 1, len(self.folds))}/{len(self.folds)}"
            values = row.cells
            table.add_row(
                row.key[:6],
                *values,
                fold,
                *["" if row.seed is None else str(row.seed)] * repeated,
                row.place,
                decimal(row.val_loss),
                decimal(row.best_eer),
                decimal(row.eer_mean),
                row.state,
                style="dim" if row.state != "running" else None,
            )
        return table
