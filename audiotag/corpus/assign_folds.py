"""Folds for a corpus that has none: whole groups, and each tag about as frequent in every fold."""

import csv
import io
import os
import tempfile
from pathlib import Path

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.layouts.folder import COLUMNS
from audiotag.corpus.tables import EVALUATION, CorpusError

SHUFFLES = 20  # orders of the groups that are tried; the best balanced folds are taken


def propose_folds(corpus: Corpus, folds: int, seed: int) -> np.ndarray:
    """A fold from 1 to `folds` for each development clip; (N,) int64, EVALUATION kept.

    scikit-learn's StratifiedGroupKFold deals whole groups out by their numbers of samples of each class. A clip enters
    it as one sample for each of its tags, and as one of a class that all clips share, which balances the sizes.

    Raises:
        CorpusError: with fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # seconds to import

    development = corpus.development
    groups = len(np.unique(corpus.groups[development]))
    if groups < folds:
        raise CorpusError(
            f"The number of folds is {folds}, but `{corpus.root}` has {groups} groups, which stay whole: ask for "
            f"--folds {max(groups, 2)} at most, or give the clips more groups."
        )
    targets = corpus.targets[development] > 0
    clips, classes = np.nonzero(np.column_stack([targets, np.ones(len(targets), dtype=bool)]))
    times = -(-folds // int(np.bincount(classes).min()))  # it wants as many samples of a class as folds
    clips, classes = np.repeat(clips, times), np.repeat(classes, times)
    best, smallest = np.zeros(len(development), dtype=np.int64), (np.inf, np.inf)
    for shuffle in range(SHUFFLES):
        order = int(np.random.default_rng((seed, shuffle)).integers(2**31))
        dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=order)
        dealt = np.zeros(len(development), dtype=np.int64)
        parts = dealer.split(clips, classes, corpus.groups[development][clips])
        for number, (_, samples) in enumerate(parts, start=1):
            dealt[clips[samples]] = number
        distance = imbalance(targets, dealt)
        if distance < smallest:
            best, smallest = dealt, distance
        if smallest == (0, 0):
            break
    proposed = np.full(len(corpus.clips), EVALUATION, dtype=np.int64)
    proposed[development] = best
    return proposed


def imbalance(targets: np.ndarray, folds: np.ndarray) -> tuple[float, float]:
    """How far folds are from equal: cells of tag and fold without a positive, then chi-square over tags and clips.

    Shapes: targets (n, K) bool, folds (n,). (0, 0) is perfect.
    """
    numbers = np.unique(folds)
    classes = np.column_stack([targets, np.ones(len(targets), dtype=bool)])
    counts = np.array([classes[folds == number].sum(axis=0) for number in numbers])  # (folds, K + 1)
    wanted = np.maximum(classes.sum(axis=0), 1) / len(numbers)
    return float((counts == 0).sum()), float((np.square(counts - wanted) / wanted).sum())


def write_folds(corpus: Corpus, folds: np.ndarray, path: Path) -> None:
    """Writes a table in the form of `clips.csv`, in one piece; the filenames are those inside `audio/`.

    Raises:
        CorpusError: if the file exists or cannot be written.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for place, clip in enumerate(corpus.clips):
        tags = ";".join(tag for tag, has in zip(corpus.tags, corpus.targets[place], strict=True) if has)
        evaluation = folds[place] == EVALUATION
        fold, split = ("", "evaluation") if evaluation else (int(folds[place]), "development")
        writer.writerow([clip, fold, tags, corpus.groups[place], split])
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "w", encoding="utf-8", newline="") as file:
                file.write(lines.getvalue())
            os.chmod(name, 0o644)
            os.link(name, path)  # unlike a rename, it never takes another file's place
        finally:
            os.unlink(name)
    except FileExistsError as error:
        raise CorpusError(f"The file `{path}` exists: take it away, or name another with --output.") from error
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise CorpusError(f"The file `{path}` cannot be written ({reason}): name another with --output.") from error
