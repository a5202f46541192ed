"""Which held-out clips are worth hearing: a row's worst mistakes, and those on which two rows disagree most.

A mistake is judged by the threshold of the clip's own fold, at which misses equal false alarms there, and its size is
the distance to it in log-odds. Shapes: N clips, K tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from audiotag.metrics import tag_thresholds

Kind = Literal["missed", "false alarm", "only the first", "only the second"]
KINDS: tuple[Kind, ...] = ("missed", "false alarm", "only the first", "only the second")
SMALLEST = 1e-7  # a score at least so far from 0 and 1 has finite log-odds


@dataclass(frozen=True, eq=False)
class ScoredClips:
    """A row's held-out clips.

    Attributes:
        targets: (N, K) of 0 and 1; NaN where it is unknown whether a clip has the tag, which is no mistake.
        scores: (N, K).
        thresholds: (N, K), each clip's of its fold; NaN where a fold has clips of one class only.
    """

    targets: np.ndarray
    scores: np.ndarray
    thresholds: np.ndarray

    @cached_property
    def distances(self) -> np.ndarray:
        """How far each score is above its threshold, in log-odds, (N, K)."""
        return _log_odds(self.scores) - _log_odds(self.thresholds)

    @property
    def missed(self) -> np.ndarray:
        """Where a clip has the tag and scores below its threshold, (N, K) bool."""
        return (self.targets > 0) & (self.scores < self.thresholds)

    @property
    def false_alarms(self) -> np.ndarray:
        """Where a clip lacks the tag and scores at its threshold or above, (N, K) bool."""
        return (self.targets == 0) & (self.scores >= self.thresholds)

    @property
    def wrong(self) -> np.ndarray:
        """Where either is so, (N, K) bool."""
        return self.missed | self.false_alarms


@dataclass(frozen=True)
class Choice:
    """A clip that is worth hearing for a tag; those of a smaller rank come first where there is no room for all."""

    rank: int
    kind: Kind
    tag: int
    clip: int


def fold_thresholds(targets: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The threshold of each clip's fold (N,) for each tag, (N, K); NaN where the fold has one class only."""
    thresholds = np.full(scores.shape, np.nan)
    for fold in np.unique(folds):
        members = folds == fold
        thresholds[members] = tag_thresholds(targets[members], scores[members])
    return thresholds


def choose_mistakes(row: ScoredClips, most: int) -> list[Choice]:
    """For each tag the `most` worst misses and the `most` worst false alarms; of equal ones the first clips."""
    found: list[Choice] = []
    kinds: tuple[tuple[Kind, np.ndarray], ...] = (("missed", row.missed), ("false alarm", row.false_alarms))
    for kind, mistakes in kinds:
        for tag in range(mistakes.shape[1]):
            worst = _largest(np.abs(row.distances[:, tag]), mistakes[:, tag], most)
            found += [Choice(rank, kind, tag, clip) for rank, clip in enumerate(worst)]
    return found


def choose_disagreements(first: ScoredClips, second: ScoredClips, most: int) -> list[Choice]:
    """The clips and tags, `most` of each kind, that only the first row gets right, and only the second.

    Those come first whose distances to the thresholds differ most; no clip is there twice for one kind. Two of a kind
    have the rank of one mistake per tag.
    """
    gaps, found = np.abs(first.distances - second.distances), list[Choice]()
    kinds: tuple[tuple[Kind, np.ndarray], ...] = (
        ("only the first", second.wrong & ~first.wrong),
        ("only the second", first.wrong & ~second.wrong),
    )
    for kind, cells in kinds:
        order = _largest(gaps.ravel(), cells.ravel(), cells.size)
        places = [divmod(cell, cells.shape[1]) for cell in order]
        tags = dict(reversed(places))  # of each clip the tag with the largest gap
        clips = list(dict.fromkeys(clip for clip, _ in places))[:most]
        found += [Choice(number // 2, kind, tags[clip], clip) for number, clip in enumerate(clips)]
    return found


def by_clip(choices: Sequence[Choice]) -> list[int]:
    """The chosen clips, each once, the most important first."""
    ordered = sorted(choices, key=lambda one: (one.rank, KINDS.index(one.kind), one.tag))
    return list(dict.fromkeys(choice.clip for choice in ordered))


def _largest(sizes: np.ndarray, among: np.ndarray, most: int) -> list[int]:
    """The places of the `most` largest sizes (n,) among some, largest first."""
    places = np.flatnonzero(among)
    return places[np.argsort(-sizes[places], kind="stable")][:most].tolist()


def _log_odds(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(clipped / (1 - clipped))
