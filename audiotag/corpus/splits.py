"""The clips of a fold that train the network, that stop training, and that are scored."""

from dataclasses import dataclass

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.labels import balanced_classes

PROTOCOLS = ("paper", "nested")
VALIDATION_SHARE = 0.2  # of the training clips, in the nested protocol
CANDIDATES = 200  # random choices of groups; the one nearest to the tags' frequencies is taken


@dataclass(frozen=True, eq=False)
class FoldSplit:
    """Clip indices of one fold: train (n,), validation (n,), held_out (n,)."""

    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


def split_fold(corpus: Corpus, fold: int, protocol: str, seed: int) -> FoldSplit:
    """Split the development clips for one fold.

    In the "paper" protocol the held-out fold is also the validation set that stops training, so its score is optimistic
    (open in the paper). In the "nested" protocol the validation set is taken out of the training folds, whole groups at
    a time, and the held-out fold is only scored.

    Raises:
        ValueError: For another protocol or fold, or fewer than two groups in the training folds of the nested one.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"The value of `protocol` is {protocol!r}, but must be one of {', '.join(PROTOCOLS)}.")
    development = corpus.development
    if fold not in corpus.fold_numbers:
        raise ValueError(
            f"The value of `fold` is {fold}, but must be one of {', '.join(map(str, corpus.fold_numbers))}."
        )
    held_out = development[corpus.folds[development] == fold]
    rest = development[corpus.folds[development] != fold]
    if protocol == "paper":
        return FoldSplit(rest, held_out, held_out)
    chosen = _choose_validation(corpus.targets[rest], corpus.groups[rest], np.random.default_rng((seed, fold)))
    return FoldSplit(rest[~chosen], rest[chosen], held_out)


def _choose_validation(targets: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (n,) of whole groups: about VALIDATION_SHARE of the clips, each tag about as frequent as in the rest."""
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError("The nested protocol needs at least 2 groups in the training folds: use --protocol paper.")
    sizes = np.bincount(member)
    classes = balanced_classes(targets)
    tags = np.stack([np.bincount(member, weights=column) for column in classes.T])  # (classes, groups)
    wanted = VALIDATION_SHARE * np.append(tags.sum(axis=1), sizes.sum())
    best, smallest = np.zeros(0, dtype=int), np.inf
    for _ in range(CANDIDATES):
        order = rng.permutation(len(names))
        count = int(np.searchsorted(np.cumsum(sizes[order]), wanted[-1])) + 1
        taken = order[: min(count, len(names) - 1)]
        found = np.append(tags[:, taken].sum(axis=1), sizes[taken].sum())
        distance = float((np.abs(found - wanted) / np.sqrt(np.maximum(wanted, 1))).sum())
        if distance < smallest:
            best, smallest = taken, distance
    return np.isin(member, best)
