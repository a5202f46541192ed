"""The command line: `python study/tag.py NAME PATH ...` tags recordings with the winner of a study."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from audiotag.cli import FINISHED, MISTAKE, Parser, fail, parse_path, parse_positive, parse_share, parse_text
from study.cli import SOME_FAILED, STUDIES, run_command


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    parser = Parser(prog="study/tag.py", description="Tag recordings with the best trial of a study.")
    add = parser.add_argument
    add("name", type=parse_text, metavar="NAME", help="of the study")
    add("paths", type=parse_path, nargs="+", metavar="PATH", help="audio files (WAV, FLAC, OGG, AIFF, MP3), or folders")
    add("--trial", type=parse_text, metavar="KEY", help="another finished trial, by the beginning of its key")
    add("--threshold", type=parse_share, metavar="F", help="of every tag, 0 to 1 (default: each tag's own)")
    add("--hop", type=parse_positive(float), metavar="SECONDS", help="from clip to clip (default: a clip's length)")
    add("--json", action="store_true", help="all of it as one JSON document")
    add("--curves", type=parse_path, metavar="DIR", help="draw when each tag sounds: one SVG per recording")
    add("--studies", type=parse_path, default=STUDIES, metavar="DIR", help="where studies are kept (default studies)")
    arguments = parser.parse_args(words)
    if arguments.curves is not None and arguments.hop is not None:
        fail("--curves and --hop exclude each other: curves are drawn of clips that do not overlap.")
    return arguments


def tag(arguments: argparse.Namespace) -> int:
    """Tags, prints, draws; returns the exit code.

    Raises:
        WinnerError, LedgerError, RecordingError: for what cannot be done, before anything heavy is imported.
    """
    from audiotag.config import network
    from audiotag.inference.recordings import find_recordings
    from study.tagging.winner import eer_thresholds, find_winner

    winner = find_winner(arguments.studies, arguments.name, arguments.trial)
    if arguments.curves is not None and not network(winner.config.model).has_curves:
        fail(f"--curves is not possible: the network `{winner.config.model}` has none over time (`frame_curves`).")
    cutting = cutting_of(winner, arguments.hop)
    given = arguments.threshold
    thresholds = eer_thresholds(winner) if given is None else dict.fromkeys(winner.study.tags, given)
    paths = find_recordings(arguments.paths)
    if arguments.curves is not None:
        make_place(arguments.curves)

    from rich.console import Console

    from study.cli import make_console
    from study.tagging.tagging import as_data, tag_with_progress

    notes = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if winner.unfinished:
        notes.print(f"note: {winner.unfinished} of {winner.study.trials} trials of this study are not finished yet")
    tracks = make_tracks(cutting) if arguments.curves is not None else None
    tagged = tag_with_progress(winner, paths, cutting, notes, None if tracks is None else tracks.watch)
    if arguments.json:
        print(json.dumps(as_data(winner, tagged, thresholds), indent=1, allow_nan=False))
    elif tagged.clips:
        show(winner, tagged, thresholds, make_console())
    if tracks is not None:
        draw(arguments.curves, tracks, tagged, thresholds, notes)
    if tagged.failed and cutting.front_end.imd:
        notes.print("note: this trial needs stereo recordings (imd), with two channels")
    for path, reason in tagged.failed.items():
        notes.print(f"not tagged: `{path}`: {reason}")
    return FINISHED if not tagged.failed else SOME_FAILED if tagged.clips else MISTAKE


def cutting_of(winner: Any, hop: float | None) -> Any:
    """How recordings are cut for a winner; one line and the end for a hop that does not go with its clips."""
    from audiotag.inference.recordings import Cutting

    front_end, seconds = winner.front_end, winner.clip_seconds
    samples, least = front_end.samples(seconds), front_end.hop_length / front_end.sample_rate
    if hop is not None and not least <= hop <= seconds:
        fail(f"--hop {hop:g} is not allowed: it must be from {least:g} to {seconds:g} s, the length of a clip.")
    return Cutting(front_end, samples, samples if hop is None else front_end.samples(hop))


def make_place(place: Path) -> None:
    """The folder for drawings; one line and the end where it cannot be made."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--curves {place} cannot be written ({error.strerror}): name another folder.")


def make_tracks(cutting: Any) -> Any:
    """What takes down the curves."""
    from study.tagging.curves import Tracks

    return Tracks(cutting)


def draw(place: Path, tracks: Any, tagged: Any, thresholds: dict[str, float | None], console: Any) -> None:
    """Writes the drawing of each recording."""
    from audiotag.cli import progress_bar
    from study.tagging.tagging import by_recording

    with progress_bar(console) as bar:
        for path, name, clips in bar.track(by_recording(tagged), description="Drawing"):
            target = (place / name).with_name(f"{Path(name).name}.svg")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(tracks.draw(path, name, clips, thresholds).svg, encoding="utf-8")
            except OSError as error:
                fail(f"{target} cannot be written ({error.strerror}): make room, or name another folder.")
    console.print(f"Drawings: {place}")


def show(winner: Any, tagged: Any, thresholds: dict[str, float | None], console: Any) -> None:
    """The table, and what its figures are."""
    from study.tagging.table import tag_table

    console.print(f"Probability of each tag: {winner}", soft_wrap=True)
    console.print(tag_table(tagged, thresholds, console))


def main() -> int:
    """Runs the command line and returns its exit code."""
    return run_command(partial(tag, parse()))


if __name__ == "__main__":
    sys.exit(main())
