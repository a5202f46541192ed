"""The command line: `python study/tag.py NAME PATH ...` tags recordings with the winner of a study."""

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from audiotag.cli import FINISHED, MISTAKE, Parser, fail, parse_path, parse_positive, parse_share, parse_text
from study.cli import SOME_FAILED, TRUST_HELP, add_studies_option, from_here, run_command


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(
        prog="study/tag.py",
        description="Tag recordings with the best trial of a study.",
        examples={
            "python study/tag.py mixup_alpha-20 recordings/": "all recordings in a folder",
            "python study/tag.py mixup_alpha-20 a.wav --hop 1": "a clip from every second on",
            "python study/tag.py mixup_alpha-20 a.wav --curves drawings": "when each tag sounds",
        },
    )
    add = parser.add_argument
    add("name", type=parse_text, metavar="NAME", help="name of the study, or its beginning")
    add("paths", type=parse_path, nargs="+", metavar="PATH", help="audio files, or folders of them")
    add("--trial", type=parse_text, metavar="KEY", help="use another finished trial, given by the beginning of its key")
    add("--threshold", type=parse_share, metavar="F", help="threshold of every tag, 0 to 1 (default: each tag's own)")
    add(
        "--hop",
        type=parse_positive(float),
        metavar="SECONDS",
        help="time from the start of one clip to the next (default: the length of a clip)",
    )
    add("--json", action="store_true", help="print one JSON document")
    add("--curves", type=parse_path, metavar="DIR", help="when each tag sounds: an SVG per recording, and a page")
    add("--trust-code", action="store_true", help=TRUST_HELP)
    add_studies_option(parser)
    arguments = parser.parse_args(words)
    if arguments.curves is not None and arguments.hop is not None:
        fail("--curves and --hop exclude each other: curves are drawn of clips that do not overlap.")
    return arguments


def tag(arguments: argparse.Namespace) -> int:
    """Tag, print and draw; return the exit code.

    Raises:
        WinnerError, LedgerError, RecordingError: For a request that cannot be met, before heavy imports.
    """
    from audiotag.config import network
    from audiotag.inference.recordings import find_recordings
    from study.ledger.own_code import require_trust
    from study.tagging.winner import eer_thresholds, find_winner

    winner, place = find_winner(arguments.studies, arguments.name, arguments.trial), arguments.curves
    if winner.config.model in winner.config.kept_names:
        require_trust(winner.study, arguments.trust_code)
    if place is not None and not network(winner.config.model, winner.config.code).has_curves:
        fail(f"--curves is not possible: the network `{winner.config.model}` has none over time (`frame_curves`).")
    cutting = cutting_of(winner, arguments.hop)
    given = arguments.threshold
    thresholds = eer_thresholds(winner) if given is None else dict.fromkeys(winner.study.tags, given)
    paths = find_recordings(arguments.paths)
    if place is not None:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(f"--curves {place} cannot be written ({error.strerror}): name another folder.")

    from rich.console import Console

    from study.cli import make_console, say
    from study.listening.recordings_page import Hearing
    from study.reporting.tables import tags_in_words
    from study.tagging.curves import Tracks
    from study.tagging.table import tag_table
    from study.tagging.tagging import as_data, tag_recordings

    notes = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if winner.unfinished:
        notes.print(f"note: {winner.unfinished} of {winner.study.trials} trials of this study are not finished yet")
    tracks = Tracks(cutting)
    with redirect_stdout(sys.stderr):  # what a network of the user's own may print
        tagged = tag_recordings(winner, paths, cutting, notes, None if place is None else tracks.watch)
    if arguments.json:
        print(json.dumps(as_data(winner, tagged, thresholds), indent=1, allow_nan=False))
    elif tagged.clips:
        console = make_console()
        say(console, f"Probability of each tag: {winner}")
        console.print(tag_table(tagged, thresholds, console))
        if names := tags_in_words(winner.study):
            say(console, names)
    if place is not None:
        draw(place, tracks, tagged, thresholds, notes)
        if tagged.clips:
            write_page(place, winner, Hearing(tracks, tagged, thresholds, given), notes)
    if tagged.failed and cutting.front_end.imd:
        notes.print("note: this trial needs stereo recordings (imd), with two channels")
    for path, doubt in tagged.doubts.items():
        notes.print(f"note: `{path}` may be cut off or damaged: {doubt}")
    for path, reason in tagged.failed.items():
        notes.print(f"not tagged: `{path}`: {reason}")
    return FINISHED if not tagged.failed else SOME_FAILED if tagged.clips else MISTAKE


def cutting_of(winner: Any, hop: float | None) -> Any:
    """Cut recordings as a winner's clips; one line and the end for a hop that does not go with them."""
    from audiotag.inference.recordings import Cutting

    front_end, seconds = winner.config.front_end, winner.clip_seconds
    samples, least = front_end.samples(seconds), front_end.hop_length / front_end.sample_rate
    if hop is not None and not least <= hop <= seconds:
        fail(f"--hop {hop:g} is not allowed: it must be from {least:g} to {seconds:g} s, the length of a clip.")
    return Cutting(front_end, samples, samples if hop is None else front_end.samples(hop))


def draw(place: Path, tracks: Any, tagged: Any, thresholds: dict[str, float | None], console: Any) -> None:
    """Write the drawing of each recording."""
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
    console.print(f"Drawings: {from_here(place)}")


def write_page(place: Path, winner: Any, hearing: Any, console: Any) -> None:
    """Write the page on which the recordings are heard."""
    from audiotag.cli import progress_bar
    from audiotag.files import write_text
    from study.listening.options import LIMIT
    from study.listening.page import FILE
    from study.listening.recordings_page import lay_out

    path = place / FILE
    with progress_bar(console) as bar:
        page = lay_out(winner, hearing, place, LIMIT, bar)
    try:
        write_text(path, page.html())
    except OSError as error:
        fail(f"{path} cannot be written ({error.strerror}): make room, or name another folder.")
    console.print(f"Listen: {from_here(path)}")


def main() -> int:
    """Run the command line; return its exit code."""
    return run_command(lambda: tag(parse()))


if __name__ == "__main__":
    sys.exit(main())
