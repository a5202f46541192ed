"""What memory do workers take? `python benchmarks/memory.py`

Trials of the CRNN run side by side through Ray Tune on a corpus of CHiME-Home's size (1946 and 816 clips of 4 s,
made-up features), until each has trained for a while. Then the kernel's own account of each worker: all that is
resident but the object store; libraries and files, most of whose pages all workers share, and the rest, its own; what
of both is in no other process's memory, which is what one more worker takes; and the store's pages, which hold the
features. First, what a driver grows by that is told of many epochs.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from place import trial_workers
from rounds import show

from audiotag.corpus.corpus import EVALUATION, Corpus
from audiotag.features.log_mel import LogMel
from audiotag.training.epochs import EpochResult
from search_spaces import load_space
from study.cli import make_console
from study.ledger.context import StudyContext
from study.ledger.ledger import Ledger
from study.ledger.progress import Report
from study.ledger.results import corpus_record
from study.ledger.schema import StudyRecord
from study.reporting.live_table import LiveTable
from study.tuning.cluster import start_ray, stop_ray
from study.tuning.features import StudyFeatures
from study.tuning.nodes import alive_nodes, count_slots

DEVELOPMENT, HELD_BACK, FRAMES, BANDS, TAGS = 1946, 816, 124, 128, "cmfvpbo"
MEGABYTE = 1e6
ALL = "all but the store"
SEGMENT = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)$")


def account(process: int) -> dict[str, float]:
    """MB of a process by kind, from the kernel's smaps: resident, and its share where pages have several users."""
    names = ("store", "store, share", "libraries and files", "its own", ALL, "of it in no other process")
    found = dict.fromkeys(names, 0.0)
    kind = "its own"
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        if (match := SEGMENT.match(line)) is not None:
            name = match[1]
            kind = "its own" if not name or name.startswith("[") else "libraries and files"
            kind = "store" if "/dev/shm" in name or "plasma" in name else kind
        elif line.startswith("Rss:"):
            size = 1024 * int(line.split()[1]) / MEGABYTE
            found[kind] += size
            found[ALL] += 0 if kind == "store" else size
        elif line.startswith("Pss:") and kind == "store":
            found["store, share"] += 1024 * int(line.split()[1]) / MEGABYTE
        elif line.startswith("Private_") and kind != "store":  # Private_Clean, Private_Dirty
            found["of it in no other process"] += 1024 * int(line.split()[1]) / MEGABYTE
    return found


def made_up_corpus(clips: int, held_back: int) -> Corpus:
    """A corpus of so many clips whose audio nobody reads."""
    every = clips + held_back
    rng = np.random.default_rng(0)
    return Corpus(
        name="made_up",
        kind="folder",
        root=Path("/nowhere"),
        tags=tuple(TAGS),
        clips=tuple(f"clip_{number}" for number in range(every)),
        paths=tuple(Path(f"/nowhere/{number}.wav") for number in range(every)),
        targets=(rng.random((every, len(TAGS))) < 0.3).astype(np.float32),
        folds=np.where(np.arange(every) < clips, np.arange(every) % 5, EVALUATION),
        groups=np.array([f"group_{number}" for number in range(every)]),
        clip_seconds=4.0,
        known_digests=("0" * 32,) * every,
    )


def record_of(name: str, corpus: Corpus, trials: int) -> StudyRecord:
    """A study of mixup's alpha on a corpus."""
    return StudyRecord(
        name=name,
        id=name,
        space="mixup_alpha",
        space_fingerprint="memory",
        question="How much memory?",
        protocol="paper",
        created="memory",
        trials=trials,
        seed=0,
        corpus=corpus_record(corpus),
        settings={"crnn": {"max_epochs": 200}},
        varied=("alpha",),
        left_out=(),
        features=(),
    )


def measure_workers(root: Path, clips: int, held_back: int, seconds: float) -> None:
    """Print the first table; the trials are ended when all workers have been training for so many seconds."""
    start_ray(None)
    per_trial = {"cpu": 1.0, "gpu": 0.0}
    from study.search.searcher import make_searcher
    from study.search.space import scan_space
    from study.tuning.crew import Crew
    from study.tuning.faults import Faults
    from study.tuning.tune import run_trials

    slots = min(count_slots(alive_nodes(), per_trial), 7)
    corpus = made_up_corpus(clips, held_back)
    features = np.random.default_rng(1).normal(size=(clips + held_back, FRAMES, BANDS)).astype(np.float32)
    ledger = Ledger.create(root, record_of(root.name, corpus, slots))
    context = StudyContext(ledger.study)
    searcher = make_searcher(scan_space(load_space("mixup_alpha")), ledger, context)

    def run() -> None:
        options: dict[str, Any] = {"trials": slots, "slots": slots, "listeners": [], "faults": Faults()}
        options["crew"] = Crew(per_trial)
        run_trials(searcher, ledger, corpus, StudyFeatures({LogMel(): features}), **options)

    training = Thread(target=run, daemon=True)
    training.start()
    session = os.getsid(0)
    while len(list(root.glob("trials/*/running.pt"))) < slots:  # each has trained and scored an epoch
        if not training.is_alive():
            raise RuntimeError("the trials ended before each had trained an epoch")
        time.sleep(0.5)
    time.sleep(seconds)
    workers = [account(process) for process in trial_workers(session)]
    show(
        f"MB of each of {len(workers)} workers; features {features.nbytes / MEGABYTE:.0f}",
        {name: [worker[name] for worker in workers] for name in workers[0]},
    )


def resident() -> float:
    """MB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def measure_driver(epochs: int) -> None:
    """Print what a live table grows by over some thousand epochs, in kB per epoch."""
    study = record_of("driver", made_up_corpus(10, 0), 4)
    live = LiveTable(make_console(), study, slots=2, max_epochs=200)
    live.started("key", {"alpha": 1.0, "augmentation": "mixup"})
    growth = []
    for _ in range(5):
        before = resident()
        for epoch in range(epochs):
            result = EpochResult(epoch, 0.5, 0.9, 0.5, 0.9, {"eer": 0.2}, 1.0)
            live.reported("key", Report(0.2, fold=0, seed=0, epoch=result))
        live.render()
        growth.append(1000 * (resident() - before) / epochs)
    show("driver", {"kB an epoch": growth})


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=DEVELOPMENT)
    parser.add_argument("--evaluation", type=int, default=HELD_BACK)
    parser.add_argument("--seconds", type=float, default=20.0, help="that the workers go on after an epoch")
    parser.add_argument("--reports", type=int, default=20_000, help="epochs that the driver is told of, five times")
    arguments = parser.parse_args()
    measure_driver(arguments.reports)
    with tempfile.TemporaryDirectory(prefix="memory-", ignore_cleanup_errors=True) as folder:
        try:
            measure_workers(Path(folder) / "study", arguments.clips, arguments.evaluation, arguments.seconds)
        finally:
            stop_ray()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # Tune's thread knows no end but that of its trials
