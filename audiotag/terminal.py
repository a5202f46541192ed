"""What all commands print to: a terminal, a file, or a pipe whose reader may go."""

import os
import sys
from typing import NoReturn

from rich.console import Console

from audiotag.command_line import UNREAD


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
