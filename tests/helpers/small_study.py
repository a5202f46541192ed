"""A helper of tests: the record of a study of two tags and two folds, and finished folds of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from study.ledger.ledger import Ledger
from study.ledger.saved_state import pack_fold
from study.ledger.schema import CorpusRecord, Figures, FoldRecord, StudyRecord
from study.ledger.trial_folder import TrialFolder

TAGS = ("a", "b")
CORPUS = CorpusRecord("own", "f00d", TAGS, (1, 2), {})
STUDY = StudyRecord(
    name="s",
    id="0" * 32,
    space="mixup_alpha",
    space_fingerprint="0" * 16,
    question="How strong?",
    protocol="paper",
    created="2026-01-01T00:00:00+00:00",
    trials=2,
    seed=3,
    corpus=CORPUS,
    settings={},
    varied=("alpha",),
    left_out=(),
    features=(),
)


def study_with(**corpus: Any) -> StudyRecord:
    """The study on another corpus."""
    return replace(STUDY, corpus=replace(CORPUS, **corpus))


def fold_record(folder: TrialFolder, fold: int, a: float | None, b: float | None, seed: int = 4) -> FoldRecord:
    """A finished fold with these EERs; its epochs and seconds differ from seed to seed."""
    defined = [value for value in (a, b) if value is not None]
    figures = {"eer": Figures({"a": a, "b": b}, sum(defined) / len(defined) if defined else None)}
    return FoldRecord(fold, figures, seed, 2 * seed, 10.0 * fold + seed, (), (), folder.trial)


def finish_trial(
    ledger: Ledger, key: str, number: int, eers: dict[int, tuple[float | None, float | None]], evaluation: Any = None
) -> None:
    """A trial with these folds; `evaluation` gives each fold's scores of the evaluation split."""
    folder = ledger.trial(key)
    folder.write_trial(number, {"alpha": float(number)})
    for fold, pair in eers.items():
        scores = {"held_out": np.zeros((1, 2), np.float32)}
        scores |= {} if evaluation is None else {"evaluation": evaluation[fold]}
        folder.write_fold(fold_record(folder, fold, *pair), pack_fold(scores, {"w": torch.zeros(1)}))
