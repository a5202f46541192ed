"""Further partitions of a corpus into folds, for repeated cross-validation.

Partition 1 is the corpus's own. Further ones are drawn: groups stay whole, and each tag is about as frequent in every
fold. `propose_folds` is no such draw: it looks for the one best balanced division, and finds the same again and again
where groups differ from each other (on CHiME-Home with every seed).

Source: Bouckaert and Frank 2004, "Evaluating the replicability of significance tests for comparing learning
algorithms", for r times k-fold cross-validation; the balance is open there.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.labels import balanced_classes
from audiotag.corpus.propose_folds import imbalance
from audiotag.corpus.tables import EVALUATION

ORDERS = 20  # random orders in which groups are dealt; the best balanced division is taken
ATTEMPTS = 20  # at a partition that differs from those before


def partition_seed(seed: int, partition: int) -> int:
    """The seed of all that is random in a partition: the division itself, and every training on it.

    In the first partition it is `seed`. In others it is a number from 0 to 2^32 - 1 that depends on both: trainings of
    different partitions share neither initial weights nor the order of clips, which would relate their differences.
    """
    return seed if partition == 1 else int(np.random.SeedSequence((seed, partition)).generate_state(1)[0])


def draw_partitions(
    corpus: Corpus, seed: int, partitions: int, known: Sequence[np.ndarray] = (), option: str = "--partitions"
) -> tuple[np.ndarray, ...]:
    """Draw partitions 2 to `partitions` into as many folds as the corpus has, no two of them the same.

    Args:
        corpus: With folds of its own.
        seed: Of the study.
        partitions: In all.
        known: Those that were drawn before, (N,) each, which are kept.
        option: Of the command line that asked for so many.

    Returns:
        Of each the fold of every clip, (N,) int64, in the corpus's own numbers; EVALUATION is kept.

    Raises:
        CorpusError: With fewer groups than folds, or too few of them for so many partitions.
    """
    if partitions <= 1 + len(known):
        return tuple(known)
    if corpus.has_fixed_split:
        raise CorpusError(
            f"The number of partitions is {partitions}, but `{corpus.root}` has one fixed split, which is not drawn "
            f"anew: leave out {option}, and train with several seeds (--repeats)."
        )
    development, folds = corpus.development, len(corpus.fold_numbers)
    groups = len(np.unique(corpus.groups[development]))
    if groups < folds:
        raise CorpusError(
            f"The number of partitions is {partitions}, but others than its own cannot be drawn for `{corpus.root}`: "
            f"groups stay whole, and it has {groups} of them for {folds} folds. Leave out {option}."
        )
    drawn = [*known]
    for partition in range(len(drawn) + 2, partitions + 1):
        rng = np.random.default_rng(partition_seed(seed, partition))
        taken = {_division(each[development]) for each in (corpus.folds, *drawn)}
        attempts = (_draw_folds(corpus, rng) for _ in range(ATTEMPTS))
        found = next((each for each in attempts if _division(each[development]) not in taken), None)
        if found is None:
            raise CorpusError(
                f"The number of partitions is {partitions}, but the {groups} groups of `{corpus.root}` can hardly be "
                f"divided into {folds} folds in so many ways: ask for {option} {partition - 1}."
            )
        drawn.append(found)
    return tuple(drawn)


def _division(folds: np.ndarray) -> tuple[int, ...]:
    """Which clips are together, whatever the numbers of the folds: these in the order in which they occur."""
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(fold, len(numbers)) for fold in folds.tolist())


def _draw_folds(corpus: Corpus, rng: np.random.Generator) -> np.ndarray:
    """A random division of the groups, dealt in the best of some random orders."""
    development = corpus.development
    present = balanced_classes(corpus.targets[development])
    member = np.unique(corpus.groups[development], return_inverse=True)[1]
    classes = np.column_stack([present, np.ones(len(present), dtype=bool)])  # the last balances the sizes
    counts = np.zeros((member.max() + 1, classes.shape[1]))
    np.add.at(counts, member, classes)
    orders = (rng.permutation(len(counts)) for _ in range(ORDERS))
    dealt = [_deal(counts, order, len(corpus.fold_numbers))[member] for order in orders]
    folds = np.full(len(corpus.clips), EVALUATION, dtype=np.int64)
    folds[development] = np.array(corpus.fold_numbers)[min(dealt, key=lambda each: imbalance(present, each))]
    return folds


def _deal(counts: np.ndarray, order: Iterable[int], folds: int) -> np.ndarray:
    """Give each group in turn to the fold in which its classes are rarest so far; (groups,), folds from 0.

    That raises the chi-square over classes and folds least. No fold stays empty with as many groups as folds.

    Args:
        counts: (groups, classes).
        order: Of the groups.
        folds: How many.
    """
    weights = counts / counts.sum(axis=0).clip(min=1)
    held, given = np.zeros((folds, counts.shape[1])), np.zeros(len(counts), dtype=np.int64)
    for group in order:
        given[group] = (held @ weights[group]).argmin()
        held[given[group]] += counts[group]
    return given
