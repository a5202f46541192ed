"""Helper: what tests of whole studies wait for and read; benchmarks/place.py starts them."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from place import ROOT, Place
from soak import mlflow_differences


def wait_for(process: subprocess.Popen[bytes], study: Path, pattern: str, count: int = 1) -> None:
    """Wait until a study in progress has so many files of a pattern."""
    while process.poll() is None and len(list(study.glob(pattern))) < count:
        time.sleep(0.02)
    assert process.poll() is None, "the study ended before it had come so far"


def start_small(place: Place, name: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a study of two trials, on the place's corpus."""
    small = ("--space", "mixup_alpha", "--trials", "2", "--epochs", "3", "--cpus-per-trial", "0.5")
    return place.start(*small, "--name", name, "--corpus", str(place.root / "corpus"), *words)


def finish(process: subprocess.Popen[bytes], place: Place, code: int = 0) -> None:
    """Wait until a driver ends, which must be with this exit code. A hang ends with the limit of all tests."""
    assert process.wait() == code, place.output()


def catch_up(place: Place, name: str) -> None:
    """Run the command that a driver names at its end where MLflow is slower than it waits, as on a busy machine."""
    if "MLflow is behind; later: " in place.output():
        report = [sys.executable, str(ROOT / "study" / "report.py"), name, "--tracking-uri", place.store]
        subprocess.run([*report, "--studies", str(place.root / place.studies)], check=True, capture_output=True)


def mlflow_lacks(place: Place, name: str) -> list[str]:
    """What MLflow does not hold exactly once of a study that has ended."""
    catch_up(place, name)
    return mlflow_differences(place.store, place.study(name))


def read_results(place: Place, name: str) -> dict[str, Any]:
    return json.loads((place.study(name) / "results.json").read_text())


def write_noise(root: Path) -> Path:
    """Three folds of noise with random tags: no two trials have the same EER, so that some are pruned."""
    rng, rows = np.random.default_rng(0), ["filename,fold,tags"]
    (root / "audio").mkdir(parents=True)
    for number in range(54):
        soundfile.write(root / "audio" / f"{number}.wav", rng.uniform(-0.2, 0.2, 4000), 16_000)
        rows.append(f"{number}.wav,{number % 3},{';'.join(tag for tag in ('a', 'b', 'c') if rng.random() < 0.5)}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root
