"""What breaks first on a large cluster? `python benchmarks/scale.py --trials 10000 --slots 800`

The driver's own parts at work for simulated trials: searcher (TPE), scheduler (asha), ledger, live table, Optuna's and
MLflow's copies, beside a made-up ledger that holds so many trials already and with so many running. Prints the CPU
milliseconds of each event, at a hundredth, a tenth and all of the trials, and from them the share of a core that the
driver needs where each running trial reports an epoch every 20 s, a fold has 30 epochs and a trial five folds. Tune's
own share is measured with real trials that do nothing but report. Workers and networks are left out.
"""

import argparse
import io
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from growth import write_ledger
from ray import tune
from rich.console import Console
from rich.table import Table

from audiotag.training.epochs import EpochResult
from search_spaces import load_space
from study.ledger.context import StudyContext
from study.ledger.keeper import TrialKeeper
from study.ledger.ledger import Ledger
from study.ledger.progress import METRIC, Report
from study.ledger.saved_state import FoldFiles, Training, pack_fold
from study.reporting.live_table import REFRESH, LiveTable
from study.search.asha import Rungs
from study.search.searcher import LedgerSearcher, make_searcher
from study.search.space import scan_space
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.optuna_db import OptunaCopy
from study.tracking.tracker import INTERVAL, Copy, Progress
from study.tuning.cluster import start_ray, stop_ray
from study.tuning.faults import Faults
from study.tuning.scheduler import FoldScheduler
from study.tuning.tune import Relay

EPOCH_SECONDS, EPOCHS, FOLDS = 20.0, 30, 5
WATCHED = 12  # trials whose events are timed
LIVE, ROUNDS = 50, 5  # trials in progress, of which copies get an epoch each so many times
STATE = pack_fold({}, {"w": torch.zeros(1_175_000)}).weights  # 4.7 MB, as the paper's network's
SECONDS = {  # that pass between two events of a slot
    "proposal and start": EPOCH_SECONDS * EPOCHS * FOLDS,
    "report of an epoch": EPOCH_SECONDS,
    "end of a fold": EPOCH_SECONDS * EPOCHS,
    "end of a trial": EPOCH_SECONDS * EPOCHS * FOLDS,
    "optuna.db, per trial": EPOCH_SECONDS * EPOCHS * FOLDS,
}


class Clock:
    """CPU milliseconds of this thread by event."""

    def __init__(self) -> None:
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def event(self, name: str) -> Iterator[None]:
        """Time an event."""
        began = time.thread_time()
        yield
        self.times[name].append(1000 * (time.thread_time() - began))

    def median(self, name: str) -> float:
        """The usual milliseconds of an event."""
        return float(np.median(self.times[name]))


class Driver:
    """The driver of a study with a ledger, as far as it has no Ray."""

    def __init__(self, ledger: Ledger, slots: int) -> None:
        self.ledger, self.context, self.clock = ledger, StudyContext(ledger.study), Clock()
        self.live = LiveTable(Console(file=io.StringIO(), width=120), ledger.study, slots=slots, max_epochs=200)
        self.relay = Relay([self.live], ledger, Faults(list))
        self.searcher: LedgerSearcher = make_searcher(scan_space(load_space("joint")), ledger, self.context)
        self.searcher.set_search_properties(METRIC, "min", {})
        self.scheduler = FoldScheduler(Rungs(ledger), self.context)
        for number in range(slots):
            self.live.started(str(number), {"alpha": 1.0, "augmentation": "mixup"})

    def run(self, name: str) -> None:
        """One trial from its proposal to its end."""
        clock, relay, folds = self.clock, self.relay, self.ledger.study.folds
        with clock.event("proposal and start"):
            parameters = self.searcher.suggest(name)
            trial: Any = SimpleNamespace(config=parameters, last_result={}, max_failures=-1)
            relay.on_trial_start(0, [], trial)
        key = self.context.key_of(parameters)
        keeper = TrialKeeper(self.ledger.trial(key), self.ledger.study)
        records = self.ledger.trials()[0]
        for done, fold in enumerate(folds):
            for epoch in range(3):
                result = EpochResult(epoch, 0.5, 0.9, 0.5, 0.9, {"eer": 0.2}, EPOCH_SECONDS)
                self._report(trial, Report(0.2, done, fold, 0, result), "report of an epoch")
            with clock.event("state kept (in the writer)"):
                keeper.keep_state(STATE)
            record = records.read_fold(fold)
            assert record is not None
            files = FoldFiles((records.path / f"fold_{fold}.npz").read_bytes(), STATE)
            with clock.event("fold kept (in the writer)"):
                keeper.keep_fold(Training(1, fold), record, files)
            mean = float(np.mean(list(record.figures["eer"].by_tag.values())))
            if self._report(trial, Report(mean, done + 1), "end of a fold") == FoldScheduler.STOP:
                break
        trial.last_result = Report(mean, done + 1).to_dict() | {METRIC: mean}
        with clock.event("end of a trial"):
            self.searcher.on_trial_complete(name, trial.last_result)
            relay.on_trial_complete(0, [], trial)

    def _report(self, trial: Any, report: Report, event: str) -> str:
        with self.clock.event(event):
            result = report.to_dict()
            self.relay.on_trial_result(0, [], trial, result)
            return self.scheduler.on_trial_result(None, trial, result)

    def copy(self, store: str | None) -> None:
        """Bring Optuna's copy up to date, for whatever has ended, and MLflow's where there is a store."""
        copy = OptunaCopy(self.ledger, load_space("joint"))
        copy.update(Progress())
        with self.clock.event("live table drawn"):
            self.live.console.print(self.live.render())
        for number in range(WATCHED // 2):
            self.run(f"more {number}")
        began = time.thread_time()
        copy.update(Progress())
        self.clock.times["optuna.db, per trial"].append(1000 * (time.thread_time() - began) / (WATCHED // 2))
        if store is not None:
            trials = len(self.ledger.trials())
            began = time.thread_time()
            MlflowCopy(self.ledger, store).update(Progress())
            self.clock.times["MLflow, per trial"].append(1000 * (time.thread_time() - began) / trials)


def measure(folder: Path, trials: int, slots: int, store: str | None) -> Clock:
    """Time the events of some trials beside so many others."""
    ledger = Ledger.open(write_ledger(folder / str(trials), trials))
    ledger.update_study(trials=trials + 4 * WATCHED, scheduler="asha")
    driver = Driver(ledger, slots)
    for number in range(WATCHED):
        driver.run(str(number))
    driver.copy(store)
    return driver.clock


def measure_live(folder: Path) -> Clock:
    """Time what the copies add of trials in progress, and an update without any news."""
    root, clock = write_ledger(folder / "live", LIVE), Clock()
    for path in root.glob("trials/*/fold_4.*"):
        path.unlink()
    ledger = Ledger.open(root)
    keys = [each.key for each in ledger.trials()]
    mlflow, optuna = MlflowCopy(ledger, f"sqlite:///{folder}/live.db"), OptunaCopy(ledger, load_space("joint"))
    events: dict[str, Copy] = {"MLflow, per epoch": mlflow, "optuna.db, per end of a fold": optuna}
    for copy in events.values():
        copy.update(Progress(touched=set()))  # new: it looks at all
    for number in range(ROUNDS):
        result = EpochResult(number, 0.5, 0.9, 0.5, 0.9, {"eer": 0.2}, EPOCH_SECONDS)
        news = Progress(epochs={(key, 1, 4, 0): [result] for key in keys}, touched=set(keys))
        for event, copy in events.items():
            began = time.thread_time()
            copy.update(news)
            clock.times[event].append(1000 * (time.thread_time() - began) / LIVE)
            with clock.event("copies, per look without news"):
                copy.update(replace(news, touched=set()))
    return clock


def measure_tune(reports: int) -> float:
    """CPU milliseconds of Tune in the driver for a report of a trial that does nothing else."""

    def train(config: dict[str, Any]) -> None:
        for _ in range(reports):
            tune.report({"mean": 0.2})

    start_ray(None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = tune.RunConfig(storage_path=folder, verbose=0)
            tuner = tune.Tuner(
                tune.with_resources(train, {"cpu": 1}), run_config=run, tune_config=tune.TuneConfig(num_samples=2)
            )
            began = time.process_time()
            tuner.fit()
            return 1000 * (time.process_time() - began) / (2 * reports)
    finally:
        stop_ray()


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=800)
    parser.add_argument("--reports", type=int, default=1000, help="of Tune alone")
    arguments = parser.parse_args()
    sizes = [arguments.trials // 100, arguments.trials // 10, arguments.trials]
    with tempfile.TemporaryDirectory(prefix="scale-") as name, patch("os.fsync"):
        folder = Path(name)
        stores = [f"sqlite:///{folder}/mlflow.db", None, None]  # linear: what it takes with few trials says it
        clocks = [measure(folder, size, arguments.slots, store) for size, store in zip(sizes, stores, strict=True)]
        live = measure_live(folder)
    table = Table("CPU ms", *(f"{size} trials" for size in sizes), f"share of a core, {arguments.slots} slots")
    total = 0.0
    for event in [*SECONDS, "live table drawn", "MLflow, per trial"]:
        figures = [clock.median(event) for clock in clocks if clock.times[event]]
        interval = SECONDS.get(event, SECONDS["end of a trial"])
        share = figures[-1] / 1000 * (REFRESH if event == "live table drawn" else arguments.slots / interval)
        total += share
        table.add_row(
            event, *(f"{figure:.1f}" for figure in figures), *[""] * (3 - len(figures)), f"{100 * share:.1f} %"
        )
    per_second = {  # of events of the copies
        "MLflow, per epoch": arguments.slots / EPOCH_SECONDS,
        "optuna.db, per end of a fold": arguments.slots / SECONDS["end of a fold"],
        "copies, per look without news": 2 / INTERVAL,
    }
    for event, times in per_second.items():
        share = live.median(event) / 1000 * times
        total += share
        table.add_row(event, f"{live.median(event):.1f}", "", "", f"{100 * share:.1f} %")
    of_tune = measure_tune(arguments.reports)
    share = of_tune / 1000 * arguments.slots / EPOCH_SECONDS
    table.add_row("Tune, per report", f"{of_tune:.1f}", "", "", f"{100 * share:.1f} %")
    table.add_row("all in the driver", "", "", "", f"{100 * (total + share):.1f} %")
    for event in ("state kept (in the writer)", "fold kept (in the writer)"):
        interval = max(5.0, arguments.slots / 25) if event.startswith("state") else SECONDS["end of a fold"]
        figures = [clock.median(event) for clock in clocks]
        share = figures[-1] / 1000 * arguments.slots / max(interval, EPOCH_SECONDS)
        table.add_row(event, *(f"{figure:.1f}" for figure in figures), f"{100 * share:.1f} %")
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
