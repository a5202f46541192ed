"""Random numbers that derive from (seed, fold, epoch) and from nothing else."""

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
    UNSUPERVISED_ORDER = 4
    UNSUPERVISED_DROPOUT = 5


def generator(seed: int, fold: int, epoch: int, stream: Stream) -> np.random.Generator:
    """NumPy's generator of a stream."""
    return np.random.default_rng((seed, fold, epoch, stream))


@contextmanager
def seeded(seed: int, fold: int, epoch: int, stream: Stream, device: str) -> Iterator[None]:
    """Torch's default generators, which weights and dropout draw from, seeded; the caller's state comes back after."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(int(generator(seed, fold, epoch, stream).integers(2**63)))
        yield
