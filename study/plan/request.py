"""What the command line asks for, as a value."""

from dataclasses import dataclass
from pathlib import Path

from study.cli import STUDIES

LOOKS = 5  # partitions at most of a study that adds them until it is clear


@dataclass(frozen=True)
class Request:
    """The options of `study/run.py`. None: not given.

    Attributes:
        space: The question: a name, or the path of a file.
        trust_code: Run the source that a study keeps, where its file is gone or was changed.
        resume: The study to continue; empty for the newest unfinished one of the space.
        corpus: "synthetic" or a path.
        tag_separator: Of tags within a cell of the corpus's table, beside `;`.
        clip_seconds: Of the longest clip of the corpus; longer recordings are cut.
        skip_bad: Leave out clips whose audio is missing or unusable.
        name: Of the study.
        trials: How many.
        epochs: The most per fold, and per pretraining.
        precision: Of convolutions and matrix products.
        seed, repeats, partitions, protocol: Of the training.
        until_clear: Add partitions until each comparison is clear.
        most: At most so many.
        sampler, scheduler: Of the search.
        metric: By which it chooses, one of METRICS.
        margin: Means that differ by no more count as the same.
        cpus_per_trial, gpus_per_trial, address: Of Ray.
        cache: The folder of features.
        studies: The folder of studies.
        tracking_uri: Of MLflow.
    """

    space: str | None = None
    trust_code: bool = False
    resume: str | None = None
    corpus: str | None = None
    tag_separator: str | None = None
    clip_seconds: float | None = None
    skip_bad: bool = False
    name: str | None = None
    trials: int | None = None
    epochs: int | None = None
    precision: str | None = None
    seed: int | None = None
    repeats: int | None = None
    partitions: int | None = None
    until_clear: bool = False
    most: int | None = None
    protocol: str | None = None
    sampler: str | None = None
    scheduler: str | None = None
    metric: str | None = None
    margin: float | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    address: str | None = None
    cache: Path | None = None
    studies: Path = STUDIES
    tracking_uri: str | None = None
