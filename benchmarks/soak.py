"""Does a study survive being killed? `python benchmarks/soak.py --studies 3 --kills 8 --seed 0`

Each study runs once undisturbed and once while SIGKILL hits the driver and all its Ray processes at random instants,
from start-up to the last write; it is resumed each time until it is done. Then the two must not differ: results.json
without its clock times, every probability array, every epoch that was in the ledger at a kill (its seconds betray
a second training of the same epoch), and MLflow's runs and epochs, each exactly once.
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
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
SPACES = ("mixup_alpha", "augmentation", "dropout")
TRIALS, EPOCHS, FOLDS, CLIPS = 3, 4, 3, 24


def write_corpus(root: Path) -> Path:
    """Half a second a clip: hum, hiss, both or neither."""
    (root / "audio").mkdir(parents=True)
    rows = ["filename,fold,tags"]
    for number in range(CLIPS):
        hum, hiss, rng = number % 2, number // 2 % 2, np.random.default_rng(number)
        wave = 0.2 * hum * np.sin(np.arange(8000) * 0.08) + (0.001 + 0.1 * hiss) * rng.normal(size=8000)
        soundfile.write(root / "audio" / f"{number}.wav", np.clip(wave, -1, 1), 16_000)
        rows.append(f"{number}.wav,{number // 4 % FOLDS},{';'.join(['hum'] * hum + ['hiss'] * hiss)}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root


def start(place: Path, *words: str) -> subprocess.Popen[bytes]:
    """A driver in a session of its own, which its Ray processes share."""
    store = f"sqlite:///{place / 'mlflow.db'}"
    fixed = ["--studies", str(place / "studies"), "--tracking-uri", store, "--cpus-per-trial", "0.5"]
    command = [sys.executable, str(ROOT / "study" / "run.py"), *words, *fixed]
    with (place / "output.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def kill(session: int) -> None:
    """SIGKILL for every process of a session, and a moment for the kernel to reap them."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(path.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue
    time.sleep(0.5)


def saved_epochs(study: Path) -> dict[tuple[str, int], list[float]]:
    """{(trial, fold): seconds of each epoch that the ledger holds}."""
    found: dict[tuple[str, int], list[float]] = {}
    for path in study.glob("trials/*/running.pt"):
        saved = torch.load(path, weights_only=True)
        found[path.parent.name, saved["fold"]] = [epoch["seconds"] for epoch in saved["state"]["history"]]
    for path in study.glob("trials/*/fold_*.json"):
        record = json.loads(path.read_text())
        found[path.parent.name, record["fold"]] = [epoch["seconds"] for epoch in record["history"]]
    return found


def changed(before: dict[tuple[str, int], list[float]], after: dict[tuple[str, int], list[float]]) -> int:
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
    for path in sorted(whole.glob("trials/*/fold_*.npz")):
        other = killed / path.relative_to(whole)
        if not other.is_file():
            found.append(f"{other} is missing")
            continue
        with np.load(path) as expected, np.load(other) as arrays:
            found += [f"{other}: {name}" for name in expected if not np.array_equal(expected[name], arrays[name])]
    return found


def mlflow_differences(place: Path, name: str) -> list[str]:
    """Runs or epochs that MLflow does not hold exactly once, and runs that it does not call finished."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`audiotag.study` = '{name}'", max_results=5000)
    levels = [run.data.tags["audiotag.level"] for run in runs]
    found = [f"{run.info.run_name} is {run.info.status}" for run in runs if run.info.status != "FINISHED"]
    wanted = {"study": 1, "trial": TRIALS, "fold": TRIALS * FOLDS}
    if {level: levels.count(level) for level in levels} != wanted:
        found.append(f"runs: {levels}")
    for run in runs:
        if run.data.tags["audiotag.level"] == "fold":
            steps = sorted(point.step for point in client.get_metric_history(run.info.run_id, "val/loss"))
            if steps != list(range(int(run.data.metrics["epochs"]))):
                found.append(f"{run.info.run_name}: epochs {steps}")
    return found


def soak(place: Path, space: str, kills: int, chance: random.Random) -> list[str]:
    """One study undisturbed and one killed: a row of the table."""
    words = ["--space", space, "--corpus", str(place / "corpus"), "--trials", str(TRIALS), "--epochs", str(EPOCHS)]
    began = time.monotonic()
    if code := start(place, *words, "--name", f"{space}-whole").wait():
        raise SystemExit(f"the undisturbed study of {space} ended with {code}: see {place / 'output.log'}")
    wall = time.monotonic() - began
    study, done, trained_again = place / "studies" / f"{space}-killed", 0, 0
    before: dict[tuple[str, int], list[float]] = {}
    while True:
        again = ["--resume", study.name] if (study / "study.json").is_file() else [*words, "--name", study.name]
        process = start(place, *again)
        try:
            code = process.wait(timeout=chance.uniform(0, 0.8 * wall) if done < kills else None)
        except subprocess.TimeoutExpired:
            kill(process.pid)
            done += 1
            now = saved_epochs(study)
            trained_again += changed(before, now)
            before = now
            continue
        if code:
            raise SystemExit(f"the resumed study of {space} ended with {code}: see {place / 'output.log'}")
        break
    trained_again += changed(before, saved_epochs(study))
    found = [*differences(place / "studies" / f"{space}-whole", study), *mlflow_differences(place, study.name)]
    for line in found:
        print(f"{space}: {line}")
    return [space, f"{wall:.0f}", str(done), str(trained_again), str(len(found))]


def main() -> int:
    """Runs the soak and prints its table; the exit code is 1 where anything differed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--kills", type=int, default=8, help="of each study")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    table = Table("study", "seconds unbroken", "kills", "saved epochs trained again", "differences found")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place = Path(folder)
        write_corpus(place / "corpus")
        rows = [
            soak(place, SPACES[number % len(SPACES)], arguments.kills, chance) for number in range(arguments.studies)
        ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return int(any(row[3:] != ["0", "0"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
