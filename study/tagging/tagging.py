"""A study's winner applied to recordings: cut into clips, scored in batches by the mean of the fold models."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from audiotag.audio.probe import audio_seconds
from audiotag.audio.read import AudioError
from audiotag.cli import progress_bar
from audiotag.features.log_mel import log_mel
from audiotag.inference.recordings import Clip, Cutting, cut_recording
from study.tagging.winner import Winner, fold_taggers

if TYPE_CHECKING:
    from audiotag.inference.tagger import Tagger

BATCH = 64  # clips that are scored at a time

Progress = Callable[[float], None]  # seconds of audio that were tagged since the last call
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
    """Tagged recordings: their clips in order, and the reason for each recording that could not be tagged."""

    clips: list[TaggedClip] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def tag_recordings(
    paths: Sequence[Path],
    taggers: "Sequence[Tagger]",
    cutting: Cutting,
    progress: Progress,
    watch: Watcher | None = None,
) -> Tagged:
    """The probabilities of each clip of some recordings, means over the taggers; a broken recording has none.

    `watch` is called with each clip as it is tagged: its path, the clip, its features (T, columns) and the mean curves
    of its tags (T', K).
    """
    tagged = Tagged()
    for batch in _batches(_clips(paths, cutting, tagged.failed)):
        features = log_mel(np.stack([clip.waveform for _, clip in batch]), cutting.front_end)
        for (path, _), values in zip(batch, features, strict=True):
            if not np.isfinite(values).all():
                tagged.failed.setdefault(path, "it is too loud for float32, scale it down")
        scores = np.mean([tagger.score(features) for tagger in taggers], axis=0)
        tagged.clips += [
            TaggedClip(path, clip.start, clip.end, row) for (path, clip), row in zip(batch, scores, strict=True)
        ]
        if watch is not None:
            curves = np.mean([tagger.curves(features) for tagger in taggers], axis=0)
            for (path, clip), clip_features, lines in zip(batch, features, curves, strict=True):
                watch(path, clip, clip_features, lines)
        progress(sum(clip.end - clip.start for _, clip in batch))
    tagged.clips = [clip for clip in tagged.clips if clip.path not in tagged.failed]
    return tagged


def tag_with_progress(
    winner: Winner, paths: Sequence[Path], cutting: Cutting, console: Console, watch: Watcher | None
) -> Tagged:
    """As `tag_recordings`, with a bar over the seconds of audio where there is a terminal."""
    with progress_bar(console) as bar:
        total = sum(map(_seconds, paths)) if console.is_terminal else 0.0
        task = bar.add_task("Tagging (seconds of audio)", total=round(total))
        return tag_recordings(paths, fold_taggers(winner), cutting, lambda seconds: bar.advance(task, seconds), watch)


def _seconds(path: Path) -> float:
    try:
        return audio_seconds(path)
    except AudioError:
        return 0.0


def _clips(paths: Iterable[Path], cutting: Cutting, failed: dict[Path, str]) -> Iterator[tuple[Path, Clip]]:
    """The clips of all recordings in turn; what cannot be read is noted in `failed`."""
    for path in paths:
        try:
            for clip in cut_recording(path, cutting):
                yield path, clip
        except AudioError as error:
            failed[path] = error.reason


def _batches(clips: Iterator[tuple[Path, Clip]]) -> Iterator[list[tuple[Path, Clip]]]:
    while batch := list(islice(clips, BATCH)):
        yield batch


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """What tells some files from each other: their paths below the deepest folder that holds all of them."""
    places = {path: os.path.abspath(path) for path in paths}
    common = os.path.commonpath([os.path.dirname(place) for place in places.values()]) if places else ""
    return {path: os.path.relpath(place, common) for path, place in places.items()}


def by_recording(tagged: Tagged) -> list[tuple[Path, str, list[TaggedClip]]]:
    """Each recording that was tagged, with its short name and its clips."""
    clips: dict[Path, list[TaggedClip]] = {}
    for clip in tagged.clips:
        clips.setdefault(clip.path, []).append(clip)
    names = short_names(list(clips))
    return [(path, names[path], its) for path, its in clips.items()]


def above_threshold(probabilities: np.ndarray, thresholds: dict[str, float | None]) -> list[bool]:
    """Which tags (K,) are at their thresholds or above; none of those without one."""
    pairs = zip(probabilities.tolist(), thresholds.values(), strict=True)
    return [threshold is not None and value >= threshold for value, threshold in pairs]


def as_data(winner: Winner, tagged: Tagged, thresholds: dict[str, float | None]) -> dict[str, Any]:
    """All of it as plain data, for `--json` (the contract is docs/tagging.md)."""
    tags, result = winner.study.tags, winner.result
    return {
        "study": winner.study.name,
        "trial": result.key,
        "params": result.params,
        "eer_mean": result.mean,
        "tags": list(tags),
        "thresholds": thresholds,
        "clips": [
            {
                "file": str(clip.path),
                "start": clip.start,
                "end": clip.end,
                "probabilities": dict(zip(tags, clip.probabilities.tolist(), strict=True)),
                "heard": [
                    tag
                    for tag, above in zip(tags, above_threshold(clip.probabilities, thresholds), strict=True)
                    if above
                ],
            }
            for clip in tagged.clips
        ],
        "failed": [{"file": str(path), "reason": reason} for path, reason in tagged.failed.items()],
    }
