"""What all commands share: exit codes, mistakes told in one line, and what they print to."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

FINISHED, MISTAKE, INTERRUPTED, UNREAD = 0, 2, 130, 141  # exit codes


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends with the exit code for a user's mistake."""
        fail(f"{message} (--help shows all options)")


def fail(message: str, problems: Sequence[str] = ()) -> NoReturn:
    """Ends with the exit code for a user's mistake and one line on the terminal, below a line for each problem."""
    for problem in problems:
        print(f"problem: {one_line(problem)}", file=sys.stderr)
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(MISTAKE)


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def filled(text: str) -> str:
    """An option's value that must not be empty, as an unset shell variable is."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty value is not allowed: give one, or leave the option out")
    return text


def folder(text: str) -> Path:
    """An option's value that names a folder."""
    return Path(filled(text))


def positive(kind: type) -> Any:
    """An option's value above zero."""

    def convert(text: str) -> Any:
        value = _number(kind, text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not allowed: it must be above 0")
        return value

    return convert


def not_negative(kind: type) -> Any:
    """An option's value of 0 or above."""

    def convert(text: str) -> Any:
        value = _number(kind, text)
        if not 0 <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not allowed: it must be 0 or more")
        return value

    return convert


def share(text: str) -> float:
    """An option's value from 0 to 1."""
    value = _number(float, text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not allowed: it must be from 0 to 1")
    return float(value)


def _number(kind: type, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be {wanted}") from None


def make_console(plain_width: int = 10_000) -> Console:
    """The terminal, or a file or pipe, which has `plain_width` columns: so many that no line breaks."""
    console = PipeConsole(highlight=False, markup=False, emoji=False)  # names of tags and files are shown as they are
    if console.is_terminal:
        return console
    return PipeConsole(highlight=False, markup=False, emoji=False, width=plain_width)


class PipeConsole(Console):
    """Rich's own, with our exit code where a pipe was closed."""

    def on_broken_pipe(self) -> NoReturn:
        self.quiet = True
        end_unread()


def end_unread() -> NoReturn:
    """Ends quietly where nobody reads standard output any more (`| head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left of it at its end
    sys.exit(UNREAD)


def progress_bar(console: Console) -> Progress:
    """A bar with what is done of all; silent where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
