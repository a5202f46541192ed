"""The held-out clips of a study: how its rows scored them, and what the models of their own folds make of the sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audiotag.config import network
from audiotag.corpus.corpus import Corpus
from audiotag.features.load import ClipAudio, clip_audio
from audiotag.features.log_mel import log_mel
from audiotag.inference.recordings import Clip
from audiotag.training.windows import Windows, make_windows
from study.ledger.ledger import Ledger
from study.listening.choice import ScoredClips, fold_thresholds
from study.tagging.curves import COLUMNS, Track
from study.tagging.winner import Winner

if TYPE_CHECKING:
    from audiotag.inference.tagger import Tagger


class ListenError(ValueError):
    """A study of which no page can be made as asked; the message is one line for the user."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The N clips of a study that are held out in some fold: names (N,), targets (N, K) and folds (N,)."""

    names: np.ndarray
    targets: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True, eq=False)
class Heard:
    """A clip as its own fold's models hear it: its waveform (S,) or (2, S), and its scores (K,), means over seeds.

    `track` has its spectrogram and its curves, which are zero where the network has none (`has_curves`).
    """

    wave: np.ndarray
    scores: np.ndarray
    track: Track
    has_curves: bool


def read_held_out(ledger: Ledger) -> HeldOut:
    """The held-out clips of the study's own folds, in the order of its corpus.

    Raises:
        ListenError: Where the study does not keep its clips.
    """
    if (clips := ledger.clips()) is None:
        name = ledger.study.name
        raise ListenError(
            f"The study `{name}` has no usable clips.npz with the tags of its clips: `study/run.py --resume {name}` "
            "adds it where the corpus still is."
        )
    members = np.flatnonzero(np.isin(clips.folds, ledger.study.folds))
    return HeldOut(clips.names[members], clips.targets[members], clips.folds[members])


def read_scored(ledger: Ledger, key: str, clips: HeldOut) -> ScoredClips:
    """A row's scores of the held-out clips, means over the study's seeds, with the thresholds of their folds.

    Raises:
        ListenError: Where they do not fit.
    """
    places = {name: place for place, name in enumerate(clips.names.tolist())}
    scores = np.full(clips.targets.shape, np.nan)
    folders = ledger.trial(key).for_seeds(ledger.study.seeds)
    for fold in ledger.study.folds:
        found = [folder.read_scores(fold, "held_out", "held_out_clips") for folder in folders]
        try:
            order = [places[name] for name in found[0]["held_out_clips"].tolist()]
            scores[order] = np.mean([own["held_out"] for own in found], axis=0)
        except (KeyError, ValueError) as error:
            raise ListenError(
                f"The scores of fold {fold} of the trial {key} do not fit the clips of the study "
                f"`{ledger.study.name}` ({error}): put back a copy of its clips.npz."
            ) from None
    if np.isnan(scores).any():
        raise ListenError(f"The trial {key} of the study `{ledger.study.name}` has no scores of some held-out clips.")
    return ScoredClips(clips.targets, scores, fold_thresholds(clips.targets, scores, clips.folds))


class FoldModels:
    """The models of a row, each applied to clips that it was not trained on."""

    def __init__(self, winner: Winner, corpus: Corpus) -> None:
        self._winner, self._corpus = winner, corpus
        self._places = {name: place for place, name in enumerate(corpus.clips)}
        self._taggers: dict[int, list[Tagger]] = {}

    @property
    def has_curves(self) -> bool:
        """Whether the row's network has curves over time."""
        config = self._winner.config
        return network(config.model, config.code).has_curves

    @cached_property
    def _audio(self) -> ClipAudio:
        return clip_audio(self._corpus, self._winner.config.front_end)

    @cached_property
    def _windows(self) -> Windows | None:
        return make_windows(self._winner.config, self._corpus)

    def path(self, name: str) -> Path:
        """The file of a clip."""
        return self._audio.files[self._places[name]]

    def hear(self, names: Sequence[str], folds: Sequence[int]) -> list[Heard]:
        """Apply to each clip the models of the fold in which it is held out.

        Raises:
            AudioError: For a clip that cannot be read.
        """
        front_end, has_curves = self._winner.config.front_end, self.has_curves
        waves = np.stack([self._audio.read(self._places[name]) for name in names])
        features = log_mel(waves, front_end)
        heard: dict[int, Heard] = {}
        for fold in set(folds):
            members = np.flatnonzero(np.array(folds) == fold)
            taggers, batch = self._of_fold(fold), features[members]
            places = np.array([self._places[names[member]] for member in members.tolist()])
            windows = None if self._windows is None else self._windows.of(places)
            scores = np.mean([tagger.score(batch, windows) for tagger in taggers], axis=0)  # (B, K)
            curves = np.zeros((*batch.shape[:2], scores.shape[1]))
            if has_curves:
                curves = np.mean([tagger.curves(batch) for tagger in taggers], axis=0)  # (B, T', K)
            for clip, own, lines in zip(members.tolist(), scores, curves, strict=True):
                track = Track(min(features.shape[1], COLUMNS))
                seconds = waves.shape[-1] / front_end.sample_rate
                track.add(Clip(0.0, seconds, waves[clip]), features[clip], lines, front_end)
                heard[clip] = Heard(waves[clip], own, track, has_curves)
        return [heard[clip] for clip in range(len(names))]

    def _of_fold(self, fold: int) -> "list[Tagger]":
        from audiotag.inference.tagger import make_tagger

        if fold not in self._taggers:
            config, tags = self._winner.config, self._winner.study.tags
            paths = [folder.weights_path(fold) for folder in self._winner.folders]
            self._taggers[fold] = [make_tagger(config, config.front_end, tags, path) for path in paths]
        return self._taggers[fold]
