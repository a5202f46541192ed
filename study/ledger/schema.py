"""The records of a study: one dataclass per thing that its files hold, one reader, one writer.

A field's name is its name in JSON, unless its metadata says otherwise; the figures of a metric stand flat beside the
other fields ("eer", "eer_mean", "eer_var_classes", "eval_eer_mean"). docs/study-folder.md is the contract. The file is
long because the records hold one another, and a field is found in one place.
"""

import math
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache, cached_property
from operator import attrgetter
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from audiotag.corpus.splits import FIXED
from audiotag.declarations.own_code import OwnCode
from audiotag.metrics import DEFAULT, METRICS, Metric
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from search_spaces import own_code

FORMAT = 5  # of a new study's folder
READABLE = (4, 5)  # formats that this version continues; in 4 a trial's key hashed fifteen fixed hyperparameters

R = TypeVar("R")
SKIP: dict[str, Any] = {"skip": True}  # metadata of a field that JSON does not hold
DROP: dict[str, Any] = {"drop": True}  # and of one that JSON holds only where it is not empty
# and of figures by metric, which stand flat in JSON: by tag, and these parts of each ("eer", "eer_mean", ...)
FLAT: dict[str, Any] = {"flat": ("mean",), "prefix": ""}


class RecordError(ValueError):
    """Content that is not such a record: the field that is missing or of another type."""


@dataclass(frozen=True)
class Figures:
    """One metric of a trial, a fold or the evaluation split. None stands for a figure that does not exist."""

    by_tag: dict[str, float | None]
    mean: float | None  # over tags; of a metric of labels over those of each fold
    var_classes: float | None = None  # sample variance over tags: the paper's Var
    var_folds: float | None = None  # sample variance of the folds' means
    sd_seeds: float | None = None  # sample standard deviation of `mean` over seeds


def read_record(kind: type[R], content: Any) -> R:
    """Build a record from what JSON holds; keys that are not fields are ignored.

    Raises:
        RecordError: For a field that is missing or of another type.
    """
    if not isinstance(content, dict):
        raise RecordError(kind.__name__)
    values, hints = {}, _hints(kind)  # type: ignore[arg-type]
    for entry in fields(kind):  # type: ignore[arg-type]
        key = entry.metadata.get("key", entry.name)
        if "flat" in entry.metadata:
            values[entry.name] = _read_figures(content)
        elif key in content:
            values[entry.name] = _convert(hints[entry.name], content[key], key)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise RecordError(key)
    return kind(**values)


def _read_figures(content: dict[str, Any]) -> dict[str, Figures]:
    """The figures of each metric that a record holds; those of the first must be among them."""
    found = {name: content.get(name) for name in METRICS if name in content or name == DEFAULT}
    if wrong := [name for name, by_tag in found.items() if not isinstance(by_tag, dict)]:
        raise RecordError(wrong[0])
    return {name: Figures(content[name], content.get(f"{name}_mean")) for name in found}


def write_record(record: Any) -> Any:
    """Turn a record into what JSON holds."""
    if isinstance(record, tuple | list):
        return [write_record(value) for value in record]
    if not is_dataclass(record):
        return record
    content: dict[str, Any] = {}
    for entry in fields(record):
        value, how = getattr(record, entry.name), entry.metadata
        if "flat" in how:
            for name, figures in value.items():
                content[f"{how['prefix']}{name}"] = figures.by_tag
                content |= {f"{how['prefix']}{name}_{part}": getattr(figures, part) for part in how["flat"]}
        elif not (how.get("skip") or (how.get("drop") and value in (None, ()))):
            content[how.get("key", entry.name)] = write_record(value)
    return content


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _convert(hint: Any, value: Any, key: str) -> Any:
    """A value of JSON as the type of its field."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return None if value is None else _convert(next(part for part in parts if part is not type(None)), value, key)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(parts[0], part, key) for part in value)
    if is_dataclass(hint) and isinstance(value, dict):
        return read_record(hint, value)  # type: ignore[arg-type]
    wanted = dict if is_dataclass(hint) else (int, float) if hint is float else origin or hint
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise RecordError(key)
    return value


@dataclass(frozen=True)
class CorpusRecord:
    """A study's corpus; enough to read the results without it."""

    name: str
    fingerprint: str
    tags: tuple[str, ...]
    folds: tuple[int, ...]
    evaluation_targets: dict[str, list[int | None]]  # by clip, one 0 or 1 per tag; None where it is unknown
    kind: str = "folder"  # the layout
    path: str = ""
    development_clips: int = 0
    evaluation_clips: int = 0
    clip_seconds: float | None = None  # None: an earlier version did not say
    skipped: dict[str, str] = field(default_factory=dict)  # clips left out, with the reason
    tag_separator: str | None = field(default=None, metadata=DROP)  # of tags within a cell, where one was asked for
    asked_seconds: float | None = field(default=None, metadata=DROP)  # the longest clip, where it was asked for
    split: dict[str, int] | None = field(default=None, metadata=DROP)  # clips of each part of a fixed split


@dataclass(frozen=True)
class Provenance:
    """With which program a study is made, or continued."""

    versions: dict[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None
    git_changes: str | None = None  # file of the study's folder with what the working tree had beyond the commit


@dataclass(frozen=True)
class LeftOut:
    """A trial of the space that the corpus cannot serve."""

    name: str
    params: dict[str, Any]


@dataclass(frozen=True)
class DrawnPartition:
    """A partition of the development clips into folds that was drawn: every one but the corpus's own."""

    seed: int  # of the division, and of what is random in its trainings where the study's seed is its first
    folds: str  # of each clip in the order of clips.npz, -1 for the evaluation split, between spaces
    trials: tuple[str, ...] | None = field(default=None, metadata=DROP)  # keys of those that have it; None: all

    @property
    def clip_folds(self) -> np.ndarray:
        """The fold of each clip, (N,) int64."""
        return np.array(self.folds.split(), dtype=np.int64)


@dataclass(frozen=True)
class ConfirmedTrial:
    """A trial of the study that a confirmation is of: its key there, and its hyperparameters."""

    key: str
    config: dict[str, Any]


@dataclass(frozen=True)
class Confirms:
    """What makes a study a confirmation of another one, whose two trials it trains again.

    Attributes:
        study, id: The other one.
        winner: The trial that its cross-validation chose.
        baseline: The trial that it is compared with.
        partition: The folds and the seed of this study, of which the other one knew nothing.
    """

    study: str
    id: str
    winner: ConfirmedTrial
    baseline: ConfirmedTrial
    partition: DrawnPartition

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configurations of its trials, by their numbers."""
        return [self.baseline.config, self.winner.config]


@dataclass(frozen=True)
class StudyRecord:
    """study.json: the request, resolved.

    It never changes, but for `trials`, `drawn`, `settled`, `space_path`, `continued_with` and `folder`.
    """

    name: str = field(metadata={"key": "study"})
    id: str
    space: str
    space_fingerprint: str
    question: str
    protocol: str
    created: str
    trials: int
    seed: int
    corpus: CorpusRecord
    settings: dict[str, dict[str, Any]]  # by model: hyperparameters that the space does not set
    varied: tuple[str, ...]  # hyperparameters that the space sets
    left_out: tuple[LeftOut, ...]
    features: tuple[dict[str, Any], ...]  # front ends
    space_source: str = ""
    space_helpers: dict[str, str] | None = field(default=None, metadata=DROP)  # texts by file; None: not recorded
    space_path: str | None = field(default=None, metadata=DROP)  # of a file outside search_spaces/
    own_modules: dict[str, str] | None = field(default=None, metadata=DROP)  # texts of packages' modules in use
    sampler: str | None = None  # None: the space's own
    scheduler: str = "fifo"
    metric: str = DEFAULT  # by whose mean over folds and tags trials are chosen
    margin: float | None = None  # means that differ by no more count as the same; None: an earlier version did not say
    ranges: dict[str, dict[str, Any]] = field(default_factory=dict)  # of numeric parameters: "low", "high", "log"
    baseline: dict[str, Any] | None = None  # named by the space
    repeats: int = 1
    stereo: str | None = None  # fingerprint of the stereo recordings, where a trial uses them
    recordings: dict[str, str] | None = field(
        default=None, metadata=DROP
    )  # fingerprints of folders of background noise
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    git_dirty: bool | None = None
    git_changes: str | None = None
    command: str = ""
    tracking_uri: str = ""  # of MLflow's copy when the study began, without a password
    folder: str = ""  # in which it was last run: tells a copy from the original
    continued_with: tuple[Provenance, ...] = ()
    drawn: tuple[DrawnPartition, ...] = field(default=(), metadata=DROP)  # partitions 2, 3, ...
    most: int | None = field(default=None, metadata=DROP)  # partitions of a study that adds them until it is clear
    settled: bool | None = field(default=None, metadata=DROP)  # whether such a study gets no more of them
    confirms: Confirms | None = field(default=None, metadata=DROP)  # of a confirmation
    format: int = FORMAT

    @property
    def code(self) -> OwnCode:
        """The source of its space, and of what its trials use of installed packages."""
        code = own_code(self.space, self.space_source, self.space_helpers or {}, self.space_path or "")
        return replace(code, modules=tuple(sorted((self.own_modules or {}).items())))

    @property
    def objective(self) -> Metric:
        """What the study minimises or maximises: its mean over folds and tags."""
        return METRICS[self.metric]

    @property
    def seeds(self) -> list[int]:
        """The seeds with which each fold is trained."""
        return list(range(self.seed, self.seed + self.repeats))

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds of the corpus, in the order in which trials take them; those of each partition."""
        return self.corpus.folds

    @property
    def partitions(self) -> range:
        """The numbers of the partitions: 1 is the corpus's own."""
        return range(1, 2 + len(self.drawn))

    @property
    def has_several_partitions(self) -> bool:
        """Whether trials are cross-validated over several partitions."""
        return bool(self.drawn)

    @property
    def has_fixed_split(self) -> bool:
        """Whether its corpus has train, validation and test clips in place of folds."""
        return self.protocol == FIXED

    @property
    def is_until_clear(self) -> bool:
        """Whether it adds partitions until its comparisons are clear."""
        return self.most is not None

    def partitions_of(self, key: str) -> list[int]:
        """The numbers of the partitions on which a trial is trained: the first ones."""
        drawn = enumerate(self.drawn, start=2)
        return [1, *(number for number, each in drawn if each.trials is None or key in each.trials)]

    def clip_folds(self, partition: int) -> np.ndarray:
        """The fold of each clip (N,) int64 in a partition that was drawn."""
        return self.drawn[partition - 2].clip_folds

    @property
    def tags(self) -> tuple[str, ...]:
        """The K tags of the corpus."""
        return self.corpus.tags

    @property
    def has_several_seeds(self) -> bool:
        """Whether each fold is trained with several seeds."""
        return self.repeats > 1


@dataclass(frozen=True)
class TrialRecord:
    """trial.json: a trial's place in the study, from 0, and its hyperparameters."""

    number: int
    config: dict[str, Any]


@dataclass(frozen=True)
class PrunedRecord:
    """pruned.json: a trial that was pruned at a rung."""

    reason: str
    folds: int  # that it has
    rung: int  # folds after which it was judged
    mean: float  # of the objective over them
    bound: float  # the cutoff


@dataclass(frozen=True)
class FailureRecord:
    """failed.json."""

    reason: str


@dataclass(frozen=True)
class PassedRecord:
    """passed.json: the rungs, as numbers of folds, that a trial has passed."""

    rungs: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class FoldRecord:
    """fold_<k>.json: a finished fold, trained with one seed.

    Attributes:
        figures: By metric, on the held-out clips.
        best_epoch: From 0.
        epochs: That were trained.
        seconds: Training, pretraining and scoring.
        epoch_rows: Each epoch, as `EpochResult.to_dict` gives it, None for NaN.
        pretraining: Each epoch of it; its name in JSON is that of format 4.
        trial: The trial, should its own file be damaged.
        trained_on: Where it was: the host, what computed there and the versions; an earlier version did not say.
        files: Sizes in bytes of the fold's other files: those that make it whole.
    """

    fold: int
    figures: dict[str, Figures] = field(metadata=FLAT)
    best_epoch: int
    epochs: int
    seconds: float
    epoch_rows: tuple[dict[str, Any], ...] = field(metadata={"key": "history"})
    pretraining: tuple[PretrainingEpoch, ...] = field(metadata={"key": "unsupervised"})
    trial: TrialRecord
    trained_on: dict[str, str] | None = field(default=None, metadata=DROP)
    files: dict[str, int] = field(default_factory=dict)

    @cached_property
    def history(self) -> tuple[EpochResult, ...]:
        """Each epoch; NaN where a figure does not exist."""
        rows = ({name: math.nan if it is None else it for name, it in row.items()} for row in self.epoch_rows)
        return tuple(map(EpochResult.from_dict, rows))


@dataclass(frozen=True)
class SeedFold:
    """One seed's training of a fold."""

    seed: int
    figures: dict[str, Figures] = field(metadata=FLAT)
    best_epoch: int
    epochs: int
    seconds: float


@dataclass(frozen=True)
class FoldResult:
    """A finished fold in results.json: with several seeds means over them, and the sum of their seconds."""

    fold: int
    figures: dict[str, Figures] = field(metadata=FLAT)
    best_epoch: float
    epochs: float
    seconds: float
    repeats: tuple[SeedFold, ...] = field(default=(), metadata=DROP)  # with several seeds, each of them


@dataclass(frozen=True)
class SeedResult:
    """What one seed alone gives: figures over all folds."""

    seed: int
    figures: dict[str, Figures] = field(metadata=FLAT)


@dataclass(frozen=True)
class PartitionResult:
    """What a partition that was drawn gives alone: as a trial's own fields say it of the corpus's folds."""

    partition: int
    figures: dict[str, Figures] = field(metadata={**FLAT, "flat": ("mean", "var_classes", "var_folds")})
    evaluation: dict[str, Figures] = field(metadata={"flat": ("mean", "var_classes"), "prefix": "eval_"})
    folds: tuple[FoldResult, ...]
    seconds: float


@dataclass(frozen=True)
class OverPartitions:
    """Means over the folds of all partitions that a trial has finished, and variances of these."""

    partitions: int
    figures: dict[str, Figures] = field(metadata={**FLAT, "flat": ("mean", "var_classes", "var_folds")})


@dataclass(frozen=True)
class FailedPartition:
    """Why a trial has no result of a partition that was drawn, and gets none of later ones."""

    partition: int
    reason: str


@dataclass(frozen=True)
class PublishedRow:
    """A row of the paper's Table 1."""

    eer: dict[str, float]
    eer_mean: float
    eer_var_classes: float
    footnote: str | None = field(default=None, metadata=DROP)  # what is odd in it


@dataclass(frozen=True)
class TrialResult:
    """A trial with a result, as results.json, tables, MLflow and the report show it.

    But for `partitions`, `over_partitions` and `failed_partition`, all is of the corpus's own folds.

    Attributes:
        status: "finished", "failed" or "pruned"; only finished trials have figures.
        figures: By metric, means over folds.
        seeds: With several seeds what each alone gives.
        reason: Why it failed or was pruned.
        evaluation: Figures on the evaluation split, by the mean probability of the fold models; empty without one.
        folds: The finished ones.
        partitions: What each partition that was drawn gives, as far as they are finished.
        goes_on: Whether partitions of it are left to be trained.
        objective: Of its study.
    """

    key: str
    number: int = field(metadata=SKIP)
    params: dict[str, Any]
    status: str
    seconds: float
    figures: dict[str, Figures] = field(metadata={**FLAT, "flat": ("mean", "var_classes", "var_folds")})
    seeds: tuple[SeedResult, ...] = field(default=(), metadata={"key": "repeats", **DROP})
    reason: str | None = field(default=None, metadata=DROP)
    pruned: PrunedRecord | None = field(default=None, metadata=DROP)
    evaluation: dict[str, Figures] = field(
        default_factory=dict, metadata={"flat": ("mean", "var_classes"), "prefix": "eval_"}
    )
    published: PublishedRow | None = field(default=None, metadata=DROP)
    folds: tuple[FoldResult, ...] = ()
    partitions: tuple[PartitionResult, ...] = field(default=(), metadata=DROP)
    over_partitions: OverPartitions | None = field(default=None, metadata=DROP)
    failed_partition: FailedPartition | None = field(default=None, metadata=DROP)
    goes_on: bool = field(default=False, metadata=SKIP)
    objective: Metric = field(default=METRICS[DEFAULT], metadata=SKIP)

    @property
    def mean(self) -> float | None:
        """Mean of the objective over folds and tags; None for a trial without a result."""
        return self.figures[self.objective.name].mean

    @property
    def rank(self) -> float:
        """A number that is smallest for the best trial."""
        return self.objective.rank(self.mean)

    @property
    def folds_by_partition(self) -> list[tuple[FoldResult, ...]]:
        """The folds of each finished partition, the corpus's own first."""
        return [self.folds, *(own.folds for own in self.partitions)]

    @property
    def trainings(self) -> list[FoldResult | SeedFold]:
        """The folds of all its partitions, with several seeds each seed's training of each fold."""
        return [training for part in self.folds_by_partition for fold in part for training in fold.repeats or (fold,)]

    @property
    def total_seconds(self) -> float:
        """Of all its partitions."""
        return self.seconds + sum(own.seconds for own in self.partitions)

    def to_json(self) -> dict[str, Any]:
        """The trial's entry in results.json."""
        spread = {f"{name}_sd_seeds": part.sd_seeds for name, part in self.figures.items()}
        return write_record(self) | (spread if self.seeds else {})


@dataclass(frozen=True)
class StudyResults:
    """The content of results.json: the trials that have a result, by their numbers."""

    study: StudyRecord
    status: str  # finished or interrupted
    trials: tuple[TrialResult, ...]

    @property
    def finished(self) -> list[TrialResult]:
        """Trials with a result."""
        return self.with_status("finished")

    def with_status(self, *status: str) -> list[TrialResult]:
        """Trials that ended in one of these ways."""
        return [trial for trial in self.trials if trial.status in status]

    @property
    def best(self) -> TrialResult | None:
        """The finished trial with the best mean of the objective, the first of equals."""
        return min((trial for trial in self.finished if trial.mean is not None), key=attrgetter("rank"), default=None)

    @property
    def has_evaluation(self) -> bool:
        """Whether the corpus has an evaluation split and a trial was scored on it."""
        return any(trial.evaluation for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        study = self.study
        found: dict[str, Any] = {"study": study.name, "space": study.space, "corpus": study.corpus.name}
        found |= {"protocol": study.protocol, "seed": study.seed}
        found |= {"metric": study.metric} if study.metric != DEFAULT else {}
        found |= {"repeats": study.repeats} if study.has_several_seeds else {}
        found |= {"partitions": len(study.partitions)} if study.has_several_partitions else {}
        trials = [trial.to_json() for trial in self.trials]
        return found | {"status": self.status, "tags": list(study.tags), "trials": trials}
