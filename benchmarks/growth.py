"""What does a large study cost beside its training? `python benchmarks/growth.py`

A made-up ledger of 1000 trials of five folds. First the CPU seconds until `--resume` has looked at it and proposes a
trial, those of the report, and those of a picture of the live table: each in a process of its own, against that of a
ledger of a tenth of the trials (10: linear; what the imports take makes it less). MLflow is left out: its copy is
brought up to date while a study runs.

Then the CPU seconds of trials of one epoch, here in this process, as clips, trials and folds grow, each as a ratio to
the smallest, divided by what has grown: 1 is linear.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from rounds import cpu_seconds, show

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus
from study.ledger.context import StudyContext
from study.ledger.keeper import TrialKeeper
from study.ledger.ledger import trial_folder
from study.tuning.features import TrialFeatures
from study.tuning.fold_training import SaveTimes
from study.tuning.trial import trial_reports

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # for its helpers
IMPORTS = """
import time
from pathlib import Path
from study.ledger.ledger import Ledger
"""
RESUME = """
from study.ledger.results import is_complete, study_results
from study.search.searcher import make_searcher
from study.ledger.context import StudyContext
from search_spaces import load_space
from study.search.space import scan_space
ledger = Ledger.open(root)
assert not is_complete(ledger)
assert len(study_results(ledger, "interrupted").trials) == ledger.study.trials - 1
assert make_searcher(scan_space(load_space("joint")), ledger, StudyContext(ledger.study)).suggest("a")
"""
REPORT = """
import io
from study.cli import make_console
from study.reporting.results_files import write_results
from study.reporting.terminal_table import show_results
ledger, console = Ledger.open(root), make_console()
console.file = io.StringIO()
show_results(write_results(ledger, "interrupted", redraw=True), console)
"""
LIVE = """
import io
from rich.console import Console
from audiotag.training.epochs import EpochResult
from study.ledger.progress import Report
from study.reporting.live_table import LiveTable
console = Console(file=io.StringIO(), width=120)
live = LiveTable(console, Ledger.open(root).study, slots=2, max_epochs=200)
for key in map(str, range(trials)):
    live.started(key, {"alpha": 1.0, "augmentation": "mixup"})
    for epoch in range(50):
        live.reported(key, Report(0.2, fold=0, seed=0, epoch=EpochResult(epoch, 0.5, 0.9, 0.5, 0.9, {"eer": 0.2}, 1.0)))
    live.ended(key, None)
began = time.process_time()
console.print(live.render())
print(time.process_time() - began)
"""
ACTS = {"until --resume proposes a trial": RESUME, "report": REPORT, "a picture of the live table": LIVE}


def write_ledger(root: Path, trials: int) -> Path:
    """A sampled study whose last trial has not finished."""
    from helpers.made_up import make_corpus, make_study  # type: ignore[import-not-found]

    rng = np.random.default_rng(0)
    kinds = ["mixup", "mixup_lp", "extrapolation"]
    configs = [
        {
            "augmentation": str(rng.choice(kinds)),
            "alpha": float(rng.uniform(0.1, 5)),
            "dropout": float(rng.uniform(0, 0.5)),
        }
        for _ in range(trials)
    ]
    ranges = {"alpha": {"low": 0.1, "high": 5.0, "log": True}, "dropout": {"low": 0.0, "high": 0.5, "log": False}}
    corpus = make_corpus(groups=80, clips=6, evaluation=20)
    study = {"space": "joint", "sampler": "tpe", "ranges": ranges, "gains": rng.uniform(0, 1, trials).tolist()}
    with patch("os.fsync"):  # a made-up study need not survive a power failure
        make_study(root, configs, corpus=corpus, finished=trials - 1, epochs=50, **study)
    return root


def seconds_of(act: str, root: Path, trials: int) -> float:
    """CPU seconds of a fresh process, or what it prints of its own."""
    start = f"root, trials = Path({str(root)!r}), {trials}"
    began = cpu_seconds()
    done = subprocess.run([sys.executable, "-c", IMPORTS + start + act], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[0]) if act is LIVE else cpu_seconds() - began


def measure_ledger(folder: Path, trials: int, rounds: int) -> None:
    """Print the first table."""
    large, small = write_ledger(folder / "large", trials), write_ledger(folder / "small", trials // 10)
    rows: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, act in ACTS.items():
            times = seconds_of(act, large, trials), seconds_of(act, small, trials // 10)
            rows.setdefault(f"{name}, CPU s", []).append(times[0])
            rows.setdefault(f"{name}, of {trials} / of {trials // 10}", []).append(times[0] / times[1])
    show(f"{trials} trials", rows)


def train(folder: Path, clips: int, trials: int, folds: int) -> None:
    """Trials of one epoch per fold on random features of half a second, one after another."""
    from helpers.small_study import STUDY  # type: ignore[import-not-found]

    rng = np.random.default_rng(0)
    names = tuple(f"{number}" for number in range(clips))
    corpus = Corpus(
        name="noise",
        kind="folder",
        root=folder,
        tags=("a", "b"),
        clips=names,
        paths=tuple(map(Path, names)),
        targets=(rng.random((clips, 2)) < 0.5).astype(np.float32),
        folds=np.arange(clips) % folds,
        groups=np.array(names),
        clip_seconds=0.5,
    )
    features = rng.normal(size=(clips, 14, 128)).astype(np.float32)
    context = StudyContext(STUDY)
    for number in range(trials):
        config = TrialConfig.from_dict({"max_epochs": 1, "alpha": 0.1 * number, "augmentation": "mixup"})
        trial = trial_folder(folder, context.key(config))
        trial.write_trial(number, config.to_dict())
        keeper = TrialKeeper(trial, context.study)
        for _ in trial_reports(config, keeper, context, corpus, TrialFeatures(features), "cpu", SaveTimes(0.0)):
            pass


def measure_training(folder: Path, rounds: int, size: int) -> None:
    """Print the second table."""
    axes: dict[str, Callable[[Path, int], None]] = {
        "clips": lambda place, n: train(place, 16 * size * n, 1, 2),
        "trials": lambda place, n: train(place, 4 * size, n, 2),
        "folds (an epoch trains on the others: 1, 3, 7 of them)": lambda place, n: train(place, 16 * size, 1, 2 * n),
    }
    train(folder / "warm", size, 1, 2)
    rows: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, run in axes.items():
            times = []
            for n in (1, 2, 4):
                began = cpu_seconds()
                run(folder / f"{name[:5]}-{n}-{number}", n)
                times.append(cpu_seconds() - began)
            for n, time in zip((2, 4), times[1:], strict=True):
                grown = (2 * n - 1) if name.startswith("folds") else n
                rows.setdefault(f"{name} x {n}", []).append(time / times[0] / grown)
    show("CPU seconds a unit, against the smallest", rows)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=16, help="a sixteenth of the clips of the smallest training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        measure_training(Path(folder), arguments.rounds, arguments.size)
        measure_ledger(Path(folder), arguments.trials, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
