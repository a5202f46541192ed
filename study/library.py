"""A study as tables, for scripts and notebooks: `study.load`.

Nothing is written and no lock is taken, so a study that is being run can be read, too.
"""

import math
import operator
import os
import zipfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import pandas as pd

from audiotag.corpus.errors import count, list_first
from audiotag.corpus.labels import have_unknown
from audiotag.metrics import METRICS
from audiotag.training.epochs import EpochResult
from study.cli import STUDIES
from study.cloud import folder_of, is_url, shown
from study.format import decimal, own_params, trial_name
from study.ledger.files import LedgerError
from study.ledger.learning_curves import mean_curves
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete, study_results, summarise, with_all_metrics
from study.ledger.schema import Figures, FoldRecord, StudyRecord, StudyResults, TrialResult
from study.ledger.studies import find_study, study_names
from study.ledger.trial_folder import TrialFolder
from study.stats.rows import choose_baseline, make_rows

UNFINISHED = "unfinished"  # the status of a trial without a result
SPREADS = ("mean", "var_classes", "var_folds")  # what is said of a metric beside its figure of each tag
TRAINING = ("trial", "partition", "fold", "seed")  # columns that tell one training from another
NO_EPOCH = EpochResult(0, math.nan, math.nan, math.nan, math.nan, dict.fromkeys(METRICS, math.nan), math.nan)


class Training(NamedTuple):
    """A finished fold of a trial, trained with one seed: what tells it from others, and its record."""

    trial: int
    partition: int
    fold: int
    seed: int
    record: FoldRecord

    @property
    def labels(self) -> dict[str, int]:
        """What tells it from others, by column."""
        return {name: getattr(self, name) for name in TRAINING}


class Study:
    """A study on disk. Its tables are read when they are first used, and kept: load it again to see what was added.

    A column "eer_mean" has the name that the figure has in results.json (docs/study-folder.md), "eer/<tag>" is the
    figure of a tag; so for every metric that has figures. A figure that does not exist is NaN.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __repr__(self) -> str:
        record, finished = self.record, self.results.finished
        parts = [f"{len(finished)} of {count(record.trials, 'trial')} finished", count(len(record.folds), "fold")]
        parts += [count(record.repeats, "seed")] * record.has_several_seeds
        parts += [count(len(record.partitions), "partition")] * record.has_several_partitions
        parts += [count(len(record.tags), "tag")]
        if (best := self.results.best) is not None:
            name = trial_name(best.params, record.varied) or best.key
            parts.append(f"best trial {best.number} ({name}), {record.objective.mean_title} {decimal(best.mean)}")
        return f"<Study {self.name} ({record.space} on {record.corpus.name}): {', '.join(parts)}>"

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self._ledger.root.name

    @property
    def folder(self) -> Path:
        """The absolute path of its folder."""
        return self._ledger.root

    @property
    def record(self) -> StudyRecord:
        """What study.json holds: question, corpus, tags, folds, partitions, seeds, metric, versions and more."""
        return self._ledger.study

    @cached_property
    def results(self) -> StudyResults:
        """The trials that have a result, as typed records: what results.json is written from."""
        return study_results(self._ledger, "finished" if is_complete(self._ledger) else "interrupted")

    @property
    def best(self) -> int | None:
        """The number of the trial with the best mean of the study's metric; None without a finished one."""
        return None if self.results.best is None else self.results.best.number

    @property
    def baseline(self) -> int | None:
        """The number of the trial that the report compares the others with; None without a finished one."""
        row, _ = choose_baseline(make_rows(self.results), self.record)
        return None if row is None else row.result.number

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial, by its number, also of trials that are not finished.

        Columns: key, status (finished, failed, pruned or unfinished), the hyperparameters, those that the space varies
        first, seconds of training, reason (unless it finished or is unfinished), and of each metric, on the corpus's
        own folds, eer_mean, eer_var_classes, eer_var_folds, with several seeds eer_sd_seeds, and eer/<tag>. With an
        evaluation split eval_eer_mean, eval_eer_var_classes and eval_eer/<tag>; with several partitions their number,
        and over_partitions_eer_mean and so on. A hyperparameter that is called like another column is param_<name>.
        """
        results = {trial.key: trial for trial in self.results.trials}
        rows = {number: self._trial_row(folder, results) for number, folder in self._folders.items()}
        return pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="trial"))

    @cached_property
    def folds(self) -> pd.DataFrame:
        """One row per finished training: trial, partition, fold and seed.

        Columns beside these: best_epoch (from 0), epochs, seconds, and of each metric, on the held-out clips, eer_mean
        and eer/<tag>. Partition 1 is the corpus's own; the seed is that of the study, from which the training's derive.
        """
        names = [*TRAINING, "best_epoch", "epochs", "seconds", *self._flat(self._no_figures, ("mean",))]
        rows = [
            training.labels
            | {name: getattr(training.record, name) for name in ("best_epoch", "epochs", "seconds")}
            | self._flat(training.record.figures, ("mean",))
            for training in self._trainings
        ]
        return pd.DataFrame(rows, columns=names)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per epoch of each finished training, without pretraining.

        Columns: trial, partition, fold, seed, epoch (from 0), train_loss, train_accuracy, val_loss, val_accuracy,
        seconds, and of each metric the mean on the validation clips, val_eer_mean.
        """
        rows = [training.labels | epoch.to_dict() for training in self._trainings for epoch in training.record.history]
        return pd.DataFrame(rows, columns=[*TRAINING, *NO_EPOCH.to_dict()])

    @cached_property
    def mean_curves(self) -> pd.DataFrame:
        """One row per trial and epoch: means over the corpus's own folds and over seeds, as in the report.

        They end where half of the folds have stopped: beyond, a mean would follow the few that train longest.
        """
        histories: dict[int, list[tuple[EpochResult, ...]]] = {}
        for training in self._trainings:
            if training.partition == 1:
                histories.setdefault(training.trial, []).append(training.record.history)
        rows = [{"trial": trial} | epoch.to_dict() for trial, own in histories.items() for epoch in mean_curves(own)]
        return pd.DataFrame(rows, columns=["trial", *NO_EPOCH.to_dict()])

    @overload
    def scores(
        self,
        trial: int | str,
        fold: int | None = None,
        *,
        split: str = "held_out",
        partition: int = 1,
        seed: int | None = None,
        targets: Literal[False] = False,
    ) -> pd.DataFrame: ...

    @overload
    def scores(
        self,
        trial: int | str,
        fold: int | None = None,
        *,
        split: str = "held_out",
        partition: int = 1,
        seed: int | None = None,
        targets: Literal[True],
    ) -> tuple[pd.DataFrame, pd.DataFrame]: ...

    def scores(
        self,
        trial: int | str,
        fold: int | None = None,
        *,
        split: str = "held_out",
        partition: int = 1,
        seed: int | None = None,
        targets: bool = False,
    ) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
        """Read the probabilities that a trial gave to clips: float32, a row per clip by its name, a column per tag.

        Args:
            trial: Its number, or the beginning of its key.
            fold: Whose network gave them. May be left out with the evaluation split: then the mean over the networks
                of all folds, and of all seeds unless one is named, as the study scores this split.
            split: "held_out", the clips of the fold, or "evaluation".
            partition: Of the folds; 1 is the corpus's own.
            seed: One of the study's (`record.seeds`); the first by default.
            targets: Give a second table of the same shape, with 1 where a clip has a tag and 0 where not (uint8); of a
                corpus with unknown labels float32, NaN for them.

        Raises:
            LedgerError: For a trial, a fold, a split, a partition or a seed that the study does not have, a fold that
                is not finished, and files that are missing or damaged.
        """
        record, folder = self.record, self._find_trial(trial)
        _require("split", split, ("held_out", "evaluation"))
        _require("partition", partition, record.partitions_of(folder.key))
        whole = split == "evaluation" and fold is None
        if not whole:
            _require("fold", fold, record.folds)
        if seed is not None:
            _require("seed", seed, record.seeds)
        if split == "evaluation" and not record.corpus.evaluation_targets:
            raise LedgerError(f"The corpus of the study `{self.name}` has no evaluation split.")
        views = folder.for_partition(partition).for_seeds(record.seeds)
        parts = dict(zip(record.seeds, views, strict=True))
        chosen = [parts[seed]] if seed is not None else list(parts.values()) if whole else [parts[record.seeds[0]]]
        folds = record.folds if fold is None else (fold,)
        read = [self._read_scores(part, number, split) for number in folds for part in chosen]
        names, tags = read[0][1], list(record.tags)
        scores = pd.DataFrame(np.mean([values for values, _ in read], axis=0), pd.Index(names, name="clip"), tags)
        if not targets:
            return scores
        return scores, pd.DataFrame(self._targets(split, partition, fold, names), scores.index, tags)

    @cached_property
    def _folders(self) -> dict[int, TrialFolder]:
        return {folder.trial.number: folder for folder in self._ledger.trials()}

    @cached_property
    def _trainings(self) -> list[Training]:
        return [
            training for number, folder in self._folders.items() for training in self._read_trainings(number, folder)
        ]

    def _read_trainings(self, number: int, folder: TrialFolder) -> Iterator[Training]:
        study = self.record
        for partition in study.partitions_of(folder.key):
            views = folder.for_partition(partition).for_seeds(study.seeds)
            for fold in study.folds:
                for seed, view in zip(study.seeds, views, strict=True):
                    if (record := view.read_fold(fold)) is not None:
                        record = with_all_metrics(record, view, self._ledger)
                        yield Training(number, partition, fold, seed, record)

    def _trial_row(self, folder: TrialFolder, results: Mapping[str, TrialResult]) -> dict[str, Any]:
        """A row of `trials`. All rows begin with the same hyperparameters, so that these stand together."""
        result, study = results.get(folder.key), self.record
        ends: dict[str, Any] = {"seconds": math.nan, "reason": None}
        figures: dict[str, Any] = {}
        if result is not None:
            ends = {"seconds": result.seconds, "reason": result.reason}
            figures = self._flat(result.figures, (*SPREADS, *["sd_seeds"] * study.has_several_seeds))
            figures |= self._flat(result.evaluation, ("mean", "var_classes"), "eval_")
            if (over := result.over_partitions) is not None:
                figures |= {"partitions": over.partitions} | self._flat(over.figures, SPREADS, "over_partitions_")
        row = {"key": folder.key, "status": UNFINISHED if result is None else result.status}
        figures = self._flat(self._no_figures, SPREADS) | figures
        own, taken = self._params[folder.key], {*row, *ends, *figures}
        params = {f"param_{name}" if name in taken else name: own.get(name) for name in self._names}
        return row | params | ends | figures

    @cached_property
    def _metrics(self) -> list[str]:
        """The metrics with figures: accuracy, say, has none where clips have several tags. Without a fold all."""
        there = {name for each in self._trainings for name, own in each.record.figures.items() if own.mean is not None}
        return [name for name in METRICS if name in there or name == self.record.metric or not self._trainings]

    @property
    def _no_figures(self) -> dict[str, Figures]:
        return summarise([], self.record.tags)

    def _flat(self, figures: Mapping[str, Figures], spreads: tuple[str, ...], prefix: str = "") -> dict[str, float]:
        """Figures by metric as columns; NaN for one that does not exist."""
        found: dict[str, float | None] = {}
        for name in self._metrics:
            if (own := figures.get(name)) is not None:
                found |= {f"{prefix}{name}_{spread}": getattr(own, spread) for spread in spreads}
                found |= {f"{prefix}{name}/{tag}": figure for tag, figure in own.by_tag.items()}
        return {name: math.nan if figure is None else figure for name, figure in found.items()}

    @cached_property
    def _params(self) -> dict[str, dict[str, Any]]:
        """The hyperparameters that each trial has, by its key."""
        return {folder.key: own_params(folder.trial.config) for folder in self._folders.values()}

    @cached_property
    def _names(self) -> list[str]:
        """The hyperparameters that any trial has, those that the space varies first."""
        there = dict.fromkeys(name for own in self._params.values() for name in own)
        return sorted(there, key=lambda name: name not in self.record.varied)

    def _find_trial(self, trial: int | str) -> TrialFolder:
        if isinstance(trial, str):
            found = [folder for folder in self._folders.values() if folder.key.startswith(trial)]
            if len(found) == 1:
                return found[0]
            there = list_first([folder.key for folder in found or self._folders.values()], 10)
            several = f"{count(len(found), 'trial')} whose keys begin" if found else "no trial whose key begins"
            raise LedgerError(f"The study `{self.name}` has {several} with `{trial}`: its keys are {there}.")
        try:
            return self._folders[operator.index(trial)]
        except (KeyError, TypeError):
            there = list_first([str(number) for number in self._folders], 10) or "none yet"
            raise LedgerError(f"The study `{self.name}` has no trial {trial!r}: its trials are {there}.") from None

    def _read_scores(self, part: TrialFolder, fold: int, split: str) -> tuple[np.ndarray, list[str]]:
        """The scores (n, K) that a fold's network gave, and the names of their clips."""
        where = f"Fold {fold} of the trial {part.key} of the study `{self.name}`"
        if part.read_fold(fold) is None:
            raise LedgerError(
                f"{where} is not finished" + f" in partition {part.partition}" * (part.partition > 1) + "."
            )
        try:
            arrays = part.read_scores(fold, split, f"{split}_clips")
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise LedgerError(f"{where} has damaged scores ({type(error).__name__}): resume the study.") from error
        return arrays[split], arrays[f"{split}_clips"].tolist()

    def _targets(self, split: str, partition: int, fold: int | None, names: list[str]) -> np.ndarray:
        """The targets (n, K) of some clips of a fold, or of the evaluation split."""
        if split == "evaluation":
            labels = self.record.corpus.evaluation_targets
            targets = np.array([labels[name] for name in names], dtype=np.float32)
            return targets if have_unknown(targets) else targets.astype(np.uint8)
        if (clips := self._ledger.clips(partition)) is None:
            raise LedgerError(f"The study `{self.name}` has no usable clips.npz, which holds the targets.")
        assert fold is not None, "only the evaluation split goes without one"
        return clips.held_out(fold, np.array(names)).targets


def load(name: str | Path, *, studies: str | Path = STUDIES) -> Study:
    """Load a study to read its figures, curves and probabilities; it may be unfinished.

    Args:
        name: Its name, or the beginning of it; or the path or URL of its folder.
        studies: The folder of all studies, or its URL, in which a mere name is looked for.

    Raises:
        LedgerError: Where there is no such study, in one line that names those there are, or one that this version
            cannot read.
    """
    if is_url(name):
        studies, _, name = str(name).rstrip("/").rpartition("/")
    path, folder = Path(name).expanduser(), _folder(studies)
    if len(path.parts) != 1 or path.name == "..":
        path = Path(os.path.abspath(path))
        folder = path.parent
    if not study_names(folder):
        raise LedgerError(f"There is no study `{path.name}` in {shown(folder)}, nor any other: name another folder.")
    return Study(Ledger.open(find_study(folder, path.name), keep_damaged=True))


def names(studies: str | Path = STUDIES) -> list[str]:
    """List the names of the studies in a folder, or at a URL, sorted."""
    return study_names(_folder(studies))


def _folder(studies: str | Path) -> Path:
    return folder_of(studies) if is_url(studies) else Path(studies).expanduser().absolute()


def _require(what: str, value: object, allowed: Any) -> None:
    if value not in allowed:
        raise LedgerError(f"The value of `{what}` is {value!r}, but must be one of {', '.join(map(str, allowed))}.")
