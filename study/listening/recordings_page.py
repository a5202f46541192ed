"""The page of recordings that were tagged: each with its player, and the curves of its likeliest tags."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup
from rich.progress import Progress

from audiotag.audio.read import stream_audio
from audiotag.corpus.errors import count
from study.format import decimal
from study.listening.drawing import Piece, draw_lane, draw_spectrogram, frequency_ticks, highest_points, time_ticks
from study.listening.page import MEGABYTE, Fact, Group, Lane, ListeningPage, Part, Player, explain
from study.listening.sound import BIT_RATE, embedded, encode_opus, linked
from study.reporting.tables import Line, Table
from study.tagging.curves import LANES, Track, Tracks, likeliest
from study.tagging.table import clock
from study.tagging.tagging import Tagged, TaggedClip, above_threshold, by_recording
from study.tagging.winner import Winner

IN_BASE64 = 4 / 3  # bytes of text per byte


@dataclass(frozen=True, eq=False)
class Hearing:
    """Recordings that were tagged, with what is drawn of them and the thresholds of the tags; `given`: the user's."""

    tracks: Tracks
    tagged: Tagged
    thresholds: dict[str, float | None]
    given: float | None


def lay_out(winner: Winner, hearing: Hearing, folder: Path, limit: float, bar: Progress) -> ListeningPage:
    """Lay out the page of some recordings, for a folder, of about `limit` MB at most.

    Where the sound of a recording leaves no room for it, it is linked; where its drawing leaves none, it is left out.

    Raises:
        AudioError: For a recording that cannot be read any more.
    """
    recordings = by_recording(hearing.tagged)
    room, shown, links = round(limit * MEGABYTE), list[Markup](), 0
    for number, (path, name, clips) in enumerate(bar.track(recordings, description="Listening to recordings")):
        player = _player(f"recording-{number}", name, path, clips, hearing, winner, linked(path, folder))
        left = room - len(player.html().encode())
        if left < 0:
            continue
        if player.seconds * BIT_RATE / 8 * IN_BASE64 < left and len(source := _embed(path, winner)) < left:
            player = replace(player, source=source)
        else:
            links += 1
        shown.append(player.html())
        room -= len(shown[-1].encode())
    tables = [_overview(recordings, hearing)] * (len(recordings) > 1)
    return ListeningPage(
        title=f"{count(len(recordings), 'recording')}, tagged",
        lead=f"By {winner}",
        facts=_facts(len(recordings) - len(shown), links, limit),
        key=_key(hearing),
        parts=[Part("Recordings", "recordings", tables=tables, groups=[Group("", shown)], full=True)],
    )


def _embed(path: Path, winner: Winner) -> str:
    front_end = winner.config.front_end
    wave = np.concatenate([*stream_audio(path, front_end.sample_rate, front_end.imd)], axis=-1)
    return embedded(encode_opus(wave, front_end.sample_rate), "audio/ogg")


def _player(
    anchor: str, name: str, path: Path, clips: Sequence[TaggedClip], hearing: Hearing, winner: Winner, source: str
) -> Player:
    track, tags, seconds = hearing.tracks.track(path), len(hearing.thresholds), clips[-1].end
    lanes = _lanes(track, clips, hearing.thresholds)
    left = f"The {len(lanes)} likeliest of {tags} tags." if len(lanes) < tags else ""
    return Player(
        anchor=anchor,
        name=name,
        seconds=seconds,
        source=source,
        image=draw_spectrogram(np.concatenate(track.bands)),
        frequencies=frequency_ticks(winner.config.front_end),
        times=time_ticks(seconds),
        lanes=lanes,
        notes=[f"{clock(seconds)}, {count(len(clips), 'clip')}. {left}"],
    )


def _lanes(track: Track, clips: Sequence[TaggedClip], thresholds: dict[str, float | None]) -> list[Lane]:
    probabilities = np.array([clip.probabilities for clip in clips])  # (clips, K)
    above = np.array([[*above_threshold(clip.probabilities, thresholds).values()] for clip in clips])
    lanes, tops, tags = [], highest_points(track), list(thresholds)
    for tag in likeliest(probabilities):
        pieces = [
            Piece(clip.start, clip.end, float(score), "above" if is_above else "below")
            for clip, score, is_above in zip(clips, probabilities[:, tag], above[:, tag], strict=True)
        ]
        threshold = thresholds[tags[tag]]
        facts = [_fact(probabilities[:, tag], above[:, tag], threshold)]
        paths = draw_lane(track, pieces, tag, threshold, float(tops[tag]), clips[-1].end)
        lanes.append(Lane(tags[tag], "", facts, paths))
    return lanes


def _fact(scores: np.ndarray, above: np.ndarray, threshold: float | None) -> Fact:
    """What was found of a tag: "highest score .930 (threshold .410), reached in 3 of 5 clips"."""
    cut = "no threshold" if threshold is None else f"threshold {decimal(threshold)}"
    if len(scores) == 1:
        return Fact(f"score {decimal(float(scores[0]))} ({cut})", "right" if above[0] else "")
    reached = f", reached in {above.sum()} of {count(len(above), 'clip')}" if threshold is not None else ""
    return Fact(f"highest score {decimal(float(scores.max()))} ({cut}){reached}", "right" if above.any() else "")


def _facts(left_out: int, links: int, limit: float) -> list[str]:
    facts = [f"The page takes some {limit:g} MB at most, with sound as Opus of {BIT_RATE // 1000} kbit/s."]
    if links:
        facts.append(
            f"The sound of {count(links, 'recording')} does not fit: it is linked, and plays while page and file stay "
            "where they are."
        )
    if left_out:
        facts.append(f"No room is left for {count(left_out, 'recording')}: tag fewer at a time to hear them.")
    return facts


def _key(hearing: Hearing) -> list[str]:
    threshold = (
        "The threshold of a tag is the score at which misses equal false alarms on the study's held-out clips, the "
        "mean over the folds. Scores and curves are means over the fold models."
    )
    if hearing.given is not None:
        threshold = "The threshold was given (--threshold). Scores and curves are means over the fold models."
    return [
        threshold,
        *explain(has_curves=True),
        "An area is blue in clips where the tag is present, at its threshold or above, and grey in the others. Of "
        f"more than {LANES} tags those are drawn that have the highest scores.",
    ]


def _overview(recordings: Sequence[tuple[Path, str, list[TaggedClip]]], hearing: Hearing) -> Table:
    """Which tags each recording has, the one with the highest score first."""
    lines = []
    for _, name, clips in recordings:
        highest = np.max([clip.probabilities for clip in clips], axis=0)
        present = [tag for tag, above in above_threshold(highest, hearing.thresholds).items() if above]
        scores = dict(zip(hearing.thresholds, highest.tolist(), strict=True))
        found = ", ".join(f"{tag} {decimal(scores[tag])}" for tag in sorted(present, key=lambda tag: -scores[tag]))
        lines.append(Line([name, clock(clips[-1].end), found or "none"]))
    return Table("Recordings", ["recording", "length", "tags present, with their highest scores"], lines, right=1)
