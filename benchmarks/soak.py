"""Does a study survive being killed? `python benchmarks/soak.py --studies 3 --kills 8 --seed 0`

Each study runs once undisturbed and once while it is broken off at random instants, from start-up to the last write:
SIGKILL for the driver and all its Ray processes, and a few times SIGINT, SIGTERM, SIGKILL for one worker, or SIGKILL
for all and a file of the ledger cut in half. It is resumed each time until it is done. Then the two must not differ:
results.json without its clock times, every probability array, every epoch that was in the ledger at a kill (its seconds
betray a second training of the same epoch, so that a kill costs at most the epoch in progress; the fold of a damaged
file is left out of this), and MLflow's runs and epochs, each exactly once.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from place import Place, kill, trial_workers, write_sounds
from rich.console import Console
from rich.table import Table

from study.ledger.ledger import Ledger
from study.ledger.results import study_results

SPACES = ("mixup_alpha", "augmentation", "dropout")
TRIALS, EPOCHS = 3, 4
ALL, WORKER, TORN = "SIGKILL for all", "for a worker", "for all, file cut"
KINDS = (ALL, TORN, WORKER, "SIGINT", "SIGTERM")
TEARABLE = ("trial.json", "fold_*.json", "fold_*.npz", "fold_*.pt", "running.pt")
Epochs = dict[tuple[str, int], list[float]]  # {(trial, fold): seconds of each epoch that the ledger holds}


def saved_epochs(study: Path) -> Epochs:
    """What the ledger holds now."""
    found: Epochs = {}
    for path in study.glob("trials/*/running.pt"):
        with suppress(FileNotFoundError):  # the fold has finished meanwhile
            saved = torch.load(path, map_location="cpu", weights_only=True)
            found[path.parent.name, saved["fold"]] = [epoch["seconds"] for epoch in saved["state"]["history"]]
    for path in study.glob("trials/*/fold_*.json"):
        record = json.loads(path.read_text())
        found[path.parent.name, record["fold"]] = [epoch["seconds"] for epoch in record["history"]]
    return found


def changed(before: Epochs, after: Epochs) -> int:
    """Epochs of the ledger that were trained once more, or lost."""
    pairs = [(epochs, after.get(fold, [])) for fold, epochs in before.items()]
    return sum(sum(a != b for a, b in zip(old, new, strict=False)) + max(0, len(old) - len(new)) for old, new in pairs)


def without_times(value: Any) -> Any:
    """Results without what the clock gives."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in ("seconds", "study")}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def differences(whole: Path, killed: Path) -> list[str]:
    """What is not bit for bit the same in two study folders."""
    found = []
    first, second = (without_times(json.loads((study / "results.json").read_text())) for study in (whole, killed))
    if first != second:
        found.append("results.json")
    arrays = sorted(whole.glob("trials/*/fold_*.npz"))
    assert arrays, f"{whole} has no probabilities to compare"
    for path in arrays:
        other = killed / path.relative_to(whole)
        if not other.is_file():
            found.append(f"{other} is missing")
            continue
        with np.load(path) as expected, np.load(other) as there:
            found += [f"{other}: {name}" for name in expected if not np.array_equal(expected[name], there[name])]
    return found


def mlflow_differences(store: str, study: Path) -> list[str]:
    """Runs or epochs that MLflow does not hold exactly once, and runs that it does not call finished."""
    import mlflow

    trials = study_results(Ledger.open(study), "finished").trials
    client = mlflow.MlflowClient(store)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`audiotag.study` = '{study.name}'", max_results=5000)
    levels = Counter(run.data.tags["audiotag.level"] for run in runs)
    found = [f"{run.info.run_name} is {run.info.status}" for run in runs if run.info.status != "FINISHED"]
    if levels != {"study": 1, "trial": len(trials), "fold": sum(len(trial.trainings) for trial in trials)}:
        found.append(f"runs: {dict(levels)}")
    for run in runs:
        if run.data.tags["audiotag.level"] == "fold":
            steps = sorted(point.step for point in client.get_metric_history(run.info.run_id, "val/loss"))
            if steps != list(range(int(run.data.metrics["epochs"]))):
                found.append(f"{run.info.run_name}: epochs {steps}")
    return found


@dataclass
class Broken:
    """What a study went through."""

    blows: Counter[str] = field(default_factory=Counter)  # by kind
    left: list[str] = field(default_factory=list)  # kinds for which it ended too early
    trained_again: int = 0  # epochs of the ledger


def break_off(process: subprocess.Popen[bytes], kind: str) -> bool:
    """Strike a driver, or a worker of it, and wait for its end; whether there was something to strike."""
    if kind in (ALL, TORN):
        kill(process.pid)
    elif kind == WORKER:
        while not (workers := trial_workers(process.pid)) and process.poll() is None:
            time.sleep(0.1)
        for worker in workers[:1]:
            os.kill(worker, signal.SIGKILL)
        process.wait()
        return bool(workers)
    else:
        process.send_signal(getattr(signal, kind))
        process.wait(timeout=120)
    return True


def tear(study: Path, chance: random.Random) -> Path | None:
    """Cut a file of the ledger in half, if there is one; of a kind first, so that each kind has its turn."""
    kinds = [found for name in TEARABLE if (found := sorted(study.glob(f"trials/*/{name}")))]
    if not kinds:
        return None
    path = chance.choice(chance.choice(kinds))
    os.truncate(path, path.stat().st_size // 2)
    return path


def belongs(path: Path, place: tuple[str, int]) -> bool:
    """Whether a file of the ledger holds epochs of a fold (running.pt, of which fold is not told: of any)."""
    return path.parent.name == place[0] and (path.stem == f"fold_{place[1]}" or path.name == "running.pt")


def run_broken(
    place: Place, words: list[str], name: str, kinds: list[str], chance: random.Random, seconds: float
) -> Broken:
    """Run a study to its end though it is struck once per session, after a random part of `seconds`.

    Raises:
        RuntimeError: when a driver ends with another exit code than its end calls for.
    """
    study, broken, before = place.study(name), Broken(left=list(kinds)), Epochs()
    while True:
        again = ["--resume", name] if (study / "study.json").is_file() else [*words, "--name", name]
        process, kind = place.start(*again, "--cpus-per-trial", "0.5"), broken.left[-1] if broken.left else ""
        try:
            code = process.wait(timeout=chance.uniform(0, seconds) if kind else None)
        except subprocess.TimeoutExpired:
            if break_off(process, kind):
                broken.blows[broken.left.pop()] += 1
            code = process.wait()
        now = saved_epochs(study)
        broken.trained_again += changed(before, now)
        torn = tear(study, chance) if kind == TORN and code == -signal.SIGKILL else None
        before = {place: epochs for place, epochs in now.items() if torn is None or not belongs(torn, place)}
        if code == 0:
            return broken
        if code not in (0, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
            raise RuntimeError(f"the study {name} ended with {code}:\n{place.output()[-3000:]}")


def soak(place: Place, space: str, kinds: list[str], chance: random.Random) -> list[str]:
    """One study undisturbed and as many broken off as the blows need: a row of the table."""
    words = ["--space", space, "--corpus", str(place.root / "corpus")]
    words += ["--trials", str(TRIALS), "--epochs", str(EPOCHS)]
    began = time.monotonic()
    if code := place.start(*words, "--name", f"{space}-whole", "--cpus-per-trial", "0.5").wait():
        raise SystemExit(f"the undisturbed study of {space} ended with {code}:\n{place.output()[-3000:]}")
    wall = time.monotonic() - began
    blows: Counter[str] = Counter()
    found, again, number = [], 0, 0
    while kinds:  # a study that ends before it was struck often enough is followed by another
        number += 1
        name = f"{space}-broken-{number}"
        broken = run_broken(place, words, name, kinds, chance, 0.8 * wall / min(number, 3))
        kinds, again, blows = broken.left, again + broken.trained_again, blows + broken.blows
        study = place.study(name)
        found += [*differences(place.study(f"{space}-whole"), study), *mlflow_differences(place.store, study)]
    for line in found:
        print(f"{space}: {line}")
    return [space, str(number), f"{wall:.0f}", *(str(blows[kind]) for kind in KINDS), str(again), str(len(found))]


def main() -> int:
    """Run the soak and print its table; the exit code is 1 where anything differed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--kills", type=int, default=8, help="SIGKILLs for all processes of each study")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    table = Table(
        "space", "broken studies", "seconds unbroken", *KINDS, "saved epochs trained again", "differences found"
    )
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place = Place(Path(folder))
        write_sounds(place.root / "corpus")
        rows = []
        for number in range(arguments.studies):
            kinds = [ALL] * arguments.kills + [TORN, TORN, WORKER, "SIGINT", "SIGTERM"]
            chance.shuffle(kinds)
            rows.append(soak(place, SPACES[number % len(SPACES)], kinds, chance))
            print("done:", *rows[-1], flush=True)
    for row in rows:
        table.add_row(*row)
    Console(width=max(Console().width, 150)).print(table)  # a pipe counts as 80 columns
    return int(any(row[-2:] != ["0", "0"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
