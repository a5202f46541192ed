"""The clips of a fold that train the network, that stop training, and that are scored."""

from dataclasses import dataclass

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.labels import balanced_classes
from audiotag.corpus.tables import VALIDATION

PROTOCOLS = ("paper", "nested")  # of a corpus with folds
FIXED = "split"  # that of a corpus with a fixed split
VALIDATION_SHARE = 0.2  # of the training clips, where validation clips are taken out of them
ONE_GROUP = {  # of which no validation clips can be taken out
    "nested": "The nested protocol needs at least 2 groups in the training folds: use --protocol paper.",
    FIXED: "Validation clips are taken out of training by groups, of which there is one: name some in the table.",
}
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
    a time, and the held-out fold is only scored. "split" is the protocol of a corpus with a fixed split: its test clips
    are only scored, its validation clips stop the training; without any they are taken out of the training clips, as in
    the nested protocol.

    Raises:
        ValueError: For another protocol or fold, one that does not fit the corpus, or fewer than two groups where
            validation clips are taken out of those of training.
    """
    if protocol not in (*PROTOCOLS, FIXED):
        known = ", ".join((*PROTOCOLS, FIXED))
        raise ValueError(f"The value of `protocol` is {protocol!r}, but must be one of {known}.")
    development = corpus.development
    if fold not in corpus.fold_numbers:
        raise ValueError(
            f"The value of `fold` is {fold}, but must be one of {', '.join(map(str, corpus.fold_numbers))}."
        )
    if corpus.has_fixed_split != (protocol == FIXED):
        has, fits = ("one fixed split", FIXED) if corpus.has_fixed_split else ("folds", " or ".join(PROTOCOLS))
        raise ValueError(f"The value of `protocol` is {protocol!r}, but the corpus has {has}: it must be {fits}.")
    held_out = development[corpus.folds[development] == fold]
    rest = corpus.trained[corpus.folds[corpus.trained] != fold]
    if protocol == "paper":
        return FoldSplit(rest, held_out, held_out)
    if len(validation := np.flatnonzero(corpus.folds == VALIDATION)):
        return FoldSplit(rest, validation, held_out)
    if len(np.unique(corpus.groups[rest])) < 2:
        raise ValueError(ONE_GROUP[protocol])
    chosen = _choose_validation(corpus.targets[rest], corpus.groups[rest], np.random.default_rng((seed, fold)))
    return FoldSplit(rest[~chosen], rest[chosen], held_out)


def _choose_validation(targets: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask (n,) of whole groups: about VALIDATION_SHARE of the clips, each tag about as frequent as in the rest."""
    names, member = np.unique(groups, return_inverse=True)
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
