"""A study's winner applied to recordings: cut into clips, scored in batches by the mean of the fold models."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from audiotag.audio.probe import audio_doubt, audio_seconds
from audiotag.audio.read import AudioError
from audiotag.cli import progress_bar
from audiotag.features.log_mel import log_mel
from audiotag.inference.recordings import Clip, Cutting, cut_recording
from audiotag.metrics import EER
from study.tagging.winner import Winner, fold_taggers

BATCH = 64  # clips that are scored at a time

Watcher = Callable[[Path, Clip, np.ndarray, np.ndarray], None]


@dataclass(frozen=True, eq=False)
class TaggedClip:
    """A piece of a recording (s) and the probability of each tag in it, (K,) float32."""

    path: Path
    start: float
    end: float
    probabilities: np.ndarray


@dataclass(eq=False)
class Tagged:
    """Tagged recordings: their clips in order, what may be wrong with some, and why some could not be tagged."""

    clips: list[TaggedClip] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    doubts: dict[Path, str] = field(default_factory=dict)


def tag_recordings(
    winner: Winner, paths: Sequence[Path], cutting: Cutting, console: Console, watch: Watcher | None = None
) -> Tagged:
    """Score each clip of some recordings by the mean of the winner's fold models; a broken recording has no clips.

    `watch` is called with each clip as it is tagged: its path, the clip, its features (T, columns) and the mean curves
    of its tags (T', K).
    """
    taggers, tagged = fold_taggers(winner), Tagged()
    clips = _clips(paths, cutting, tagged)
    with progress_bar(console) as bar:
        total = sum(map(_seconds, paths)) if console.is_terminal else 0.0
        task = bar.add_task("Tagging (seconds of audio)", total=round(total))
        while batch := list(islice(clips, BATCH)):
            features = log_mel(np.stack([clip.waveform for _, clip in batch]), cutting.front_end)
            scores = np.mean([tagger.score(features) for tagger in taggers], axis=0)
            for (path, clip), values, probabilities in zip(batch, features, scores, strict=True):
                tagged.clips.append(TaggedClip(path, clip.start, clip.end, probabilities))
                if not np.isfinite(values).all():
                    tagged.failed.setdefault(path, "it is too loud for float32, scale it down")
            if watch is not None:
                curves = np.mean([tagger.curves(features) for tagger in taggers], axis=0)
                for (path, clip), values, lines in zip(batch, features, curves, strict=True):
                    watch(path, clip, values, lines)
            bar.advance(task, sum(clip.end - clip.start for _, clip in batch))
    tagged.clips = [clip for clip in tagged.clips if clip.path not in tagged.failed]
    return tagged


def _seconds(path: Path) -> float:
    try:
        return audio_seconds(path)
    except AudioError:
        return 0.0


def _clips(paths: Iterable[Path], cutting: Cutting, tagged: Tagged) -> Iterator[tuple[Path, Clip]]:
    """The clips of all recordings in turn; what cannot be read, and what is doubtful, is noted in `tagged`."""
    for path in paths:
        try:
            for clip in cut_recording(path, cutting):
                yield path, clip
            if doubt := audio_doubt(path):
                tagged.doubts[path] = doubt
        except AudioError as error:
            tagged.failed[path] = error.reason


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """What tells some files from each other: their paths below the deepest folder that holds all of them."""
    places = {path: os.path.abspath(path) for path in paths}
    common = os.path.commonpath([os.path.dirname(place) for place in places.values()]) if places else ""
    return {path: os.path.relpath(place, common) for path, place in places.items()}


def by_recording(tagged: Tagged) -> list[tuple[Path, str, list[TaggedClip]]]:
    """Each recording that was tagged, with its short name and its clips."""
    clips = {path: list(its) for path, its in groupby(tagged.clips, key=lambda clip: clip.path)}
    names = short_names(list(clips))
    return [(path, names[path], its) for path, its in clips.items()]


def above_threshold(probabilities: np.ndarray, thresholds: dict[str, float | None]) -> dict[str, bool]:
    """Whether each tag is at its threshold or above; those without one are not."""
    pairs = zip(thresholds.items(), probabilities.tolist(), strict=True)
    return {tag: threshold is not None and value >= threshold for (tag, threshold), value in pairs}


def as_data(winner: Winner, tagged: Tagged, thresholds: dict[str, float | None]) -> dict[str, Any]:
    """All of it as plain data, for `--json` (the contract is docs/tagging.md)."""
    tags, result = winner.study.tags, winner.result
    return {
        "study": winner.study.name,
        "trial": result.key,
        "params": result.params,
        "eer_mean": result.figures[EER].mean,
        **({} if winner.study.metric == EER else {f"{winner.study.metric}_mean": result.mean}),
        "tags": list(tags),
        "thresholds": thresholds,
        "clips": [
            {
                "file": str(clip.path),
                "start": clip.start,
                "end": clip.end,
                "probabilities": dict(zip(tags, clip.probabilities.tolist(), strict=True)),
                "heard": [tag for tag, above in above_threshold(clip.probabilities, thresholds).items() if above],
            }
            for clip in tagged.clips
        ],
        "failed": [{"file": str(path), "reason": reason} for path, reason in tagged.failed.items()],
    }
