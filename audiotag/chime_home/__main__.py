"""The command line `python -m audiotag.chime_home [PATH]`: CHiME-Home, downloaded, checked and unpacked."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from audiotag.cli import Parser, make_console, parse_text, run_command
from audiotag.corpus.get import fetch
from audiotag.corpus.layouts.chime_home import LAYOUT, PUBLISHED, published
from audiotag.downloads.published import RemoteFile

(ARCHIVE,) = PUBLISHED.files


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = Parser(
        prog="python -m audiotag.chime_home",
        description=f"Download CHiME-Home (4.2 GB; {PUBLISHED.licence}), check it and unpack what is needed. "
        "Run it again to go on where it ended.",
        examples={
            "python -m audiotag.chime_home": "into data/chime_home, the default corpus from then on",
            "python -m audiotag.chime_home big/disk --stereo": "elsewhere, with both channels",
        },
    )
    add = parser.add_argument
    add("path", nargs="?", type=parse_text, default="data/chime_home", metavar="PATH", help="default data/chime_home")
    where = f"default {ARCHIVE.address}"
    add("--from", dest="source", type=parse_text, metavar="ADDRESS|ARCHIVE", help=where)
    add("--stereo", action="store_true", help="also the stereo recordings at 48 kHz (4.7 GB more)")
    add("--keep", action="store_true", help="keep the downloaded archive beside the folder")
    add("--md5", type=parse_md5, metavar="HEX", help="of another archive than the published one")
    return parser.parse_args(words)


def parse_md5(text: str) -> str:
    """Parse a checksum."""
    if not re.fullmatch("[0-9a-fA-F]{32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be 32 hexadecimal digits")
    return text.lower()


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_command(lambda: run(words))


def run(words: list[str] | None) -> int:
    """Download, check and unpack."""
    arguments = parse(words)
    wanted = published(arguments.stereo)
    if arguments.md5 is not None:
        wanted = replace(wanted, files=(RemoteFile(ARCHIVE.address, arguments.md5),), unpacked=None)
    return fetch(LAYOUT.name, wanted, Path(arguments.path), arguments.source, arguments.keep, make_console())


if __name__ == "__main__":
    sys.exit(main())
