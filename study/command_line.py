"""What the project's commands share: mistakes told in one line, values of options."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn, TextIO

FINISHED, MISTAKE, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130  # exit codes
STUDIES = Path("studies")
_said: set[str] = set()  # warnings


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends with the exit code for a user's mistake."""
        fail(f"{message} (--help shows all options)")


def fail(message: str) -> NoReturn:
    """Ends with the exit code for a user's mistake and one line on the terminal."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(MISTAKE)


def fail_on(error: ValueError) -> NoReturn:
    """Ends in one line for an error of the project's own kinds; any other ValueError is a bug, to be seen whole."""
    if type(error).__module__.split(".")[0] not in ("audiotag", "search_spaces", "study"):
        raise error
    fail(str(error))


def warn_in_a_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Takes the place of `warnings.showwarning`: what happened, once, without the line of code that said so."""
    if str(message) not in _said:
        _said.add(str(message))
        print(f"warning: {message}", file=sys.stderr)


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


def _number(kind: type, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be {wanted}") from None
