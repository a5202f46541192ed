"""What does it cost to be safe from any interruption? `python benchmarks/ledger.py`

Trains the paper's network on random features of CHiME-Home's size, an epoch at a time cut short to a few batches, and
writes the state of the fold after each as a study does. Prints the share of the ledger in an epoch of the full length,
and what writing the same bytes plainly takes (the floor): neither has to do with how fast the machine is.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from audiotag.config import TrialConfig
from audiotag.corpus.splits import FoldSplit
from audiotag.training.fit import fit, start_fit
from study.ledger.saved_state import Training, pack_state
from study.ledger.trial_folder import TrialFolder

CLIPS, FRAMES, BANDS, TAGS = 1946, 124, 128, 7  # CHiME-Home's development set, the paper's features
TRAINING, HELD_OUT = CLIPS * 4 // 5, CLIPS // 5


def measure(rounds: int, batches: int, folder: TrialFolder) -> list[tuple[float, float, float]]:
    """(seconds of a full epoch, of writing its state, of writing the same bytes plainly), a row a round."""
    config = TrialConfig(augmentation="mixup", alpha=1.5, max_epochs=rounds)
    train, score = batches * config.batch_size, batches * config.batch_size // 4  # the proportions of five folds
    rng = np.random.default_rng(0)
    features = rng.normal(size=(train + score, FRAMES, BANDS)).astype(np.float32)
    targets = (rng.random((train + score, TAGS)) < 0.3).astype(np.float32)
    clips = np.arange(train + score)
    split = FoldSplit(clips[:train], clips[train:], clips[train:])
    state = start_fit(config, features, TAGS, split.train, seed=0, fold=0, device="cpu")
    rows = []
    for result in fit(state, config, features, targets, split, seed=0, fold=0, device="cpu"):
        began = time.perf_counter()
        folder.write_running(pack_state(Training(1, 0), state.state_dict()))
        written = time.perf_counter()
        content = (folder.path / "running.pt").read_bytes()
        plain = time.perf_counter()
        (folder.path / "plain").write_bytes(content)
        rows.append((result.seconds * TRAINING / train, written - began, time.perf_counter() - plain))
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=4, help="of an epoch; 36 are a full one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="ledger-") as root:
        folder = TrialFolder(Path(root) / "key")
        folder.write_trial(0, {})
        rows = np.array(measure(arguments.rounds, arguments.batches, folder))
    shares = {
        "ledger, of an epoch's training": 100 * rows[:, 1] / rows[:, 0],
        "the same bytes plainly (floor)": 100 * rows[:, 2] / rows[:, 0],
    }
    table = Table("share in %", "min", "median", "max")
    for name, share in shares.items():
        table.add_row(name, *(f"{value:.3f}" for value in (share.min(), np.median(share), share.max())))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
