"""The command line `python -m audiotag.chime_home [PATH]`: CHiME-Home, downloaded, checked and unpacked."""

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from audiotag.chime_home.download import DownloadError
from audiotag.chime_home.fetch import ADDRESS, MD5, FetchError, Report, fetch
from audiotag.cli import FINISHED, INTERRUPTED, Parser, fail, make_console, parse_text
from audiotag.corpus.layouts import chime_home
from audiotag.corpus.tables import EVALUATION

STEP = 5  # percent; of the lines that a log file gets


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    parser = Parser(
        prog="python -m audiotag.chime_home",
        description="Download CHiME-Home (4.2 GB; CC BY-NC-SA 3.0), check it and unpack what is needed. "
        "Run it again to go on where it ended.",
    )
    add = parser.add_argument
    add("path", nargs="?", type=parse_text, default="data/chime_home", metavar="PATH", help="default data/chime_home")
    add("--from", dest="source", type=parse_text, default=ADDRESS, metavar="ADDRESS|ARCHIVE", help=f"default {ADDRESS}")
    add("--stereo", action="store_true", help="also the stereo recordings at 48 kHz (4.7 GB more)")
    add("--keep", action="store_true", help="keep the downloaded archive beside the folder")
    add("--md5", type=_md5, default=MD5, metavar="HEX", help="of another archive than the published one")
    return parser.parse_args(words)


def _md5(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be 32 hexadecimal digits")
    return text.lower()


def main(words: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    arguments = parse(words)
    console = make_console()
    target = Path(arguments.path)
    try:
        with byte_progress(console) as report:
            came = fetch(
                target,
                arguments.source,
                stereo=arguments.stereo,
                keep=arguments.keep,
                md5=arguments.md5,
                report=report,
            )
        lists = chime_home.read_lists(target)
    except (FetchError, DownloadError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again: it goes on from there.", file=sys.stderr)
        return INTERRUPTED
    development = int((lists.folds != EVALUATION).sum())
    console.print(
        f"CHiME-Home is {'complete' if came else 'complete already'} in {target}: {development} clips in "
        f"{len(set(lists.folds.tolist()) - {EVALUATION})} folds, {len(lists.clips) - development} for evaluation.",
        soft_wrap=True,
    )
    return FINISHED


@contextmanager
def byte_progress(console: Console) -> Iterator[Report]:
    """A bar over bytes on a terminal; elsewhere a line every few percent."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("downloading and unpacking", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(console: Console) -> Report:
    said = -1

    def report(done: int, total: int | None) -> None:
        nonlocal said
        step = 100 * done // total // STEP if total else done // (200 << 20)
        if step != said:
            said = step
            of = f" of {total / 1e6:.0f}" if total else ""
            console.print(f"{done / 1e6:.0f}{of} MB read", soft_wrap=True)

    return report


if __name__ == "__main__":
    sys.exit(main())
