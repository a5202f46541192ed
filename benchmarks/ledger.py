"""What does it cost to be safe from any interruption? `python benchmarks/ledger.py`

Trains the paper's network on random features of CHiME-Home's size, an epoch at a time cut short to a few batches, and
after each hands the state of the fold over as a trial does, to the writer of the ledger, another process. Prints the
time that the training waits for this, and that until the state is written, as shares of an epoch of the full length
and of the seconds between two saves of shorter epochs; and what writing the same bytes plainly takes (the floor).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from memory import made_up_corpus, record_of
from rich.console import Console
from rich.table import Table

from audiotag.config import TrialConfig
from audiotag.corpus.splits import FoldSplit
from audiotag.training.fit import fit, start_fit
from study.ledger.ledger import Ledger
from study.ledger.saved_state import Training, pack_state
from study.tuning.cluster import start_ray, stop_ray
from study.tuning.saving import SAVE_SECONDS
from study.tuning.writer import RemoteKeeper, start_writer

CLIPS, FRAMES, BANDS, TAGS = 1946, 124, 128, 7  # CHiME-Home's development set, the paper's features
TRAINING, HELD_OUT = CLIPS * 4 // 5, CLIPS // 5


def measure(rounds: int, batches: int, root: Path) -> list[tuple[float, float, float, float]]:
    """(seconds of a full epoch, that it waits, until its state is written, of writing the bytes plainly), per round."""
    config = TrialConfig(augmentation="mixup", alpha=1.5, max_epochs=rounds)
    train, score = batches * config.batch_size, batches * config.batch_size // 4  # the proportions of five folds
    rng = np.random.default_rng(0)
    features = rng.normal(size=(train + score, FRAMES, BANDS)).astype(np.float32)
    targets = (rng.random((train + score, TAGS)) < 0.3).astype(np.float32)
    clips = np.arange(train + score)
    split = FoldSplit(clips[:train], clips[train:], clips[train:])
    corpus = made_up_corpus(train + score, 0)
    ledger = Ledger.create(root, record_of(root.name, corpus, 1))
    folder = ledger.trial("key")
    folder.write_trial(0, {})
    keeper = RemoteKeeper(start_writer(ledger), folder.key)
    keeper.begin()
    state = start_fit(config, features, TAGS, split.train, seed=0, fold=0, device="cpu")
    rows = []
    for result in fit(state, config, features, targets, split, seed=0, fold=0, device="cpu"):
        began = time.perf_counter()
        keeper.keep_state(pack_state(Training(1, 0), state.state_dict()))
        handed_over = time.perf_counter()
        keeper.finish_saving()
        written = time.perf_counter()
        content = (folder.path / "running.pt").read_bytes()
        plain = time.perf_counter()
        (folder.path / "plain").write_bytes(content)
        floor = time.perf_counter() - plain
        rows.append((result.seconds * TRAINING / train, handed_over - began, written - began, floor))
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=4, help="of an epoch; 36 are a full one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start_ray(None)
    try:
        with tempfile.TemporaryDirectory(prefix="ledger-") as root:
            epoch, waits, writes, floor = np.array(measure(arguments.rounds, arguments.batches, Path(root) / "study")).T
    finally:
        stop_ray()
    shares = {
        "that training waits, of an epoch": 100 * waits / epoch,
        "until a state is written, of an epoch": 100 * writes / epoch,
        f"the same, of {SAVE_SECONDS:g} s of short epochs": 100 * writes / SAVE_SECONDS,
        "the same bytes plainly (floor), of an epoch": 100 * floor / epoch,
    }
    table = Table("share in %", "min", "median", "max")
    for name, share in shares.items():
        table.add_row(name, *(f"{value:.3f}" for value in (share.min(), np.median(share), share.max())))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
