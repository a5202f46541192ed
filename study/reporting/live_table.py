"""A live table of the trials that run."""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from threading import Event, Thread
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable

from audiotag.metrics import EER, METRICS
from study.cli import say
from study.format import decimal, duration, in_every_row, label, trial_name
from study.ledger.progress import Report
from study.ledger.schema import StudyRecord, TrialResult
from study.reporting.tables import Line, Table
from study.reporting.time_left import Countdown, makespan
from study.stats.rows import SHOWN_ROWS

REFRESH = 4  # times per second, at most
FRAME = 8  # lines of the terminal around the rows
LONGEST_BAR = 40  # columns
QUIET = 30.0  # s in a pipe after which a line says how far the study is
UNKNOWN = "time left not known yet"
NAMED = 4  # running trials in such a line
ENDED = ("finished", "failed", "pruned")


@dataclass
class LiveRow:
    """A trial in the live table.

    Attributes:
        cells: Its parameters.
        name: The same in a line.
        state: "running", "waiting" for resources to go on, or one of ENDED.
        training: The partition, fold and seed in progress; None between two.
        folds_done: With every seed, of all partitions.
        trainings_done: Of a fold with a seed.
        epoch: Of the training in progress, from 1, as text; "pre 1" in the pretraining.
        val_loss, best: Of the training in progress; the best validation means by metric.
        mean: Over the finished folds of the corpus's own partition.
        began: When the training in progress did, on the monotonic clock.
        is_whole: Whether this session has seen all of that.
        seconds: Of each training that this session has seen from its beginning to its end.
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
    is_whole: bool = False
    seconds: list[float] = field(default_factory=list)
    epoch_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=20))

    def leave_training(self) -> None:
        """Forget what belongs to a training alone that is no longer in progress."""
        self.training, self.seed, self.epoch, self.val_loss, self.best = None, None, "", None, {}

    @property
    def is_new(self) -> bool:
        """Whether nothing has been reported of it: its worker starts."""
        return self.began is None


class LiveTable:
    """Follows a study: a live table in a terminal; elsewhere a plain line per finished fold, and after QUIET without.

    Some trials were `known` with a result before, some of which wait for a further partition, others had the `folds`
    that they go on from, by key, and `slots` run side by side.
    A training takes at most `max_epochs`: with them the time left is estimated until one has finished. All trials share
    the parameters in `common`. Of a large study the table shows the running trials, the best and the last others.
    """

    def __init__(
        self,
        console: Console,
        study: StudyRecord,
        *,
        slots: int,
        max_epochs: int,
        known: Sequence[TrialResult] = (),
        folds: Mapping[str, int] | None = None,
        common: Mapping[str, Any] | None = None,
    ) -> None:
        self.console, self.study, self.folds_before = console, study, folds or {}
        self.slots, self.max_epochs, self.common = slots, max_epochs, common or {}
        self.varied = [name for name in study.varied if name not in self.common]
        self.followed = list({metric.name: metric for metric in (METRICS[EER], study.objective)}.values())  # by epoch
        self.rows = {trial.key: self._row_of(trial) for trial in known}
        self.live = Live(get_renderable=self.render, console=console, refresh_per_second=REFRESH, transient=True)
        self._countdowns = {"at most": Countdown(), "about": Countdown()}
        self._spoke, self._over = time.monotonic(), Event()
        self._speaker = Thread(target=self._speak, daemon=True)

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self.live.start()
        else:
            self._speaker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self.console.is_terminal:
            self.live.stop()

    def begin(self, slots: int) -> None:
        """Note that so many trials run side by side from now on, none of them yet."""
        self.slots = slots
        for row in self.rows.values():
            if row.state == "running":
                row.leave_training()  # a fold that goes on is timed anew
                row.state, row.began = "waiting", None

    def started(self, key: str, config: dict[str, Any]) -> None:
        """Note that a trial got its resources (again, if it broke off)."""
        if key not in self.rows:
            self.rows[key] = LiveRow(key, label(config, self.varied), trial_name(config, self.varied) or key)
        self.rows[key].state = "running"

    def broke_off(self, key: str, reason: str) -> None:
        """Note that a trial's worker died or raised."""
        row = self.rows[key]
        row.began = None
        say(
            self.console,
            f"{row.name} broke off because {reason}; it goes on after its last saved epoch",
            style="yellow",
        )

    def reported(self, key: str, report: Report) -> None:
        """Note an epoch, or the end of the last fold."""
        row, now = self.rows[key], time.monotonic()
        result = report.epoch or report.pretraining
        training = (report.partition, report.fold, report.seed)
        since = now if result is None else now - result.seconds
        if (trainings := self._trainings_done(report)) > row.trainings_done:
            if row.began is not None and row.is_whole:
                row.seconds.append(since - row.began)
            row.trainings_done, row.began = trainings, since
            row.is_whole = result is None or result.epoch == 0
        if report.folds_done > row.folds_done:
            row.leave_training()
            row.folds_done, row.mean = report.folds_done, report.mean
            mean_so_far = f"{self.study.objective.mean_title} so far {row.mean:.3f}"
            done = "trained" if self.study.has_fixed_split else f"{row.folds_done} of {self._folds} folds"
            self._print(f"{row.name}: {done}, {mean_so_far} ({self.time_left()})")
        if result is None:
            return
        if row.training != training:
            row.leave_training()
            row.training, row.seed = training, report.seed
        if row.began is None:
            row.began, row.is_whole = since, result.epoch == 0
        row.epoch = f"{'pre ' if report.pretraining else ''}{result.epoch + 1}"
        if report.epoch:
            row.val_loss = report.epoch.val_loss
            row.epoch_seconds.append(report.epoch.seconds)
            for metric in self.followed:
                if not math.isnan(mean := report.epoch.val_means[metric.name]):
                    row.best[metric.name] = min(mean, row.best.get(metric.name, mean), key=metric.rank)

    def pruned(self, key: str, reason: str) -> None:
        """Note that the scheduler pruned a trial."""
        self._end(key, "pruned")
        self._print(f"{self.rows[key].name}: {reason} ({self.time_left()})")

    def ended(self, key: str, reason: str | None) -> None:
        """Note that a trial finished, or failed with a reason."""
        self._end(key, "finished" if reason is None else "failed")
        if reason is not None:
            say(self.console, f"{self.rows[key].name} failed: {reason}", style="red")

    def _end(self, key: str, state: str) -> None:
        self.rows[key].leave_training()
        self.rows[key].state = state

    def time_left(self) -> str:
        """The time left in words: from finished trainings where there are any, else at most what all epochs take."""
        rows, now = list(self.rows.values()), time.monotonic()
        trainings = [seconds for row in rows for seconds in row.seconds]
        epochs = [seconds for row in rows for seconds in row.epoch_seconds]
        if not trainings and not epochs:
            return "starting workers" if all(row.is_new for row in rows) else UNKNOWN
        how, usual = "about" if trainings else "at most", fmean(trainings or epochs)
        estimate = makespan(self._tasks(usual if trainings else usual * self.max_epochs, now), self.slots)
        left = self._countdowns[how].show(estimate, now)
        return f"{how} {duration(left)} left" if estimate and left else "nearly done"

    def _tasks(self, usual: float, now: float) -> list[float]:
        """The seconds that each trial still takes, in order, where a training usually takes so many."""
        rows, each = list(self.rows.values()), self._folds * self.study.repeats
        running = [self._seconds_left(row, fmean(row.seconds or [usual]), now) for row in rows]
        begun = [(each - row.trainings_done) * usual for row in rows if row.state == "waiting"]
        begun += [
            (each - self.study.repeats * folds) * usual
            for key, folds in self.folds_before.items()
            if key not in self.rows
        ]
        new = self.study.trials - self._ended() - sum(row.state not in ENDED for row in rows)
        new -= sum(key not in self.rows for key in self.folds_before)
        return [*running, *begun, *[self._usual_trainings() * usual] * new]

    def _seconds_left(self, row: LiveRow, usual: float, now: float) -> float:
        """What a running trial still takes; nothing for others."""
        if row.state != "running":
            return 0.0
        left = (self._folds * self.study.repeats - row.trainings_done) * usual
        return max(left - (0.0 if row.began is None else now - row.began), left - usual, 0.0)

    def _usual_trainings(self) -> float:
        """The trainings of a trial: all, or where weak ones are pruned as many as those that have ended had."""
        ended = [row.folds_done for row in list(self.rows.values()) if row.state in ("finished", "pruned")]
        folds = fmean(ended) if ended and self.study.scheduler != "fifo" else self._folds
        return folds * self.study.repeats

    def render(self) -> Group:
        """Draw the bar and the table, as wide and as high as the terminal."""
        if not self.rows:
            return Group(self.headline())
        common = in_every_row(dict(self.common))
        hidden = self._running() - sum(row.state == "running" for row in self._shown_rows())
        more = [f" and {hidden} more that run"] * bool(hidden)
        return Group(self.headline(), *[common] * bool(common), self.table(), *more)

    def headline(self) -> RichTable:
        """Draw how far the study is."""
        trials, share, line = self.study.trials, self._share(), RichTable.grid(padding=(0, 2, 0, 0))
        others = (
            f"{trials} of {trials} trials  100 %  {UNKNOWN}  "  # at their longest, so that the bar keeps its length
        )
        bar = ProgressBar(1.0, share, width=max(min(LONGEST_BAR, self.console.width - len(others) - 2), 1))
        line.add_row(f"{self._ended()} of {trials} trials", bar, f"{100 * share:.0f} %", self.time_left())
        return line

    def table(self) -> RichTable:
        """Draw the rows that fit: the best, the last that have ended, and those that run."""
        several, fixed = self.study.has_several_seeds, self.study.has_fixed_split
        epoch, loss, mean = "epoch", "val loss", self.study.objective.mean_title
        best = [f"best {metric.mean_column}" for metric in self.followed]
        header = [*self.varied, *["fold"] * (not fixed), *["seed"] * several, epoch, loss, *best, mean, ""]
        rows = self._shown_rows()
        chosen = self._best_row()
        lines = [self._line(row, row is chosen) for row in rows]
        first = len(self.varied) + (not fixed) + several  # behind the text
        spare = [[header.index(name, first)] for name in (loss, *best, epoch, "")]  # leave a narrow terminal
        return Table("", header, lines, left=first, right=1, spare=spare).fit(self.console)[0]

    def _line(self, row: LiveRow, is_best: bool) -> Line:
        """A trial's line: while it runs with its training in progress, then with what it has."""
        has_ended, several = row.state in ENDED, self.study.has_several_seeds
        fold = row.folds_done if has_ended else min(row.folds_done + 1, self._folds)
        seed = ["" if row.seed is None else str(row.seed)] * several
        folds = [f"{fold}/{self._folds}"] * (not self.study.has_fixed_split)
        cells = [*row.cells, *folds, *seed, row.epoch, decimal(row.val_loss)]
        cells += [decimal(row.best.get(metric.name)) for metric in self.followed]
        state = "starting" if row.state == "running" and row.is_new else row.state
        kind = "best" if is_best else row.state if row.state in ("failed", "pruned") else "ended" * has_ended
        return Line([*cells, decimal(row.mean), "best so far" if is_best else state], kind)

    def _shown_rows(self) -> list[LiveRow]:
        """The rows for which there is room; those that run come last."""
        room = max(min(SHOWN_ROWS, self.console.height - FRAME), 1)
        rows, best = list(self.rows.values()), self._best_row()
        running = [row for row in rows if row.state == "running"][-room:]
        others = [row for row in rows if row.state != "running"]
        hidden = max(len(others) + len(running) - room, 0)
        shown = others[hidden:]
        if shown and best in others[:hidden]:
            shown[0] = best
        return [*shown, *running]

    def _best_row(self) -> LiveRow | None:
        """The trial with the best mean over the corpus's own folds, the first of equals; nothing of one alone."""
        whole = [row for row in list(self.rows.values()) if self._has_result(row)]
        rank = self.study.objective.rank
        return min(whole, key=lambda row: rank(row.mean)) if len(whole) > 1 else None

    def _has_result(self, row: LiveRow) -> bool:
        """Whether a trial has a mean over all of the corpus's own folds, and may go on with other partitions."""
        goes_on = row.state in ("waiting", "running") and row.folds_done >= len(self.study.folds)
        return row.mean is not None and (row.state == "finished" or goes_on)

    def _row_of(self, trial: TrialResult) -> LiveRow:
        """The row of a trial that had a result before."""
        name = trial_name(trial.params, self.varied) or trial.key
        folds = max(sum(map(len, trial.folds_by_partition)), self.folds_before.get(trial.key, 0))
        trainings, state = folds * self.study.repeats, "waiting" if trial.goes_on else trial.status
        row = LiveRow(trial.key, label(trial.params, self.varied), name, state, mean=trial.mean)
        row.folds_done, row.trainings_done = folds, trainings
        return row

    @property
    def _folds(self) -> int:
        """The folds of a trial, in all partitions."""
        return len(self.study.folds) * len(self.study.partitions)

    def _trainings_done(self, report: Report) -> int:
        """How many trainings a trial has behind it: seeds come in turn, fold after fold."""
        within = 0 if report.seed is None else self.study.seeds.index(report.seed)
        return report.folds_done * self.study.repeats + within

    def _ended(self) -> int:
        return sum(row.state in ENDED for row in list(self.rows.values()))

    def _running(self) -> int:
        return sum(row.state == "running" for row in list(self.rows.values()))

    def _share(self) -> float:
        """How much of the study is done, in trainings; a trial that has ended has all of its own behind it."""
        each = self._folds * self.study.repeats
        begun = [row.trainings_done for row in list(self.rows.values()) if row.state not in ENDED]
        begun += [folds * self.study.repeats for key, folds in self.folds_before.items() if key not in self.rows]
        return min((self._ended() * each + sum(begun)) / (self.study.trials * each), 1.0)

    def progress(self) -> str:
        """Say in a line how far the study is, and what runs."""
        running = [row for row in list(self.rows.values()) if row.state == "running" and not row.is_new]
        folds = "fold {}/{}, " if not self.study.has_fixed_split else ""
        where = [
            f"{row.name} ({folds.format(row.folds_done + 1, self._folds)}epoch {row.epoch or 1})" for row in running
        ]
        more = [f"{len(where) - NAMED} more"] if len(where) > NAMED else []
        now = f"; running: {', '.join([*where[:NAMED], *more])}" if where else ""
        return f"{self._ended()} of {self.study.trials} trials, {100 * self._share():.0f} %, {self.time_left()}{now}"

    def _print(self, text: str) -> None:
        """Print a line where there is no table."""
        if not self.console.is_terminal:
            self._spoke = time.monotonic()
            self.console.print(text, soft_wrap=True)

    def _speak(self) -> None:
        """Print a line whenever there was none for too long."""
        while not self._over.wait(max(self._spoke + QUIET - time.monotonic(), 0.01)):
            if time.monotonic() - self._spoke >= QUIET:
                self._print(self.progress())
