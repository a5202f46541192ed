"""A confirmation: a study that trains the winner and the baseline of another one again, on folds and seeds of its own.

The winner of a study was chosen for its mean, and its mean is flattered by that. Here nothing is chosen: both trials,
the folds and the seeds are fixed before anything is trained, and no training of the other study had either.
"""

from dataclasses import replace
from pathlib import Path

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.partitions import partition_seed
from study.ledger.ledger import STUDY_FILE, Ledger
from study.ledger.mirror import fetch
from study.ledger.schema import StudyRecord

SUFFIX = "-confirmed"  # of the study's name
NUMBER = 2**31 - 1  # of the partition whose seed it has: no study has so many


class ConfirmationError(ValueError):
    """A study that cannot be confirmed as asked; one line for the user."""


def confirmation_folder(root: Path) -> Path:
    """Where the confirmation of the study in `root` is, or will be."""
    return root.with_name(f"{root.name}{SUFFIX}")


def is_confirmation_of(found: StudyRecord, study: StudyRecord) -> bool:
    """Whether a study is a confirmation of another one."""
    return found.confirms is not None and found.confirms.id == study.id


def find_confirmation(ledger: Ledger) -> Ledger | None:
    """The confirmation of a study; None where there is none.

    Raises:
        LedgerError: For one that this version cannot read.
    """
    root = confirmation_folder(ledger.root)
    fetch(root)
    if not (root / STUDY_FILE).is_file():
        return None
    found = Ledger.open(root)
    return found if is_confirmation_of(found.study, ledger.study) else None


def fresh_seed(study: StudyRecord) -> int:
    """The first seed of a confirmation: none of its seeds is one that a training of the study had.

    It depends on the study's seed alone, so that a confirmation that was deleted is made again as it was: whoever
    dislikes the figures cannot draw others.
    """
    known = {partition_seed(seed, partition) for seed in study.seeds for partition in study.partitions}
    seed = partition_seed(study.seed, NUMBER)
    while known & {*range(seed, seed + study.repeats)}:
        seed += 1
    return seed


def confirmed_corpus(corpus: Corpus, study: StudyRecord) -> Corpus:
    """The corpus with the folds of a confirmation; of any other study as it is."""
    return corpus if study.confirms is None else replace(corpus, folds=study.confirms.partition.clip_folds)
