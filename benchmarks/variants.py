"""What does an epoch with variants of waveforms cost? `python benchmarks/variants.py`

One thread, an epoch of the CRNN on features of 4 s whose clips are replaced by one of four variants, always: against
the same epoch without variants (peer and floor at once: training cannot do without the rest), and, the part that
variants change, cutting an epoch's batches with and without them. All take turns; times are the process's CPU seconds,
ratios of each round's own.

Then what variants cost once: CPU milliseconds per variant of each augmentation, from files of noise to features in an
empty cache, and that against the features of the clips themselves.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rounds import show, timed, write_corpus
from step import start_like_a_worker

from audiotag.augment.noises import NO_CLIP
from audiotag.augment.variants import Variants, load_variants
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.splits import FoldSplit
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel
from audiotag.models.backend import fastest_convolution
from audiotag.training.batches import segment_index
from audiotag.training.fit import fit, start_fit
from audiotag.training.variation import ORIGINAL, gather_variants

FRAMES, BANDS, TAGS, VARIANTS = 124, 128, 7, 4
AUGMENTATIONS = ("pitch_shift", "time_stretch", "background_noise", "compression")


def measure_epochs(clips: int, rounds: int) -> None:
    """Print the first table."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(clips, FRAMES, BANDS)).astype(np.float32)
    values = rng.normal(size=(clips, VARIANTS, FRAMES, BANDS)).astype(np.float32)
    variants = Variants(values, np.arange(clips), np.full((clips, VARIANTS), NO_CLIP))
    targets = (rng.random((clips, TAGS)) < 0.3).astype(np.float32)
    split = FoldSplit(np.arange(clips - 44), np.arange(clips - 44, clips), np.arange(clips - 44, clips))
    plain = TrialConfig(convolution=fastest_convolution(), max_epochs=1000, patience=1000)
    varied = replace(plain, augmentation="pitch_shift", variant_probability=1.0)

    def epochs(config: TrialConfig) -> Callable[[], object]:
        state = start_fit(config, features, TAGS, split.train, seed=0, fold=0, device="cpu")
        steps = fit(state, config, features, targets, split, seed=0, fold=0, device="cpu", variants=variants)
        return lambda: next(steps)

    def cuts(number: int) -> Callable[[], object]:
        index = np.column_stack([segment_index(split.train, FRAMES, None), np.full(len(split.train), number)])
        parts = np.array_split(index[rng.permutation(len(index))], len(index) // plain.batch_size)
        return lambda: [gather_variants(features, variants, part, None) for part in parts]

    runs = {"plain": epochs(plain), "varied": epochs(varied), "cuts": cuts(ORIGINAL), "varied cuts": cuts(VARIANTS - 1)}
    for run in runs.values():
        run()
    times = [{name: timed(run)[1] for name, run in runs.items()} for _ in range(rounds)]
    show(
        f"an epoch of {len(split.train)} clips",
        {
            "with variants / without": [each["varied"] / each["plain"] for each in times],
            "batches cut with variants, of an epoch": [each["varied cuts"] / each["plain"] for each in times],
            "batches cut without, of an epoch": [each["cuts"] / each["plain"] for each in times],
        },
    )


def measure_computing(clips: int, rounds: int) -> None:
    """Print the second table."""
    with tempfile.TemporaryDirectory(prefix="variants-") as folder:
        corpus = open_corpus(write_corpus(Path(folder) / "corpus", clips))
        caches = (Path(folder) / f"cache-{number}" for number in itertools.count())

        def computing(name: str) -> Callable[[], object]:
            return lambda: load_variants(corpus, TrialConfig(augmentation=name), next(caches))

        runs = {name: computing(name) for name in AUGMENTATIONS}
        runs["features"] = lambda: load_features(corpus, LogMel(), next(caches))
        for run in runs.values():
            run()
        times = [{name: timed(run)[1] for name, run in runs.items()} for _ in range(rounds)]
    rows = {f"{name}, ms": [each[name] * 1000 / clips / VARIANTS for each in times] for name in AUGMENTATIONS}
    for name in AUGMENTATIONS:
        rows[f"{name} / features"] = [each[name] / VARIANTS / each["features"] for each in times]
    show("a variant of 4 s, CPU", rows)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=440)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measure_epochs(arguments.clips, arguments.rounds)
    measure_computing(arguments.clips // 4, arguments.rounds)
    return 0


if __name__ == "__main__":
    start_like_a_worker()
    sys.exit(main())
