"""Folds for a corpus without any: groups stay whole, and each tag is about as frequent in every fold."""

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.labels import balanced_classes
from audiotag.corpus.tables import EVALUATION

SHUFFLES = 20  # random orders of the groups that are tried; the best balanced folds are taken


def propose_folds(corpus: Corpus, folds: int, seed: int) -> np.ndarray:
    """Propose a fold from 1 to `folds` for each development clip; (N,) int64, EVALUATION kept.

    scikit-learn's StratifiedGroupKFold distributes whole groups by their numbers of samples per class. A clip enters
    it as one sample for each of its tags, and as one of a class that all clips share, which balances the sizes.

    Raises:
        CorpusError: With fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # seconds to import

    development = corpus.development
    groups = len(np.unique(corpus.groups[development]))
    if groups < folds:
        raise CorpusError(
            f"The number of folds is {folds}, but `{corpus.root}` has {groups} groups, which stay whole: ask for "
            f"--folds {max(groups, 2)} at most, or give the clips more groups."
        )
    present = balanced_classes(corpus.targets[development])
    clips, classes = np.nonzero(np.column_stack([present, np.ones(len(present), dtype=bool)]))
    times = -(-folds // int(np.bincount(classes).min()))  # scikit-learn demands as many samples of a class as folds
    clips, classes = np.repeat(clips, times), np.repeat(classes, times)
    best, smallest = np.zeros(len(development), dtype=np.int64), (np.inf, np.inf)
    for shuffle in range(SHUFFLES):
        order = int(np.random.default_rng((seed, shuffle)).integers(2**31))
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=order)
        assigned = np.zeros(len(development), dtype=np.int64)
        parts = splitter.split(clips, classes, corpus.groups[development][clips])
        for number, (_, samples) in enumerate(parts, start=1):
            assigned[clips[samples]] = number
        distance = imbalance(present, assigned)
        if distance < smallest:
            best, smallest = assigned, distance
        if smallest == (0, 0):
            break
    proposed = np.full(len(corpus.clips), EVALUATION, dtype=np.int64)
    proposed[development] = best
    return proposed


def imbalance(present: np.ndarray, folds: np.ndarray) -> tuple[float, float]:
    """Measure how far folds are from equal: classes that a fold lacks, then chi-square over classes and clips.

    Shapes: present (n, classes) bool, folds (n,). (0, 0) is perfect.
    """
    numbers = np.unique(folds)
    classes = np.column_stack([present, np.ones(len(present), dtype=bool)])
    counts = np.array([classes[folds == number].sum(axis=0) for number in numbers])  # (folds, classes + 1)
    wanted = np.maximum(classes.sum(axis=0), 1) / len(numbers)
    return float((counts == 0).sum()), float((np.square(counts - wanted) / wanted).sum())
