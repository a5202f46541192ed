"""How many trials an hour does a GPU train? `python benchmarks/gpu.py`

Trials of the CRNN on noise of CHiME-Home's size (1946 and 816 clips of 4 s), five folds, no early stopping. Studies
with several trials on the card, in bf16 and in fp32, and with one at a time; against one trial at a time, written
plainly (peer): the network of torch's modules, eager, fp32 as torch has it by default (convolutions in TF32), torch's
Adam, features on the card from the start. Ratios are of each round's own trials an hour.
`--device cpu` with few clips shows that it runs where there is no GPU; its figures mean nothing.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from place import Place
from rounds import show, write_corpus
from step import Plain
from torch.nn import functional as F
from trials import run_study

from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.corpus.splits import split_fold
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from audiotag.features.standardise import band_statistics

BATCH, ALPHA = 44, 1.5


def seconds_of_plain_trial(corpus: Corpus, features: np.ndarray, epochs: int, device: str) -> float:
    """Five folds with mixup, one after the other, each epoch scored on the held-out clips."""
    began = time.perf_counter()
    x, y = torch.tensor(features, device=device), torch.tensor(corpus.targets, device=device)
    for fold in corpus.fold_numbers:
        split = split_fold(corpus, fold, "paper", 0)
        mean, scale = (torch.tensor(values, device=device) for values in band_statistics(features, split.train))
        network = Plain(len(corpus.tags)).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(epochs):
            network.train()
            for clips in torch.tensor(np.random.default_rng(0).permutation(split.train)).to(device).split(BATCH):
                share, partners = np.random.default_rng().beta(ALPHA, ALPHA), clips[torch.randperm(len(clips))]
                mixed = share * x[clips] + (1 - share) * x[partners]
                optimizer.zero_grad()
                wanted = share * y[clips] + (1 - share) * y[partners]
                F.binary_cross_entropy(network((mixed - mean) / scale), wanted).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                parts = torch.tensor(split.validation).to(device).split(BATCH)
                torch.cat([network((x[part] - mean) / scale) for part in parts]).cpu()
    return time.perf_counter() - began


def trials_an_hour(place: Place, name: str, epochs: int, trials: int, *words: str) -> float:
    """Of a study, from its first trial's start to its last one's end."""
    done = run_study(place, name, epochs, trials, *words)
    return 3600 * trials / (max(trial["end"] for trial in done) - min(trial["begin"] for trial in done))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=8, help="of a study")
    parser.add_argument("--share", type=float, default=0.25, help="of the card that a trial gets")
    parser.add_argument("--clips", type=int, default=1946)
    parser.add_argument("--evaluation", type=int, default=816)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("No GPU: nothing is measured.")
        return 0
    epochs, trials = arguments.epochs, arguments.trials
    on_card = arguments.device == "cuda"
    kinds = {
        f"bf16, {arguments.share:g} of the card": ["--precision", "bf16", "--gpus-per-trial", f"{arguments.share:g}"],
        f"fp32, {arguments.share:g} of the card": ["--precision", "fp32", "--gpus-per-trial", f"{arguments.share:g}"],
        "bf16, one at a time": ["--precision", "bf16", "--gpus-per-trial", "1"],
        "fp32, one at a time": ["--precision", "fp32", "--gpus-per-trial", "1"],
    }
    with tempfile.TemporaryDirectory(prefix="gpu-", ignore_cleanup_errors=True) as folder:
        place = Place(Path(folder))
        corpus = open_corpus(write_corpus(place.root / "corpus", arguments.clips, 5, arguments.evaluation))
        features = load_features(corpus, LogMel(), place.root / "cache" / "audiotag" / "features")
        ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(arguments.rounds):
            plain = 3600 / seconds_of_plain_trial(corpus, features, epochs, arguments.device)
            for place_in_round, (kind, words) in enumerate(kinds.items()):
                name, used = f"gpu-{number}-{place_in_round}", words if on_card else words[:2]
                ratios[kind].append(trials_an_hour(place, name, epochs, trials, *used) / plain)
        device = torch.cuda.get_device_name() if on_card else "no GPU: these figures mean nothing"
        show("trials an hour, of those of the plain one", ratios, device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
