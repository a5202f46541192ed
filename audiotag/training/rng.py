"""Random numbers that derive from (seed, fold, epoch) and from nothing else.

Each partition of a corpus into folds has a seed of its own (`audiotag.corpus.partitions.partition_seed`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Independent streams of random numbers under one (seed, fold, epoch)."""

    WEIGHTS = 0
    ORDER = 1
    MIXING = 2
    DROPOUT = 3
    PRETRAINING_ORDER = 4
    PRETRAINING_DROPOUT = 5
    VARIANTS = 6
    WINDOWS = 7


def make_rng(seed: int, fold: int, epoch: int, stream: Stream, place: int = 0) -> np.random.Generator:
    """Make NumPy's generator of a stream, or of what has a place of its own behind its first user."""
    return np.random.default_rng((seed, fold, epoch, stream, *([place] if place else [])))


@contextmanager
def seed_torch(seed: int, fold: int, epoch: int, stream: Stream, device: str) -> Iterator[None]:
    """Seed torch's default generators, for weights and dropout, and restore the caller's state afterwards."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(int(make_rng(seed, fold, epoch, stream).integers(2**63)))
        yield
