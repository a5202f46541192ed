"""Does a large corpus train as fast as a small one, and in how much memory? `python benchmarks/large_corpus.py`

Generates a corpus of short sounds in long clips, and one of a sixteenth of the clips, and runs a study of two trials
side by side on each, twice: one epoch of a small network, whose steps are short against reading their clips. Of the
second start, when audio and features are known: the seconds until the trials start, the time per clip of an epoch
against that of the small corpus, and the most memory that all processes of the study held beyond the page cache.

FSD50K's size in features, 8 GB: `--clips 51000 --tags 200`, on a disk with 12 GB free.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile
from place import Place, processes
from rounds import RATE, show

SECONDS = 10.0  # of a clip: 159 kB of features
SPACE = '''"""How large a corpus?"""

from torch import nn


class SmallCNN(nn.Module):
    """Two convolutions and a mean over time."""

    def __init__(self, n_columns, n_tags, *, width=32):
        super().__init__()
        first, second = nn.Conv1d(n_columns, width, 5, 2), nn.Conv1d(width, width, 5, 2)
        self.body = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
        self.head = nn.Linear(width, n_tags)

    def forward(self, x):
        return self.head(self.body(x.transpose(1, 2)).mean(dim=2)).sigmoid()


def define(trial):
    trial.suggest_categorical("sampling", ["uniform", "balanced"])
    return {"model": "SmallCNN"}
'''


def write_sparse_corpus(root: Path, clips: int, tags: int) -> Path:
    """Clips of noise of a tenth of a second in silence, in a fixed split; some labels are unknown."""
    (root / "audio").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), ["filename,tags,split"]
    for number in range(clips):
        wave, start = np.zeros(round(RATE * SECONDS), np.float32), int(rng.integers(RATE))
        wave[start : start + RATE // 10] = 0.1 * rng.normal(size=RATE // 10)
        soundfile.write(root / "audio" / f"{number}.flac", wave, RATE, subtype="PCM_16")
        own = {f"tag_{number % tags}", f"tag_{rng.integers(tags)}"}
        unknown = {f"?tag_{rng.integers(tags)}"} if number % 3 == 0 else set()
        split = "train" if number < 0.72 * clips else "validation" if number < 0.8 * clips else "test"
        rows.append(f"{number}.flac,{';'.join(sorted(own | {tag for tag in unknown if tag[1:] not in own}))},{split}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root


def beyond_page_cache(session: int) -> float:
    """GB that all processes of a session hold, shared pages once, but for those of files."""
    total = 0
    for process in processes(session):
        with suppress(OSError):  # it has ended
            found = re.findall(r"Pss_(?:Anon|Shmem): +(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text())
            total += sum(map(int, found))
    return 1024 * total / 1e9


def run_study(place: Place, corpus: Path, name: str) -> dict[str, float]:
    """Run a study; give its figures."""
    space = place.root / "space.py"
    space.write_text(SPACE)
    began, started, peak = time.monotonic(), 0.0, 0.0
    words = ("--space", str(space), "--corpus", str(corpus), "--name", name, "--epochs", "1")
    driver = place.start(*words, "--cpus-per-trial", "1")
    while driver.poll() is None:
        peak = max(peak, beyond_page_cache(driver.pid))
        if not started and list(place.study(name).glob("trials/*")):
            started = time.monotonic() - began
        time.sleep(0.5)
    if driver.returncode:
        raise RuntimeError((place.root / "output.log").read_text()[-2000:])
    epochs = [json.loads(path.read_text())["history"] for path in place.study(name).glob("trials/*/fold_*.json")]
    return {
        "s until trials start": started,
        "s in all": time.monotonic() - began,
        "s of an epoch": float(np.mean([rows[0]["seconds"] for rows in epochs])),
        "GB beyond the page cache, peak": peak,
    }


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=1600)
    parser.add_argument("--tags", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-", ignore_cleanup_errors=True) as folder:
        place, figures = Place(Path(folder)), {}
        for size in (arguments.clips // 16, arguments.clips):
            corpus = write_sparse_corpus(place.root / f"corpus-{size}", size, arguments.tags)
            for turn in ("first", "second"):
                figures[size, turn] = run_study(place, corpus, f"{turn}-{size}")
                show(f"{size} clips, {turn} study", {name: [value] for name, value in figures[size, turn].items()})
        small, large = (
            figures[size, "second"]["s of an epoch"] / size for size in (arguments.clips // 16, arguments.clips)
        )
        show("second study", {"s of an epoch per clip, large / small": [large / small]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
