"""Studies made up for the tests of reports: real ledgers, with probabilities from a random generator."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.config import TrialConfig, hyperparameter_names
from audiotag.corpus.labels import as_lists
from audiotag.corpus.layouts.chime_home import EVALUATION
from audiotag.corpus.splits import FIXED
from audiotag.corpus.tables import FIXED_SPLIT, TEST, TRAIN, VALIDATION
from audiotag.features.log_mel import LogMel
from audiotag.metrics import METRICS
from study.ledger.clips import CLIPS_FILE
from study.ledger.ledger import Ledger
from study.ledger.partitions import record_partitions
from study.ledger.results import score, study_results
from study.ledger.saved_state import pack_fold
from study.ledger.schema import (
    Figures,
    FoldRecord,
    FoldResult,
    StudyRecord,
    StudyResults,
    TrialResult,
    read_record,
)
from study.stats.analysis import Analysis, compare
from study.stats.rows import choose_baseline, make_row

TAGS = ("c", "m", "f", "v", "p", "b", "o")
SMALL = {"groups": 12, "clips": 5, "tags": 2, "folds": 3}  # of make_corpus
SHARES = (0.6, 0.1, 0.2, 0.6, 0.4, 0.15, 0.2)  # of clips with each tag
ALPHAS = [{"augmentation": "mixup", "alpha": alpha} for alpha in (0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 5.0)]


def make_corpus(
    seed: int = 0, groups: int = 40, clips: int = 6, tags: int = 7, folds: int = 5, evaluation: int = 0
) -> dict[str, np.ndarray]:
    """The content of clips.npz: groups of clips that lean to the same tags, groups dealt to folds in turn."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), clips)
    lean = rng.normal(size=(groups, tags))[group]
    targets = (rng.normal(size=lean.shape) + 0.5 * lean < _quantile(SHARES[:tags])).astype(np.uint8)
    fold = np.where(group < groups - evaluation, group % folds, EVALUATION)
    names = np.array([f"clip_{number:05}" for number in range(len(group))])
    return {"names": names, "targets": targets, "folds": fold, "groups": group}


def hide_labels(corpus: dict[str, np.ndarray], share: float = 0.3, seed: int = 5) -> dict[str, np.ndarray]:
    """The same corpus with a share of the labels of its first tag unknown."""
    targets = corpus["targets"].astype(np.float32)
    targets[np.random.default_rng(seed).random(len(targets)) < share, 0] = np.nan
    return corpus | {"targets": targets}


def make_fixed_corpus(seed: int = 0, groups: int = 60, clips: int = 4, tags: int = 3) -> dict[str, np.ndarray]:
    """The content of clips.npz of a corpus with one fixed split: 60, 20 and 20 % of the groups."""
    corpus = make_corpus(seed, groups, clips, tags)
    part = corpus["groups"] % 5
    return corpus | {"folds": np.select([part < 3, part == 3], [TRAIN, VALIDATION], TEST)}


def make_fixed_study(root: Path, configs: list[dict[str, Any]], *, repeats: int = 3, **options: Any) -> Ledger:
    """A study on a corpus with one fixed split."""
    corpus = options.pop("corpus", None) or make_fixed_corpus()
    sizes = {name: int((corpus["folds"] == number).sum()) for name, number in FIXED_SPLIT.items()}
    options = {"protocol": FIXED, "repeats": repeats, "corpus_record": {"split": sizes}, **options}
    return make_study(root, configs, corpus=corpus, **options)


def divide_anew(corpus: dict[str, np.ndarray], partition: int) -> np.ndarray:
    """Folds of a partition other than the corpus's own: groups dealt in a random order."""
    group, fold = corpus["groups"], corpus["folds"]
    names = np.unique(fold[fold != EVALUATION])
    dealt = np.random.default_rng((4, partition)).permutation(int(group.max()) + 1) % len(names)
    return np.where(fold == EVALUATION, EVALUATION, names[dealt[group]])


def request_of(
    root: Path,
    configs: list[dict[str, Any]],
    corpus: dict[str, np.ndarray],
    tags: tuple[str, ...],
    folds: list[int],
    epochs: int,
    kind: str,
) -> dict[str, Any]:
    """The content of study.json."""
    evaluation = corpus["folds"] == EVALUATION
    labels = as_lists(corpus["targets"][evaluation])
    rows = {str(name): row for name, row in zip(corpus["names"][evaluation], labels, strict=True)}
    return {
        "study": root.name,
        "id": hashlib.sha256(root.name.encode()).hexdigest()[:32],
        "space": "mixup_alpha",
        "space_fingerprint": "fedcba9876543210",
        "question": "How strong should mixup be?\n\nFrom none to much, all else equal.",
        "sampler": "exhaustive",
        "varied": sorted({name for config in configs for name in config}, key=_column),
        "ranges": {},
        "baseline": None,
        "trials": len(configs),
        "corpus": {
            "name": "made_up",
            "kind": kind,
            "path": "/nowhere/made_up",
            "fingerprint": "0123456789abcdef",
            "tags": list(tags),
            "folds": folds,
            "development_clips": int((~evaluation).sum()),
            "evaluation_clips": int(evaluation.sum()),
            "evaluation_targets": rows,
            "clip_seconds": 4.0,
        },
        "seed": 0,
        "protocol": "paper",
        "left_out": [],
        "settings": {"crnn": {"max_epochs": epochs}},
        "features": [LogMel().to_dict()],
        "versions": {"python": "3.11.8", "torch": "2.11.0"},
        "git_commit": "0" * 40,
        "command": f"python study/run.py --space mixup_alpha --name {root.name}",
        "created": "2026-01-01T00:00:00+00:00",
    }


def make_study(
    root: Path,
    configs: list[dict[str, Any]] | None = None,
    *,
    corpus: dict[str, np.ndarray] | None = None,
    finished: int | None = None,
    epochs: int = 6,
    gains: list[float] | None = None,
    tags: tuple[str, ...] | None = None,
    with_clips: bool = True,
    prefix: str = "key",
    kind: str = "folder",
    corpus_record: dict[str, Any] | None = None,
    written: Collection[str] | None = None,
    partitions: int = 1,
    **study: Any,
) -> Ledger:
    """A study whose first `finished` trials (default: all) have every fold of every partition.

    `gains`, one per trial, add to the separation of the tags' scores: more is a lower EER. `written` names the metrics
    that the folds' records have, as of an earlier version; `corpus_record` is what the corpus's record has instead.
    """
    configs = ALPHAS if configs is None else configs
    corpus = make_corpus() if corpus is None else corpus
    tags = TAGS[: corpus["targets"].shape[1]] if tags is None else tags
    folds = sorted(int(fold) for fold in np.unique(corpus["folds"]) if fold >= 0)
    content = request_of(root, configs, corpus, tags, folds, epochs, kind)
    content["corpus"] |= corpus_record or {}
    record = read_record(StudyRecord, content | study)
    drawn = record_partitions([divide_anew(corpus, number) for number in range(2, partitions + 1)], record.seed)
    ledger = Ledger.create(root, replace(record, drawn=drawn))
    if with_clips:
        np.savez(root / CLIPS_FILE, **corpus)
    for number, config in enumerate(configs):
        ledger.trial(f"{prefix}{number:04}").write_trial(
            number, TrialConfig.from_dict({**config, "max_epochs": epochs}).to_dict()
        )
    for number in range(len(configs) if finished is None else finished):
        gain = gains[number] if gains else 0.1 * (number % 3)
        for partition, fold, repeat in product(ledger.study.partitions, folds, range(study.get("repeats", 1))):
            key = f"{prefix}{number:04}"
            finish_fold(ledger, key, number, fold, corpus, tags, epochs, gain, repeat, written, partition)
    return ledger


def finish_fold(
    ledger: Ledger,
    key: str,
    number: int,
    fold: int,
    corpus: dict[str, np.ndarray],
    tags: tuple[str, ...],
    epochs: int,
    gain: float,
    repeat: int = 0,
    written: Collection[str] | None = None,
    partition: int = 1,
) -> None:
    """Write a fold: scores that trials share but for a little noise of their own, and a plausible history."""
    divided = corpus["folds"] if partition == 1 else ledger.study.clip_folds(partition)
    parts = {"held_out": divided == fold, "evaluation": divided == EVALUATION}
    more = [repeat, partition] if partition > 1 else [repeat] * (repeat > 0)
    scores = {}
    for name, mask in parts.items():
        hard = [fold, *more[1:]] if name == "held_out" else [99]  # clips are hard for every trial, or every fold
        shared = np.random.default_rng((1, *hard))
        own = np.random.default_rng((2, number, fold, *more))
        targets = np.nan_to_num(corpus["targets"][mask])
        noise = shared.normal(size=targets.shape) + 0.3 * own.normal(size=targets.shape)
        scores[name] = (1 / (1 + np.exp(1 - (1.8 + gain) * targets - noise))).astype(np.float32)
        scores[f"{name}_clips"] = corpus["names"][mask]
    whole = score(corpus["targets"][parts["held_out"]], scores["held_out"], tags)
    figures = {name: part for name, part in whole.items() if written is None or name in written}
    rng = np.random.default_rng((3, number, fold, *more))
    rows = []
    best = max(0, epochs - 2)
    for epoch in range(epochs):
        fall = float(np.exp(-3 * epoch / epochs))
        row = {
            "epoch": epoch,
            "train_loss": 0.2 + 0.4 * fall + 0.01 * rng.normal(),
            "train_accuracy": 0.92 - 0.3 * fall,
            "val_loss": 0.3 + 0.3 * fall + (0.01 * (epoch - best) ** 2 if epoch > best else 0.0),
            "val_accuracy": 0.88 - 0.25 * fall,
            "seconds": 1.5,
        }
        away = 0.2 * abs(epoch - best) / epochs
        values = {name: part.mean and part.mean + METRICS[name].sign * away for name, part in figures.items()}
        rows.append(row | {f"val_{name}_mean": value for name, value in values.items()})
    folder = ledger.trial(key).for_partition(partition).for_seeds(ledger.study.seeds)[repeat]
    record = FoldRecord(fold, figures, best, epochs, 1.5 * epochs, tuple(rows), (), folder.trial)
    folder.write_fold(record, pack_fold(scores, {}))


def with_results(ledger: Ledger, status: str = "finished") -> StudyResults:
    """The study's results, written."""
    results = study_results(ledger, status)
    ledger.write_results(results.to_json())
    return results


def analysis_of(
    ledger: Ledger, configs: list[dict[str, Any]], means: np.ndarray, failed: Collection[int] = (), **study: Any
) -> Analysis:
    """The analysis of trials with these means of the objective, (trials, folds), but for those that failed."""
    varied = tuple(dict.fromkeys(name for config in configs for name in config))
    corpus = replace(ledger.study.corpus, folds=tuple(range(1, means.shape[1] + 1)))
    record = replace(ledger.study, varied=varied, corpus=corpus, **study)
    trials = []
    for number, (config, own) in enumerate(zip(configs, means.tolist(), strict=True)):
        by_fold = [{record.metric: Figures({}, None if np.isnan(mean) else mean)} for mean in own]
        folds = [FoldResult(fold, figures, 0, 1, 1.0) for fold, figures in enumerate(by_fold, 1)]
        figures, status = {record.metric: Figures({}, float(np.nanmean(own)))}, "finished"
        if number in failed:
            folds, figures, status = [], {record.metric: Figures({}, None)}, "failed"
        params = TrialConfig.from_dict(config).to_dict()
        trial = TrialResult(f"key{number}", number, params, status, 1.0, figures, objective=record.objective)
        trials.append(replace(trial, folds=tuple(folds)))
    rows = [make_row("s", trial, varied) for trial in trials if trial.status == "finished"]
    baseline, reason = choose_baseline(rows, record)
    compare(rows, baseline, record)
    return Analysis(ledger, StudyResults(record, "finished", tuple(trials)), [], rows, baseline, reason, rows)


def _column(name: str) -> tuple[int, str]:
    """The place of a hyperparameter in tables; "mixup.alpha" of a chain stands where alpha does."""
    return hyperparameter_names().index(name.rpartition(".")[2]), name


def _quantile(shares: tuple[float, ...]) -> np.ndarray:
    from scipy.special import ndtri

    return np.sqrt(1.25) * ndtri(np.array(shares))
