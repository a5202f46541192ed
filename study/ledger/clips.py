"""The clips of a study's corpus, kept in its folder, so that a report needs no corpus on disk."""

import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.labels import have_unknown
from audiotag.corpus.tables import EVALUATION
from audiotag.files import look
from study.ledger.files import write_file

CLIPS_FILE = "clips.npz"


@dataclass(frozen=True, eq=False)
class ScoredFold:
    """The held-out clips of a fold: targets (n, K) of 0 and 1, NaN where unknown; groups (n,) as numbers from 0."""

    targets: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True, eq=False)
class Clips:
    """The N clips of a corpus.

    Attributes:
        names: (N,).
        targets: (N, K) uint8; of a corpus with unknown labels float32, NaN for them.
        folds: (N,), `EVALUATION` for the evaluation split.
        groups: (N,) as numbers from 0.
    """

    names: np.ndarray
    targets: np.ndarray
    folds: np.ndarray
    groups: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.targets) == len(self.folds) == len(self.groups):
            raise ValueError("parts of different lengths")

    def held_out(self, fold: int, names: np.ndarray) -> ScoredFold:
        """The clips of a fold (n,), or of the evaluation split, in the order of `names`.

        Raises:
            KeyError: For a name that the fold does not have.
        """
        members = np.flatnonzero(self.folds == fold)
        index = dict(zip(self.names[members].tolist(), members.tolist(), strict=True))
        order = [index[name] for name in names.tolist()]
        return ScoredFold(self.targets[order], self.groups[order])

    def evaluation(self, names: np.ndarray) -> ScoredFold:
        """The clips of the evaluation split."""
        return self.held_out(EVALUATION, names)


def write_clips(root: Path, corpus: Corpus) -> None:
    """Write the clips into a study's folder, unless they are there."""
    path = root / CLIPS_FILE
    if path.is_file():
        return
    parts = {
        "names": np.array(corpus.clips, np.str_),
        "targets": corpus.targets if have_unknown(corpus.targets) else corpus.targets.astype(np.uint8),
        "folds": corpus.folds,
        "groups": np.unique(corpus.groups, return_inverse=True)[1],
    }
    write_file(path, lambda file: np.savez_compressed(file, **parts), durable=True)  # type: ignore[arg-type]


def read_clips(root: Path) -> Clips | None:
    """The clips of a study; None where they are missing (an earlier version wrote none) or damaged."""
    try:
        with look(partial(np.load, root / CLIPS_FILE, allow_pickle=False)) as arrays:
            return Clips(**arrays)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None
