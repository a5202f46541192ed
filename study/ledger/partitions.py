"""The partitions of a study: what has a fold per clip, as one of them divides it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.partitions import partition_seed
from study.ledger.clips import Clips
from study.ledger.schema import DrawnPartition, StudyRecord

Divided = TypeVar("Divided", Corpus, Clips)


def in_partition(divided: Divided, study: StudyRecord, partition: int) -> Divided:
    """The corpus, or its clips, with the folds of one of the study's partitions."""
    return divided if partition == 1 else replace(divided, folds=study.clip_folds(partition))


def record_partitions(drawn: Sequence[np.ndarray], seed: int) -> tuple[DrawnPartition, ...]:
    """What study.json holds of partitions 2, 3, ..., whose clips have these folds, (N,) each."""
    return tuple(
        DrawnPartition(partition_seed(seed, partition), " ".join(map(str, folds.tolist())))
        for partition, folds in enumerate(drawn, start=2)
    )
