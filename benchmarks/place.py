"""Whole studies as a user starts them, in processes of their own: a small corpus, a driver, and how to kill it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
FOLDS, CLIPS = 3, 24


def write_sounds(root: Path) -> Path:
    """Half a second per clip: hum, hiss, both or neither, in three folds; the last four are the evaluation split."""
    (root / "audio").mkdir(parents=True)
    rows = ["filename,fold,tags,split"]
    for number in range(CLIPS):
        hum, hiss, rng = number % 2, number // 2 % 2, np.random.default_rng(number)
        wave = 0.2 * hum * np.sin(np.arange(8000) * 0.08) + (0.001 + 0.1 * hiss) * rng.normal(size=8000)
        soundfile.write(root / "audio" / f"{number}.wav", np.clip(wave, -1, 1), 16_000)
        tags = ";".join(["hum"] * hum + ["hiss"] * hiss)
        split = "evaluation" if number >= CLIPS - 4 else "development"
        rows.append(f"{number}.wav,{number // 4 % FOLDS},{tags},{split}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root


@dataclass
class Place:
    """A folder with a corpus, studies, a tracking store and the drivers' output."""

    root: Path
    store: str = ""
    studies: Path = Path("studies")  # below the root
    url: str = ""  # where studies are kept in the cloud, else there
    machine: str = "cache"  # the caches' folder below the root: another one is like another machine

    def __post_init__(self) -> None:
        self.store = self.store or f"sqlite:///{self.root / 'mlflow.db'}"

    def study(self, name: str) -> Path:
        """The folder of a study."""
        return self.root / self.studies / name

    def command(self, *words: str) -> list[str]:
        """A driver's command line."""
        fixed = ["--studies", self.url or str(self.root / self.studies), "--tracking-uri", self.store]
        return [sys.executable, str(ROOT / "study" / "run.py"), *words, *fixed]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A driver in a session of its own, which its Ray processes share; it saves each epoch, however short."""
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.root / self.machine), "AUDIOTAG_SAVE_SECONDS": "0"}
        with (self.root / "output.log").open("ab") as log:
            return subprocess.Popen(
                self.command(*words), stdout=log, stderr=log, start_new_session=True, env=environment
            )

    def output(self) -> str:
        """All that the drivers have printed."""
        log = self.root / "output.log"
        return log.read_text() if log.is_file() else ""


def processes(session: int, name: str = "") -> list[int]:
    """The processes of a session whose command line begins with a name."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line = (path / "cmdline").read_bytes().decode(errors="replace")
            if int((path / "stat").read_text().rpartition(")")[2].split()[3]) == session and line.startswith(name):
                found.append(int(path.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def trial_workers(session: int) -> list[int]:
    """The processes that train trials now."""
    return processes(session, "ray::ImplicitFunc")


def kill(session: int) -> None:
    """SIGKILL for every process of a session, and a moment for the kernel to reap them."""
    for process in processes(session):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    time.sleep(0.5)
