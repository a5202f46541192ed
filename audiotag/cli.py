"""Exit codes, options, one-line errors and the console of all commands."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from audiotag.uris import public

FINISHED, MISTAKE, INTERRUPTED, UNREAD = 0, 2, 130, 141  # exit codes

TAG_SEPARATOR_HELP = "of tags within a cell, beside ';' (default: as the table tells)"


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with the code for a user's mistake."""
        fail(f"{message} (--help shows all options)")


def fail(message: str, problems: Sequence[str] = ()) -> NoReturn:
    """Print a line for each problem and one for the mistake, and exit with the code for a user's mistake."""
    for problem in problems:
        print(f"problem: {public(one_line(problem))}", file=sys.stderr)
    print(f"error: {public(one_line(message))}", file=sys.stderr)
    sys.exit(MISTAKE)


def one_line(text: str) -> str:
    """Replace line breaks by spaces."""
    return " ".join(text.split())


def parse_text(text: str) -> str:
    """Parse an option's value that must not be empty, as an unset shell variable is."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty value is not allowed: give one, or leave the option out")
    return text


def parse_separator(text: str) -> str:
    """Parse what separates tags within a cell of a table."""
    if not text or any(map(str.isalnum, text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be signs, such as ',' or '|'")
    return text


def parse_path(text: str) -> Path:
    """Parse an option's value that names a file or folder."""
    return Path(parse_text(text))


def parse_positive(kind: type) -> Any:
    """Make a parser of a number above zero."""
    return _make_parser(kind, lambda value: 0 < value < float("inf"), "above 0")


def parse_nonnegative(kind: type) -> Any:
    """Make a parser of a number of 0 or above."""
    return _make_parser(kind, lambda value: 0 <= value < float("inf"), "0 or more")


def parse_share(text: str) -> float:
    """Parse an option's value from 0 to 1."""
    return _make_parser(float, lambda value: 0 <= value <= 1, "from 0 to 1")(text)


def _make_parser(kind: type, allows: Callable[[Any], bool], wanted: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            number = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be {number}") from None
        if not allows(value):
            raise argparse.ArgumentTypeError(f"{text} is not allowed: it must be {wanted}")
        return value

    return parse


def make_console(plain_width: int = 10_000) -> Console:
    """Make the console; a file or pipe has `plain_width` columns, so many that no line breaks."""
    console = PipeConsole(highlight=False, markup=False, emoji=False)  # no markup in names of tags and files
    if not console.is_terminal:
        console.width = plain_width
    return console


class PipeConsole(Console):
    """A console with our exit code where a pipe was closed."""

    def on_broken_pipe(self) -> NoReturn:
        """Exit quietly."""
        self.quiet = True
        end_unread()


def end_unread() -> NoReturn:
    """Exit quietly where nobody reads standard output any more (`| head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it at exit
    sys.exit(UNREAD)


def progress_bar(console: Console, *amounts: ProgressColumn) -> Progress:
    """Make a bar with the number done of all, or other amounts; silent where there is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        *(amounts or (MofNCompleteColumn(),)),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
