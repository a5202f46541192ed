"""The trial of a study that is used from now on: which one, its fold models, and from what score on a tag is heard."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from audiotag.metrics import mean_defined, tag_thresholds
from audiotag.models.build import front_end
from study.format import decimal, trial_name
from study.ledger.clips import read_clips
from study.ledger.ledger import STUDY_FILE, Ledger, TrialFolder
from study.ledger.results import plain, study_results
from study.ledger.seeds import seeds_of

if TYPE_CHECKING:
    from audiotag.inference.tagger import Tagger


class WinnerError(ValueError):
    """A study without a trial that can be used as asked; the message is one line for the user."""


@dataclass(frozen=True)
class Winner:
    """A finished trial, with its entry in results.json and the number of those that the study still lacks."""

    ledger: Ledger
    study: dict[str, Any]
    result: dict[str, Any]
    unfinished: int

    @property
    def folders(self) -> list[TrialFolder]:
        """The trial's folder as each of the study's seeds sees it."""
        return self.ledger.trial(self.result["key"]).repeats(seeds_of(self.study))

    @property
    def config(self) -> TrialConfig:
        """The trial's hyperparameters."""
        return TrialConfig.from_dict(self.result["params"])

    @property
    def front_end(self) -> LogMel:
        """What its networks hear."""
        return front_end(self.config)

    @property
    def tags(self) -> list[str]:
        """The names of the K tags."""
        return list(self.study["corpus"]["tags"])

    @property
    def folds(self) -> list[int]:
        """The numbers of the folds, each of which has a network for each seed."""
        return list(self.study["corpus"]["folds"])

    @property
    def clip_seconds(self) -> float:
        """The length of the clips that it was trained with (s)."""
        return float(self.study["corpus"]["clip_seconds"])

    def __str__(self) -> str:
        name = trial_name(self.result["params"], self.study["varied"]) or "the trial"
        eer = decimal(self.result["eer_mean"]) or "none"
        return f"{name} of {self.study['study']} (trial {self.result['key']}, mean EER {eer})"


def find_winner(studies: Path, name: str, key: str | None = None) -> Winner:
    """The finished trial of a study with the lowest mean EER, the first of equals, or the one whose key begins so.

    Raises:
        WinnerError: when there is no such study or trial, or its front end is not what it was trained with.
        LedgerError: for a study that this version cannot read.
    """
    ledger = open_study(studies, name)
    study = ledger.study()
    trials = study_results(ledger, "interrupted")["trials"]
    finished = [trial for trial in trials if trial["status"] == "finished"]
    if not finished:
        raise WinnerError(f"The study `{name}` has no finished trial: let it go on (study/run.py --resume {name}).")
    if key is not None:
        finished = [trial for trial in finished if trial["key"].startswith(key)]
        if len(finished) != 1:
            found = f"{len(finished)} finished trials" if finished else "no finished trial"
            raise WinnerError(
                f"The study `{name}` has {found} whose key begins with `{key}`: take one of its results.json."
            )
    best = min(finished, key=lambda trial: 1.0 if trial["eer_mean"] is None else trial["eer_mean"])
    winner = Winner(ledger, study, best, max(0, study["trials"] - len(trials)))
    if winner.front_end.to_dict() not in study["features"] or "clip_seconds" not in study["corpus"]:
        raise WinnerError(
            f"The networks of the study `{name}` were trained with another front end than this version has: "
            "use the version that ran it (`versions` and `git_commit` in its study.json)."
        )
    return winner


def open_study(studies: Path, name: str) -> Ledger:
    """A study that is there.

    Raises:
        WinnerError: where there is none of that name; it names those that come near.
        LedgerError: for one that this version cannot read.
    """
    if not (studies / name / STUDY_FILE).is_file():
        names = sorted(path.parent.name for path in studies.glob(f"*/{STUDY_FILE}"))
        near = get_close_matches(Path(name).name, names, n=3, cutoff=0.4)
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        there = f"the studies there are {listed}" if names else "there is none; --studies names another place"
        hint = f"did you mean {' or '.join(near)}?" if near else f"{there}."
        raise WinnerError(f"There is no study `{name}` in {studies}: {hint}")
    return Ledger.open((studies / name).absolute())


def eer_thresholds(winner: Winner) -> dict[str, float | None]:
    """For each tag the score at which misses equal false alarms: its mean over folds and seeds, on held-out clips.

    None for a tag that no fold can score. The evaluation split has no part in it.

    Raises:
        WinnerError: where the study does not keep its clips.
    """
    clips = read_clips(winner.ledger.root)
    if clips is None:
        raise WinnerError(
            f"The study `{winner.study['study']}` has no usable clips.npz, which thresholds are estimated from: "
            "give one with --threshold."
        )
    by_fold = []
    for fold in winner.folds:
        for folder in winner.folders:
            scores = folder.scores(fold)
            by_fold.append(tag_thresholds(clips.held_out(fold, scores["held_out_clips"]).targets, scores["held_out"]))
    means = mean_defined(np.array(by_fold), axis=0)
    return {tag: plain(mean) for tag, mean in zip(winner.tags, means, strict=True)}


def fold_taggers(winner: Winner) -> "list[Tagger]":
    """The trial's networks, one a fold and seed."""
    from audiotag.inference.tagger import make_tagger

    return [
        make_tagger(winner.config, winner.front_end, tuple(winner.tags), folder.weights_path(fold))
        for fold in winner.folds
        for folder in winner.folders
    ]
