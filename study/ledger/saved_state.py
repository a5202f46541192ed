"""What a trial hands over to be kept, as bytes: the state of a training in progress, and a finished fold.

Packed where it was trained and unpacked where it goes on; the ledger between them writes and reads no more than bytes,
and needs no torch.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np


class Training(NamedTuple):
    """The training of a fold with a seed in a partition.

    Attributes:
        seed: None for the study's own, the first of several.
    """

    partition: int
    fold: int
    seed: int | None = None

    @property
    def names(self) -> dict[str, int]:
        """What tells it from others of its trial, in the names of files and in saved states."""
        drawn = {} if self.partition == 1 else {"partition": self.partition}
        return {"fold": self.fold, **drawn, **({} if self.seed is None else {"seed": self.seed})}


@dataclass(frozen=True)
class FoldFiles:
    """What a finished fold has beside its record.

    Attributes:
        scores: A NumPy archive: held_out (n, K), evaluation (m, K), and the clips' names.
        weights: A torch archive: the best weights, as those of a CPU.
    """

    scores: bytes
    weights: bytes


class SavedState(NamedTuple):
    """The state of a training in progress, and the names of the training to which it belongs."""

    names: dict[str, int]
    state: dict[str, Any]


def pack_state(training: Training, state: dict[str, Any]) -> bytes:
    """The state of a training in progress, as `torch.save` writes it."""
    import torch

    return _written(lambda file: torch.save({**training.names, "state": state}, file))


def unpack_state(content: bytes) -> SavedState:
    """Read a saved state: nothing but tensors and plain values.

    Raises:
        Exception: Whatever a torn file makes of torch's reader.
    """
    import torch

    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    state = saved.pop("state")
    return SavedState(saved, state)


def pack_fold(scores: dict[str, np.ndarray], weights: dict[str, Any]) -> FoldFiles:
    """A finished fold; weights become those of a CPU, so that a machine without a GPU reads them."""
    import torch

    on_cpu = {name: value.cpu() for name, value in weights.items()}
    arrays: dict[str, Any] = scores
    return FoldFiles(
        _written(lambda file: np.savez(file, **arrays)),
        _written(lambda file: torch.save(on_cpu, file)),
    )


def _written(write: Callable[[IO[bytes]], Any]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()
