"""What does a study add to its training? `python benchmarks/trials.py`

Three questions, each in rounds in which the two sides take turns; everything else in shares or ratios of one round.

Start: from the command to the end of the first training step, features cached and audio known, against a bare
`ray.init()` and one fresh process that imports torch (floor). The corpus trains on one batch; its other clips, which
a start must look at as well, are for evaluation.
Side by side, in each precision that the CPU has: as many one-thread trials as cores, twice, against the same trials one
after another in a plain loop with as many threads as cores, in a fresh process as Python starts it (peer), and against
plain one-thread loops over their shares in as many processes as cores, which is all that this machine gives (floor).
Slots: the trials' own seconds, of (seconds from the first trial's start to the last one's end) times slots; and what
the rest went into: slots that wait for the last trial, and all else (starts, saving, scheduling).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from place import Place, kill
from rounds import show, write_corpus

from audiotag.config import PRECISIONS, TrialConfig
from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.splits import split_fold
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from audiotag.training.fit import fit, start_fit
from study.plan.preflight import lacks_bf16

CORES = os.cpu_count() or 1
BATCH = 22  # clips of the start's only batch
BARE = "import ray; ray.init(log_to_driver=False)"


def seconds_to_first_step(place: Place, name: str) -> float:
    """Start a study and end it, with all its processes, as soon as its first epoch is in the ledger.

    Raises:
        RuntimeError: when the study ends by itself.
    """
    began = time.perf_counter()
    words = ["--space", "mixup_alpha", "--corpus", str(place.root / "start"), "--trials", str(min(CORES, 7))]
    process = place.start(*words, "--epochs", "1", "--name", name)
    try:
        while not any(place.study(name).glob("trials/*/running.pt")):
            if process.poll() is not None:
                raise RuntimeError(place.output()[-2000:])
            time.sleep(0.01)
        return time.perf_counter() - began
    finally:
        kill(process.pid)
        process.wait()


def seconds_of_floor() -> float:
    """A bare start of Ray, and one of torch, each in a process of its own."""
    began = time.perf_counter()
    for script in (BARE, "import torch"):
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    return time.perf_counter() - began


def measure_start(place: Place, rounds: int, clips: int) -> None:
    """Print the first table."""
    write_corpus(place.root / "start", 2 * BATCH, evaluation=clips - 2 * BATCH)
    time.sleep(3)  # files that were written a moment ago are looked at again
    seconds_to_first_step(place, "warm")
    seconds_of_floor()
    pairs = [(seconds_to_first_step(place, f"start-{number}"), seconds_of_floor()) for number in range(rounds)]
    show(f"start, {clips} clips", {"first step / (ray.init + import torch)": [ours / bare for ours, bare in pairs]})


def run_study(place: Place, name: str, epochs: int, trials: int, *more: str) -> list[dict[str, Any]]:
    """So many trials, to their end; [{"config", "begin", "end", "seconds"}] of each."""
    words = ["--space", "joint", "--corpus", str(place.root / "corpus"), "--trials", str(trials)]
    process = place.start(*words, "--epochs", str(epochs), "--name", name, *more)
    if process.wait():
        raise RuntimeError(place.output()[-2000:])
    found = []
    for folder in sorted(place.study(name).glob("trials/*")):
        paths = sorted(folder.glob("fold_*.json"))
        spent = [json.loads(path.read_text())["seconds"] for path in paths]
        ends = [path.stat().st_mtime for path in paths]
        config = json.loads((folder / "trial.json").read_text())["config"]
        found.append({"config": config, "begin": ends[0] - spent[0], "end": ends[-1], "seconds": sum(spent)})
    return found


def seconds_of_loops(place: Place, shares: list[list[dict[str, Any]]], environment: dict[str, str]) -> float:
    """The same trials in a process for each share of them, every core in use: seconds of the one that takes longest.

    Raises:
        RuntimeError: when one of them fails.
    """
    processes = []
    for number, trials in enumerate(shares):
        path = place.root / f"loop-{number}.json"
        path.write_text(json.dumps([trial["config"] for trial in trials]))
        command = [sys.executable, __file__, "--loop", str(path), "--threads", str(CORES // len(shares))]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment))
    printed = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("A loop failed.")
    return max(map(float, printed))


def loop(path: Path, threads: int) -> None:
    """A plain loop: prints the seconds from the first trial's start to the last one's end."""
    root = path.parent
    corpus = open_corpus(root / "corpus")
    features = load_features(corpus, LogMel(), root / "cache" / "audiotag" / "features")
    torch.set_num_threads(threads)
    began = time.perf_counter()
    for values in json.loads(path.read_text()):
        config = TrialConfig.from_dict(values)
        for fold in corpus.fold_numbers:
            split = split_fold(corpus, fold, "paper", 0)
            state = start_fit(config, features, len(corpus.tags), split.train, seed=0, fold=fold, device="cpu")
            for _ in fit(state, config, features, corpus.targets, split, seed=0, fold=fold, device="cpu"):
                pass
    print(time.perf_counter() - began)


def measure_trials(place: Place, rounds: int, clips: int, epochs: int, precision: str) -> None:
    """Print the second and the third table."""
    from study.tuning.cluster import ALLOCATOR  # imports Ray

    write_corpus(place.root / "corpus", clips)
    faster, slower, used, waiting, rest = [], [], [], [], []
    for number in range(rounds):
        more = ("--cpus-per-trial", "1", "--precision", precision)
        trials = run_study(place, f"trials-{precision}-{number}", epochs, 2 * CORES, *more)
        last = max(trial["end"] for trial in trials)
        wall = last - min(trial["begin"] for trial in trials)
        faster.append(seconds_of_loops(place, [trials], {}) / wall)
        slower.append(wall / seconds_of_loops(place, [trials[core::CORES] for core in range(CORES)], ALLOCATOR))
        ends = sorted(trial["end"] for trial in trials)[-CORES:]
        used.append(sum(trial["seconds"] for trial in trials) / (wall * CORES))
        waiting.append(sum(last - end for end in ends) / (wall * CORES))
        rest.append(1 - used[-1] - waiting[-1])
    title = f"{2 * CORES} trials, {clips} clips, {epochs} epochs, {precision}"
    show(title, {"plain loop / study": faster, "study / bare processes side by side": slower})
    show(f"{title}: share of slots", {"training": used, "waiting for the last trial": waiting, "all else": rest})


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="of starts")
    parser.add_argument("--studies", type=int, default=5, help="rounds of whole studies")
    parser.add_argument("--clips", type=int, default=440, help="to train on, and of the start's corpus")
    parser.add_argument("--epochs", type=int, default=10, help="of a fold; the paper's are some 100")
    parser.add_argument("--precision", choices=PRECISIONS, help="of the whole studies (default: all that the CPU has)")
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=CORES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        loop(arguments.loop, arguments.threads)
        return 0
    with tempfile.TemporaryDirectory(prefix="study-", ignore_cleanup_errors=True) as folder:
        place = Place(Path(folder))
        if arguments.rounds:
            measure_start(place, arguments.rounds, max(arguments.clips, 2 * BATCH + 2))
        there = [arguments.precision] if arguments.precision else PRECISIONS[: 1 if lacks_bf16() else 2]
        for precision in there if arguments.studies else ():
            measure_trials(place, arguments.studies, arguments.clips, arguments.epochs, precision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
