"""The trial of a study that is applied to recordings: which one, its fold models, and its thresholds."""

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audiotag.config import TrialConfig
from audiotag.metrics import mean_defined, tag_thresholds
from study.format import decimal, trial_name
from study.ledger.ledger import Ledger
from study.ledger.results import plain, study_results
from study.ledger.schema import StudyRecord, TrialResult
from study.ledger.studies import open_study
from study.ledger.trial_folder import TrialFolder

if TYPE_CHECKING:
    from audiotag.inference.tagger import Tagger


class WinnerError(ValueError):
    """A study without a trial that can be used as asked; the message is one line for the user."""


@dataclass(frozen=True, eq=False)
class Winner:
    """A finished trial, and the number of trials that the study still lacks."""

    ledger: Ledger
    result: TrialResult
    unfinished: int

    @property
    def study(self) -> StudyRecord:
        """Its study."""
        return self.ledger.study

    @property
    def folders(self) -> list[TrialFolder]:
        """The trial's folder as each of the study's seeds sees it."""
        return self.ledger.trial(self.result.key).for_seeds(self.study.seeds)

    @property
    def config(self) -> TrialConfig:
        """The trial's hyperparameters."""
        return TrialConfig.from_dict(self.result.params, self.study.code)

    @property
    def clip_seconds(self) -> float:
        """The length of the clips, or windows of clips, that it was trained with (s)."""
        if self.config.crop_seconds:
            return self.config.crop_seconds
        assert self.study.corpus.clip_seconds is not None, "checked when the winner was found"
        return self.study.corpus.clip_seconds

    def __str__(self) -> str:
        name = trial_name(self.result.params, self.study.varied) or "the trial"
        mean = f"{self.study.objective.mean_title} {decimal(self.result.mean) or 'none'}"
        return f"{name} of {self.study.name} (trial {self.result.key}, {mean})"


def find_winner(studies: Path, name: str, key: str | None = None) -> Winner:
    """The finished trial of a study with the best mean, the first of equals, or the one whose key begins with `key`.

    Raises:
        WinnerError: If there is no such trial, or this version lacks its network or front end.
        LedgerError: If there is no such study, or one that this version cannot read.
    """
    ledger = open_study(studies, name)
    name = ledger.root.name
    results = study_results(ledger, "interrupted")
    finished = results.finished
    if not finished:
        raise WinnerError(f"The study `{name}` has no finished trial: let it go on (study/run.py --resume {name}).")
    if key is not None:
        finished = [trial for trial in finished if trial.key.startswith(key)]
        if len(finished) != 1:
            found = f"{len(finished)} finished trials" if finished else "no finished trial"
            raise WinnerError(
                f"The study `{name}` has {found} whose key begins with `{key}`: take one of its results.json."
            )
    best = min(finished, key=attrgetter("rank"))
    winner = Winner(ledger, best, max(0, ledger.study.trials - len(results.trials)))
    if not _is_known(winner):
        raise WinnerError(
            f"The best trial of the study `{name}` has a network or a front end that this version does not have: "
            "use the version that ran it (`versions` and `git_commit` in its study.json)."
        )
    return winner


def _is_known(winner: Winner) -> bool:
    """Whether this version has the trial's network, front end and length of clips."""
    try:
        front_end = winner.config.front_end.to_dict()
    except ValueError:  # a network or an augmentation that is no longer there
        return False
    return front_end in winner.study.features and winner.study.corpus.clip_seconds is not None


def eer_thresholds(winner: Winner) -> dict[str, float | None]:
    """For each tag the score at which misses equal false alarms: its mean over folds and seeds, on held-out clips.

    None for a tag that no fold can score. The evaluation split has no part in it.

    Raises:
        WinnerError: Where the study does not keep its clips.
    """
    study, clips = winner.study, winner.ledger.clips()
    if clips is None:
        raise WinnerError(
            f"The study `{study.name}` has no usable clips.npz, which thresholds are estimated from: "
            "give one with --threshold."
        )
    by_fold = []
    for fold in study.folds:
        for folder in winner.folders:
            scores = folder.read_scores(fold, "held_out", "held_out_clips")
            by_fold.append(tag_thresholds(clips.held_out(fold, scores["held_out_clips"]).targets, scores["held_out"]))
    means = mean_defined(np.array(by_fold), axis=0)
    return {tag: plain(mean) for tag, mean in zip(study.tags, means, strict=True)}


def fold_taggers(winner: Winner) -> "list[Tagger]":
    """The trial's networks, one per fold and seed."""
    from audiotag.inference.tagger import make_tagger

    study, config = winner.study, winner.config
    return [
        make_tagger(config, config.front_end, study.tags, folder.weights_path(fold))
        for fold in study.folds
        for folder in winner.folders
    ]
