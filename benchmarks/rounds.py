"""What the benchmarks share: a corpus of noise, times of runs that take turns, and the table of what came of them."""

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

RATE = 16_000  # Hz


def write_corpus(root: Path, clips: int, folds: int = 2, evaluation: int = 0, seconds: float = 4.0) -> Path:
    """Noise, no two clips alike, half of each fold with the tag; `evaluation` more clips belong to no fold."""
    (root / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = ["filename,fold,tags,split"]
    for number in range(clips + evaluation):
        wave = np.clip(0.1 * rng.normal(size=round(RATE * seconds)), -1, 1)
        soundfile.write(root / "audio" / f"{number}.wav", wave, RATE, subtype="PCM_16")
        split = "development" if number < clips else "evaluation"
        rows.append(f"{number}.wav,{number % folds},{'hiss' if number // folds % 2 else ''},{split}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """(wall seconds, CPU seconds) of a call."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    run()
    return time.perf_counter() - wall, cpu_seconds() - cpu


def show(title: str, ratios: Mapping[str, Sequence[float] | np.ndarray], note: str = "") -> None:
    """A table: min, median and max of each row's values."""
    table = Table(title, "min", "median", "max")
    for name, values in ratios.items():
        there = np.asarray(values, dtype=float)
        table.add_row(name, *(f"{value:.3g}" for value in (there.min(), np.median(there), there.max())))
    console = Console()
    console.print(table)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end. {note}".rstrip())
