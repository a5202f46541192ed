"""The command line `python -m audiotag.chime_home [PATH]`: CHiME-Home, downloaded, checked and unpacked."""

import argparse
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import DownloadColumn, TransferSpeedColumn

from audiotag.chime_home.download import ADDRESS, MD5, FetchError, Report
from audiotag.chime_home.install import install
from audiotag.cli import FINISHED, Parser, fail, make_console, parse_text, progress_bar, run_command
from audiotag.corpus.corpus import read_tables

STEP = 5  # percent, from one line of a log file to the next


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = Parser(
        prog="python -m audiotag.chime_home",
        description="Download CHiME-Home (4.2 GB; CC BY-NC-SA 3.0), check it and unpack what is needed. "
        "Run it again to go on where it ended.",
        examples={
            "python -m audiotag.chime_home": "into data/chime_home, the default corpus from then on",
            "python -m audiotag.chime_home big/disk --stereo": "elsewhere, with both channels",
        },
    )
    add = parser.add_argument
    add("path", nargs="?", type=parse_text, default="data/chime_home", metavar="PATH", help="default data/chime_home")
    add("--from", dest="source", type=parse_text, default=ADDRESS, metavar="ADDRESS|ARCHIVE", help=f"default {ADDRESS}")
    add("--stereo", action="store_true", help="also the stereo recordings at 48 kHz (4.7 GB more)")
    add("--keep", action="store_true", help="keep the downloaded archive beside the folder")
    add("--md5", type=parse_md5, default=MD5, metavar="HEX", help="of another archive than the published one")
    return parser.parse_args(words)


def parse_md5(text: str) -> str:
    """Parse a checksum."""
    if not re.fullmatch("[0-9a-fA-F]{32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be 32 hexadecimal digits")
    return text.lower()


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: run(words), "Interrupted. Run the same command again: it goes on from there.")


def run(words: list[str] | None) -> int:
    """Download, check and unpack."""
    arguments = parse(words)
    console = make_console()
    target = Path(arguments.path)
    try:
        with progress_bar(console, DownloadColumn(), TransferSpeedColumn()) as bar:
            task = bar.add_task("")
            say = _lines(console)

            def report(step: str, done: int, total: int | None) -> None:
                bar.update(task, description=step, completed=done, total=total)
                say(step, done, total)

            installed = install(
                target,
                arguments.source,
                stereo=arguments.stereo,
                keep=arguments.keep,
                md5=arguments.md5,
                report=report,
            )
        corpus, _ = read_tables(target)
    except FetchError as error:
        fail(str(error))
    state = "complete" if installed else "complete already"
    console.print(
        f"CHiME-Home is {state} in {target}: {len(corpus.development)} clips in {len(corpus.fold_numbers)} folds, "
        f"{len(corpus.evaluation)} for evaluation.",
        soft_wrap=True,
    )
    return FINISHED


def _lines(console: Console) -> Report:
    """Make a report that prints a line every few percent where there is no terminal for a bar."""
    said: set[tuple[str, int]] = set()

    def say(step: str, done: int, total: int | None) -> None:
        mark = step, 100 * done // total // STEP if total else done // (200 << 20)
        if not console.is_terminal and mark not in said:
            said.add(mark)
            of = f" of {total / 1e6:.0f}" if total else ""
            console.print(f"{done / 1e6:.0f}{of} MB {step}", soft_wrap=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
