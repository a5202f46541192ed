"""Helper: a trial of two folds on thirty made-up clips that trains in a moment, its reports, and all that it leaves."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audiotag.augment.variants import Variants
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import EVALUATION, Corpus
from audiotag.corpus.partitions import draw_partitions
from helpers.small_study import STUDY
from study.ledger.context import StudyContext
from study.ledger.keeper import TrialKeeper
from study.ledger.ledger import trial_folder
from study.ledger.partitions import record_partitions
from study.ledger.progress import Report
from study.ledger.trial_folder import TrialFolder
from study.tuning.features import TrialFeatures
from study.tuning.fold_training import SaveTimes
from study.tuning.trial import trial_reports

CLIPS, TAGS, FOLDS, SEED = 30, ("a", "b"), (0, 1), 5
PARAMETERS = {"augmentation": "mixup", "alpha": 1.0}
EACH_EPOCH = SaveTimes(0.0)
CONFIG = TrialConfig.from_dict(PARAMETERS | {"max_epochs": 3, "batch_size": 8, "gru_units": 4})


def make_corpus() -> Corpus:
    rng = np.random.default_rng(0)
    folds = np.arange(CLIPS) % 2
    folds[24:] = EVALUATION
    names = tuple(f"clip {number}" for number in range(CLIPS))
    targets = rng.integers(0, 2, (CLIPS, 2)).astype(np.float32)
    targets[:4] = [[0, 0], [0, 0], [1, 1], [1, 1]]  # both classes in both folds
    paths = tuple(Path(name) for name in names)
    return Corpus(
        name="made_up",
        kind="folder",
        root=Path(),
        tags=TAGS,
        clips=names,
        paths=paths,
        targets=targets,
        folds=folds,
        groups=np.array(names),
        clip_seconds=1.0,
    )


def make_features() -> np.ndarray:
    """(N, T, M)."""
    noise = np.random.default_rng(1).normal(size=(CLIPS, 6, 8))
    return (noise + make_corpus().targets.sum(axis=1)[:, None, None]).astype(np.float32)


def make_context(
    repeats: int = 1, protocol: str = "paper", seed: int = SEED, metric: str = "eer", partitions: int = 1
) -> StudyContext:
    drawn = record_partitions(draw_partitions(make_corpus(), seed, partitions), seed)
    corpus = replace(STUDY.corpus, folds=FOLDS)
    study = replace(STUDY, seed=seed, protocol=protocol, repeats=repeats, metric=metric, drawn=drawn, corpus=corpus)
    return StudyContext(study)


def make_folder(root: Path, name: str = "s", config: TrialConfig = CONFIG) -> TrialFolder:
    folder = trial_folder(root / name, "key")
    folder.write_trial(0, config.to_dict())
    return folder


def reports(
    folder: TrialFolder,
    features: np.ndarray | None = None,
    config: TrialConfig = CONFIG,
    variants: Variants | None = None,
    corpus: Corpus | None = None,
    save_times: SaveTimes = EACH_EPOCH,
    **context: Any,
) -> Iterator[Report]:
    values, clips = make_features() if features is None else features, corpus or make_corpus()
    study = make_context(**context)
    divided = replace(study.study.corpus, folds=clips.fold_numbers)
    study = StudyContext(replace(study.study, corpus=divided))
    keeper = TrialKeeper(folder, study.study)
    return trial_reports(config, keeper, study, clips, TrialFeatures(values, variants), "cpu", save_times)


def train(
    config: TrialConfig, folder: TrialFolder, context: StudyContext, corpus: Corpus, features: TrialFeatures
) -> None:
    """Train a trial to its end."""
    keeper = TrialKeeper(folder, context.study)
    for _ in trial_reports(config, keeper, context, corpus, features, "cpu", EACH_EPOCH):
        pass


def content(folder: TrialFolder) -> list[Any]:
    """All that a finished trial holds, without the clock's figures."""
    held: list[Any] = []
    for fold in FOLDS:
        record = folder.read_fold(fold)
        assert record is not None
        weights = torch.load(folder.weights_path(fold), weights_only=True)
        held += [record.figures, record.best_epoch]
        held += [{name: value for name, value in row.items() if name != "seconds"} for row in record.epoch_rows]
        held += [{name: values.tolist() for name, values in folder.read_scores(fold).items()}]
        held += [{name: values.numpy().tobytes() for name, values in weights.items()}]
    return held


def broken_off(begin: Callable[[TrialFolder], Iterator[Report]], folder: TrialFolder, stop: int) -> list[Report]:
    """The reports of a trial that is broken off after so many of them and then continued."""
    first = begin(folder)
    before = [next(first) for _ in range(stop)]
    first.close()  # type: ignore[attr-defined]
    return [*before, *begin(folder)]
