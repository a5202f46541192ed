"""The records of a study: one dataclass per thing that its files hold, one reader, one writer.

A field's name is its name in JSON, unless its metadata says otherwise; the figures of a metric stand flat beside the
other fields ("eer", "eer_mean", "eer_var_classes", "eval_eer_mean"). docs/study-folder.md is the contract.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from audiotag.metrics import METRICS, Metric
from audiotag.training.epochs import EpochResult, PretrainingEpoch

FORMAT = 5  # of a new study's folder
READABLE = (4, 5)  # formats that this version continues; in 4 a trial's key hashed fifteen fixed hyperparameters
OBJECTIVE: Metric = next(iter(METRICS.values()))  # what a study minimises or maximises: its mean over folds and tags

R = TypeVar("R")


class RecordError(ValueError):
    """Content that is no such record: the field that is missing or of another type."""


def read_record(kind: type[R], content: Any) -> R:
    """Build a record from what JSON holds; keys that are no field are ignored.

    Raises:
        RecordError: For a field that is missing or of another type.
    """
    if not isinstance(content, dict):
        raise RecordError(kind.__name__)
    values, hints = {}, _hints(kind)  # type: ignore[arg-type]
    for entry in fields(kind):  # type: ignore[arg-type]
        key = entry.metadata.get("key", entry.name)
        if key in content:
            values[entry.name] = _convert(hints[entry.name], content[key], key)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise RecordError(key)
    return kind(**values)


def write_record(record: Any) -> Any:
    """Turn a record into what JSON holds."""
    if is_dataclass(record):
        entries = [(entry.metadata.get("key", entry.name), getattr(record, entry.name)) for entry in fields(record)]
        return {key: write_record(value) for key, value in entries}
    if isinstance(record, tuple | list):
        return [write_record(value) for value in record]
    return record


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
    evaluation_targets: dict[str, list[int]]  # by clip, one 0 or 1 per tag
    kind: str = "folder"  # the layout
    path: str = ""
    development_clips: int = 0
    evaluation_clips: int = 0
    clip_seconds: float | None = None  # None: an earlier version did not say
    skipped: dict[str, str] = field(default_factory=dict)  # clips left out, with the reason


@dataclass(frozen=True)
class Provenance:
    """With which program a study is made, or continued."""

    versions: dict[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None


@dataclass(frozen=True)
class LeftOut:
    """A trial of the space that the corpus cannot serve."""

    name: str
    params: dict[str, Any]


@dataclass(frozen=True)
class StudyRecord:
    """study.json: the request, resolved. What a study never changes, but for `trials` and `continued_with`."""

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
    sampler: str | None = None  # None: the space's own
    scheduler: str = "fifo"
    ranges: dict[str, dict[str, Any]] = field(default_factory=dict)  # of numeric parameters: "low", "high", "log"
    baseline: dict[str, Any] | None = None  # named by the space
    repeats: int = 1
    stereo: str | None = None  # fingerprint of the stereo recordings, where a trial uses them
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    git_dirty: bool | None = None
    command: str = ""
    continued_with: tuple[Provenance, ...] = ()
    format: int = FORMAT

    @property
    def seeds(self) -> list[int]:
        """The seeds with which each fold is trained."""
        return list(range(self.seed, self.seed + self.repeats))

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds of the corpus, in the order in which trials take them."""
        return self.corpus.folds

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
    mean: float  # its mean EER over them
    bound: float  # the cutoff


@dataclass(frozen=True)
class FailureRecord:
    """failed.json."""

    reason: str


@dataclass(frozen=True)
class PassedRecord:
    """passed.json: the rungs, as numbers of folds, that a trial has passed."""

    rungs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figures:
    """One metric of a trial, a fold or the evaluation split. None stands for a figure that does not exist."""

    by_tag: dict[str, float | None]
    mean: float | None  # over tags
    var_classes: float | None = None  # sample variance over tags: the paper's Var
    var_folds: float | None = None  # sample variance of the folds' means
    sd_seeds: float | None = None  # sample standard deviation of `mean` over seeds

    def flat(self, name: str, *parts: str) -> dict[str, Any]:
        """Of the metric `name`: its values by tag and its mean, and those of the other `parts` that are asked for."""
        return {name: dict(self.by_tag), **{f"{name}_{part}": getattr(self, part) for part in ("mean", *parts)}}


def read_figures(content: Mapping[str, Any]) -> dict[str, Figures]:
    """The figures of each metric that a flat record holds.

    Raises:
        RecordError: When the objective is missing, or a metric has no values by tag.
    """
    found = {}
    for name in METRICS:
        if name in content:
            if not isinstance(content[name], dict):
                raise RecordError(name)
            found[name] = Figures(content[name], content.get(f"{name}_mean"))
    if OBJECTIVE.name not in found:
        raise RecordError(OBJECTIVE.name)
    return found


def write_figures(figures: Mapping[str, Figures], *parts: str, prefix: str = "") -> dict[str, Any]:
    """The inverse of `read_figures`."""
    return {key: value for name, part in figures.items() for key, value in part.flat(f"{prefix}{name}", *parts).items()}


@dataclass(frozen=True, eq=False)
class FoldRecord:
    """fold_<k>.json: a finished fold, trained with one seed.

    Attributes:
        figures: By metric, on the held-out clips.
        best_epoch: From 0.
        epochs: That were trained.
        seconds: Training, pretraining and scoring.
        epoch_rows: Each epoch, as `EpochResult.to_dict` gives it, None for NaN.
        pretraining: Each epoch of it.
        files: Sizes in bytes of the fold's other files: those that make it whole.
        trial: The trial, should its own file be damaged.
    """

    fold: int
    figures: dict[str, Figures]
    best_epoch: int
    epochs: int
    seconds: float
    epoch_rows: tuple[dict[str, Any], ...]
    pretraining: tuple[PretrainingEpoch, ...]
    trial: TrialRecord
    files: dict[str, int] = field(default_factory=dict)

    @cached_property
    def history(self) -> tuple[EpochResult, ...]:
        """Each epoch; NaN where a figure does not exist."""
        return tuple(
            EpochResult.from_dict({name: math.nan if value is None else value for name, value in row.items()})
            for row in self.epoch_rows
        )

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "fold": self.fold,
            **write_figures(self.figures),
            "best_epoch": self.best_epoch,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "history": list(self.epoch_rows),
            "unsupervised": write_record(self.pretraining),  # the name that it has had since format 4
            "files": self.files,
            "trial": write_record(self.trial),
        }

    @classmethod
    def from_json(cls, content: Any) -> "FoldRecord":
        """The record in a file.

        Raises:
            RecordError: As `read_record`.
        """
        row = read_record(_FoldRow, content)
        return cls(
            fold=row.fold,
            figures=read_figures(content),
            best_epoch=row.best_epoch,
            epochs=row.epochs,
            seconds=row.seconds,
            epoch_rows=row.history,
            pretraining=row.pretraining,
            trial=row.trial,
            files=row.files,
        )


@dataclass(frozen=True)
class _FoldRow:
    """What of a fold's file is not a figure of a metric."""

    fold: int
    epochs: int
    seconds: float
    files: dict[str, int]
    trial: TrialRecord
    best_epoch: int
    history: tuple[dict[str, Any], ...]
    pretraining: tuple[PretrainingEpoch, ...] = field(default=(), metadata={"key": "unsupervised"})


@dataclass(frozen=True)
class FoldResult:
    """A finished fold in results.json: with several seeds means over them, and the sum of their seconds."""

    fold: int
    figures: dict[str, Figures]
    best_epoch: float
    epochs: float
    seconds: float
    repeats: tuple["SeedFold", ...] = ()  # with several seeds, each of them

    def to_json(self) -> dict[str, Any]:
        """The fold's entry in results.json."""
        content = {"fold": self.fold, **_fold_json(self)}
        return content | ({"repeats": [seed.to_json() for seed in self.repeats]} if self.repeats else {})


@dataclass(frozen=True)
class SeedFold:
    """One seed's training of a fold."""

    seed: int
    figures: dict[str, Figures]
    best_epoch: int
    epochs: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The training's entry in results.json."""
        return {"seed": self.seed, **_fold_json(self)}


def _fold_json(training: FoldResult | SeedFold) -> dict[str, Any]:
    own = {name: getattr(training, name) for name in ("best_epoch", "epochs", "seconds")}
    return write_figures(training.figures) | own


@dataclass(frozen=True)
class SeedResult:
    """What one seed alone gives: figures over all folds."""

    seed: int
    figures: dict[str, Figures]

    def to_json(self) -> dict[str, Any]:
        """The seed's entry in results.json."""
        return {"seed": self.seed, **write_figures(self.figures)}


@dataclass(frozen=True)
class PublishedRow:
    """A row of the paper's Table 1."""

    eer: dict[str, float]
    eer_mean: float
    eer_var_classes: float
    footnote: str | None = None  # what is odd in it

    def to_json(self) -> dict[str, Any]:
        """The row's entry in results.json."""
        content = write_record(self)
        return {name: value for name, value in content.items() if value is not None}


@dataclass(frozen=True)
class TrialResult:
    """A trial that has ended, as results.json, tables, MLflow and the report show it.

    Attributes:
        status: "finished", "failed" or "pruned"; only finished trials have figures.
        figures: By metric, means over folds.
        evaluation: The same on the evaluation split, by the mean probability of the fold models; empty without one.
        folds: The finished ones.
        seeds: With several seeds what each alone gives.
        reason: Why it failed or was pruned.
    """

    key: str
    number: int
    params: dict[str, Any]
    status: str
    seconds: float
    figures: dict[str, Figures]
    evaluation: dict[str, Figures] = field(default_factory=dict)
    folds: tuple[FoldResult, ...] = ()
    seeds: tuple[SeedResult, ...] = ()
    reason: str | None = None
    pruned: PrunedRecord | None = None
    published: PublishedRow | None = None

    @property
    def mean(self) -> float | None:
        """Mean of the objective over folds and tags; None for a trial without a result."""
        return self.figures[OBJECTIVE.name].mean

    @property
    def trainings(self) -> list[FoldResult | SeedFold]:
        """Its folds, with several seeds each seed's training of each fold."""
        return [training for fold in self.folds for training in fold.repeats or (fold,)]

    def to_json(self) -> dict[str, Any]:
        """The trial's entry in results.json."""
        content: dict[str, Any] = {
            "key": self.key,
            "params": self.params,
            "status": self.status,
            "seconds": self.seconds,
            **write_figures(self.figures, "var_classes", "var_folds"),
        }
        if self.seeds:
            content |= {f"{name}_sd_seeds": part.sd_seeds for name, part in self.figures.items()}
            content["repeats"] = [seed.to_json() for seed in self.seeds]
        content |= {"reason": self.reason} if self.reason is not None else {}
        content |= {"pruned": write_record(self.pruned)} if self.pruned is not None else {}
        content |= write_figures(self.evaluation, "var_classes", prefix="eval_")
        content |= {"published": self.published.to_json()} if self.published is not None else {}
        return content | {"folds": [fold.to_json() for fold in self.folds]}


@dataclass(frozen=True)
class StudyResults:
    """The content of results.json: the trials that have ended, by their numbers."""

    study: StudyRecord
    status: str  # finished or interrupted
    trials: tuple[TrialResult, ...]

    @property
    def finished(self) -> list[TrialResult]:
        """Trials with a result."""
        return self.with_status("finished")

    def with_status(self, *status: str) -> list[TrialResult]:
        """Trials that ended so."""
        return [trial for trial in self.trials if trial.status in status]

    @property
    def best(self) -> TrialResult | None:
        """The finished trial with the best mean of the objective, the first of equals."""
        scored = [trial for trial in self.finished if trial.mean is not None]
        return min(scored, key=lambda trial: rank(trial.mean), default=None)

    @property
    def has_evaluation(self) -> bool:
        """Whether the corpus has an evaluation split and a trial was scored on it."""
        return any(trial.evaluation for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        study = self.study
        return {
            "study": study.name,
            "space": study.space,
            "corpus": study.corpus.name,
            "protocol": study.protocol,
            "seed": study.seed,
            **({"repeats": study.repeats} if study.has_several_seeds else {}),
            "status": self.status,
            "tags": list(study.tags),
            "trials": [trial.to_json() for trial in self.trials],
        }


def rank(mean: float | None) -> float:
    """A mean of the objective as a number that is smallest for the best trial."""
    return math.inf if mean is None else mean if OBJECTIVE.lower_is_better else -mean
