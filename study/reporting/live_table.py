"""A live table of the trials that run."""

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from audiotag.metrics import EER, METRICS
from study.format import decimal, duration, label, trial_name
from study.ledger.progress import Report
from study.ledger.schema import StudyRecord
from study.reporting.tables import Line, Table
from study.stats.analysis import SHOWN_ROWS

REFRESH = 4  # times per second, at most
FRAME = 6  # lines of the terminal around the rows
ENDED = ("finished", "failed", "pruned")


@dataclass
class LiveRow:
    """A trial in the live table.

    Attributes:
        cells: Its parameters.
        name: The same in a line.
        state: "running", "waiting" for resources to go on, or one of ENDED.
        training: The partition, fold and seed in progress.
        folds_done: With every seed, of all partitions.
        trainings_done: Of a fold with a seed.
        epoch: From 1, as text; "pre 1" in the pretraining.
        best: Best validation means of the training in progress, by metric.
        mean: Over the finished folds of the corpus's own partition.
        began: When the training in progress did, on the monotonic clock.
        epoch_seconds: Of the last epochs.
    """

    key: str
    cells: list[str]
    name: str
    state: str = "running"
    training: tuple[int, int | None, int | None] | None = None
    seed: int | None = None
    folds_done: int = 0
    trainings_done: int = 0
    epoch: str = ""
    val_loss: float | None = None
    best: dict[str, float] = field(default_factory=dict)
    mean: float | None = None
    began: float | None = None
    epoch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=20))


class LiveTable:
    """Follows a study: a live table in a terminal, a plain line per finished fold elsewhere.

    `done` trials had ended before, others had the `folds` that they go on from, by key, and `slots` run side by side. A
    training takes at most `max_epochs`: with them the time left is estimated until one has finished. Of a large study
    the table shows the running trials and the last of the others.
    """

    def __init__(
        self,
        console: Console,
        study: StudyRecord,
        *,
        done: int,
        slots: int,
        max_epochs: int,
        folds: Mapping[str, int] | None = None,
    ) -> None:
        self.console, self.study, self.folds_before = console, study, folds or {}
        self.done_before, self.slots, self.max_epochs = done, slots, max_epochs
        self.followed = list({metric.name: metric for metric in (METRICS[EER], study.objective)}.values())  # by epoch
        self.rows: dict[str, LiveRow] = {}
        self.training_seconds: list[float] = []  # of the trainings finished in this session
        self.live = Live(get_renderable=self.render, console=console, refresh_per_second=REFRESH, transient=True)

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def begin(self, slots: int) -> None:
        """Note that so many trials run side by side from now on, none of them yet."""
        self.slots = slots
        for row in self.rows.values():
            if row.state == "running":
                row.state, row.training = "waiting", None  # a fold that goes on is timed anew

    def started(self, key: str, config: dict[str, Any]) -> None:
        """Note that a trial got its resources (again, if it broke off)."""
        name = trial_name(config, self.study.varied) or key
        self.rows.setdefault(key, LiveRow(key, label(config, self.study.varied), name)).state = "running"

    def broke_off(self, key: str, reason: str) -> None:
        """Note that a trial's worker died or raised."""
        text = f"trial {key} ({self.rows[key].name}) broke off because {reason}; it goes on after its last epoch"
        self.console.print(text, style="yellow", soft_wrap=True)

    def reported(self, key: str, report: Report) -> None:
        """Note an epoch, or the end of the last fold."""
        row, now = self.rows[key], time.monotonic()
        if (trainings := self._trainings_done(report)) > row.trainings_done:
            if row.began is not None:
                self.training_seconds.append(now - row.began)
            row.trainings_done, row.best = trainings, {}
        if report.folds_done > row.folds_done:
            row.folds_done, row.mean = report.folds_done, report.mean
            mean_so_far = f"{self.study.objective.mean_title} so far {row.mean:.3f}"
            progress = f"{row.folds_done} of {self._folds} folds, {mean_so_far}"
            self._print_line(row, f"{progress} ({self.time_left()})")
        result = report.epoch or report.pretraining
        if result is None:
            return
        if row.training != (training := (report.partition, report.fold, report.seed)):
            row.training, row.seed, row.began = training, report.seed, now - result.seconds
        row.epoch = f"{'pre ' if report.pretraining else ''}{result.epoch + 1}"
        if report.epoch:
            row.val_loss = report.epoch.val_loss
            row.epoch_seconds.append(report.epoch.seconds)
            for metric in self.followed:
                if not math.isnan(mean := report.epoch.val_means[metric.name]):
                    row.best[metric.name] = min(mean, row.best.get(metric.name, mean), key=metric.rank)

    def pruned(self, key: str, reason: str) -> None:
        """Note that the scheduler pruned a trial."""
        self.rows[key].state = "pruned"
        self._print_line(self.rows[key], f"{reason} ({self.time_left()})")

    def ended(self, key: str, reason: str | None) -> None:
        """Note that a trial finished, or failed with a reason."""
        row = self.rows[key]
        row.state = "finished" if reason is None else "failed"
        if reason is not None:
            self.console.print(f"trial {key} ({row.name}) failed: {reason}", style="red", soft_wrap=True)

    def time_left(self) -> str:
        """The time left in words: from finished trainings where there are any, else at most what all epochs take."""
        running = [row for row in self.rows.values() if row.state == "running"]
        each = self._folds * self.study.repeats
        begun = [row for row in self.rows.values() if row.state not in ENDED]
        left = (self.study.trials - self._ended()) * each - sum(row.trainings_done for row in begun)
        left -= self.study.repeats * sum(folds for key, folds in self.folds_before.items() if key not in self.rows)
        epochs = [seconds for row in self.rows.values() for seconds in row.epoch_seconds]
        if left <= 0:
            return "nearly done"
        rounds = max(left / self.slots, *(each - row.trainings_done for row in running), 0)
        if self.training_seconds:
            return f"about {duration(rounds * fmean(self.training_seconds))} left"
        if epochs:
            return f"at most {duration(rounds * self.max_epochs * fmean(epochs))} left"
        return "time left not known yet"

    def render(self) -> RichTable:
        """Draw the table as wide and as high as the terminal."""
        several, folds = self.study.has_several_seeds, self._folds
        epoch, loss, mean = "epoch", "val loss", self.study.objective.mean_title
        best = [f"best {metric.mean_column}" for metric in self.followed]
        header = ["trial", *self.study.varied, "fold", *["seed"] * several, epoch, loss, *best, mean, ""]
        running = [row for row in self.rows.values() if row.state == "running"]
        others = [row for row in self.rows.values() if row.state != "running"]
        most = min(SHOWN_ROWS, self.console.height - FRAME) - len(running)
        room = min(max(most, 0), len(others))
        lines = []
        for row in [*others[len(others) - room :], *running]:
            seed = ["" if row.seed is None else str(row.seed)] * several
            cells = [row.key[:6], *row.cells, f"{min(row.folds_done + 1, folds)}/{folds}", *seed, row.epoch]
            cells += [decimal(row.val_loss), *(decimal(row.best.get(metric.name)) for metric in self.followed)]
            cells += [decimal(row.mean), row.state]
            lines.append(Line(cells, "" if row.state == "running" else "ended"))
        text = header.index(epoch, 1 + len(self.study.varied))
        spare = [[header.index(name, text)] for name in (loss, *best, epoch, "")]  # leave a narrow terminal
        table = Table("", header, lines, left=text, right=1, spare=[[0], *spare]).fit(self.console)[0]
        table.title = f"{self._ended()} of {self.study.trials} trials done, {self.time_left()}"
        table.title_justify = "left"
        return table

    @property
    def _folds(self) -> int:
        """The folds of a trial, in all partitions."""
        return len(self.study.folds) * len(self.study.partitions)

    def _trainings_done(self, report: Report) -> int:
        """How many trainings a trial has behind it: seeds come in turn, fold after fold."""
        within = 0 if report.seed is None else self.study.seeds.index(report.seed)
        return report.folds_done * self.study.repeats + within

    def _ended(self) -> int:
        return self.done_before + sum(row.state in ENDED for row in self.rows.values())

    def _print_line(self, row: LiveRow, text: str) -> None:
        if not self.console.is_terminal:
            self.console.print(f"{row.name}: {text}", soft_wrap=True)
