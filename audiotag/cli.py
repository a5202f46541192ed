"""Exit codes, options, one-line errors, standard streams and the console of all commands."""

import argparse
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from audiotag.uris import public

FINISHED, MISTAKE, INTERRUPTED, UNREAD = 0, 2, 130, 141  # exit codes

ALIKE = 0.65  # how similar a word must be that may have been meant: `err` is to `eer`, and `best` not to `nested`
UNBOUND = 10_000  # columns, so many that no line breaks
TAG_SEPARATOR_HELP = "what separates the tags of a clip in its table, besides ';' (default: detected)"


def run_command(command: Callable[[], int], interrupted: str = "Interrupted.") -> int:
    """Run a command and return its exit code; Ctrl-C and unwritable output take one line, a closed pipe none.

    Output is never a reason to stop but for a closed pipe: what cannot be written is lost, and the work goes on.
    """
    prepare_streams()
    try:
        try:
            require_working_folder()
            code = command()
        except SystemExit as end:  # of a mistake, or of --help
            sys.stdout.flush()
            if end.code or not _is_lost(sys.stdout):
                raise
            code = FINISHED
        sys.stdout.flush()
    except BrokenPipeError:
        end_unread()
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    return UNREAD if code == FINISHED and _is_lost(sys.stdout) else code


class LossyStream(io.TextIOWrapper):
    """A standard stream that no text and no full disk can break.

    Characters that its encoding lacks are escaped. What cannot be written is lost, like all that follows. But a closed
    pipe of standard output raises BrokenPipeError.

    Attributes:
        is_output: Whether it is standard output.
        is_lost: Whether something was lost.
    """

    is_output, is_lost = False, False

    def write(self, text: str) -> int:
        """Write text, if possible."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write what is held back, if possible."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if self.is_output and isinstance(error, BrokenPipeError):
            raise error
        self.is_lost = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # takes the rest, also that of Python's end
        if self.is_output:
            reason = (error.strerror or str(error)).lower()
            print(f"error: standard output cannot be written ({reason}): the work goes on without it", file=sys.stderr)


def prepare_streams() -> None:
    """Make standard output and error such that no text and no full disk can end a command; closed ones discard."""
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # which takes the lowest number: no file of ours may become the output
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            lossy = LossyStream(io.BufferedWriter(io.FileIO(os.devnull, "w")), "utf-8")
        elif type(stream) is io.TextIOWrapper:  # a real one, not that of a test
            stream.flush()
            is_utf8 = stream.encoding.lower().startswith("utf")
            errors = stream.errors if is_utf8 and stream.errors == "surrogateescape" else "backslashreplace"
            file = io.BufferedWriter(io.FileIO(stream.fileno(), "w", closefd=False))
            at_once = stream.line_buffering or stream.write_through  # the latter with PYTHONUNBUFFERED
            lossy = LossyStream(file, stream.encoding, errors, line_buffering=at_once)
        else:
            continue
        lossy.is_output = name == "stdout"
        setattr(sys, name, lossy)


def _is_lost(stream: Any) -> bool:
    return isinstance(stream, LossyStream) and stream.is_lost


def require_working_folder() -> None:
    """End in one line where the working folder was deleted: no relative path means anything there."""
    try:
        os.getcwd()
    except OSError:
        fail("The working folder does not exist any more: change into another one (cd), and start again.")


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, and whose help ends with examples: commands, and what they do."""

    def __init__(self, *, description: str = "", examples: Mapping[str, str] | None = None, **options: Any) -> None:
        self._names: list[str] = []
        self._commands: Collection[str] = ()
        columns = shutil.get_terminal_size().columns - 2  # as argparse has it
        super().__init__(
            description=textwrap.fill(description, columns),
            epilog=_list_examples(examples, columns) if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,  # which leaves line breaks
            **options,
        )

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """Add an argument, whose names are remembered; of its `choices`, a mistake names the nearest."""
        if (choices := options.pop("choices", None)) is not None:
            options = {"metavar": f"{{{','.join(choices)}}}"} | options | {"type": _choice_parser(choices)}
        action = super().add_argument(*names, **options)
        self._names += action.option_strings
        return action

    def add_subparsers(self, **options: Any) -> Any:
        """Add commands; options are theirs from then on."""
        self._names.clear()
        action = super().add_subparsers(**options)
        self._commands = action.choices  # which fills up
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, after a look for mistyped options: argparse itself would first tell what is missing for them."""
        words = list(sys.argv[1:] if args is None else args)
        command = next((word for word in words if not word.startswith("-")), None)
        if self._commands and command is not None and command not in self._commands:
            self.error(_not_a_choice(command, self._commands))
        for word in words[: words.index("--")] if "--" in words else words:
            name = word.partition("=")[0]
            known = not name.startswith("--") or any(option.startswith(name) for option in self._names)
            if self._names and not known:
                self._refuse(name)
        return super().parse_known_args(args, namespace)

    def _refuse(self, name: str) -> NoReturn:
        similar = get_close_matches(name, self._names, 1)
        self.error(f"there is no option {name}" + (f": did you mean {similar[0]}?" if similar else ""))

    def error(self, message: str) -> NoReturn:
        """Exit with the code for a user's mistake."""
        fail(f"{message} (--help shows all options)")


def _list_examples(examples: Mapping[str, str], columns: int) -> str:
    """Write commands with what they do beside them, or above where that does not fit."""
    width = max(map(len, examples))
    lines = [f"  {command:{width}}  {what}" for command, what in examples.items()]
    if max(map(len, lines)) > columns:
        lines = [f"  {what}:\n    {command}" for command, what in examples.items()]
    return "\n".join(["examples:", *lines])


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


def _choice_parser(choices: Collection[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(_not_a_choice(text, choices))
        return text

    return parse


def _not_a_choice(text: str, choices: Collection[str]) -> str:
    *others, last = choices
    similar = get_close_matches(text.lower(), choices, 1, ALIKE)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    return f"{text!r} is not allowed: it must be {', '.join(others)} or {last}{hint}"


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


def make_console(plain_width: int = UNBOUND) -> Console:
    """Make the console; a file or pipe has `plain_width` columns."""
    console = PipeConsole(highlight=False, markup=False, emoji=False)  # no markup in names of tags and files
    if not console.is_terminal:
        console.width = plain_width
    return console


class PipeConsole(Console):
    """A console with our exit code where a pipe was closed, and characters of the output's encoding alone."""

    @property
    def encoding(self) -> str:
        """The encoding of the output, in lower case; rich asks a file of its own alone."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text of a string: here, so that columns are as wide as what is written."""
        if not self.encoding.startswith("utf"):
            text = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        return super().render_str(text, **options)

    def on_broken_pipe(self) -> NoReturn:
        """Exit quietly."""
        self.quiet = True
        end_unread()


def natural_width(table: Table, console: Console) -> int:
    """Return how many columns of a terminal a table takes where nothing makes it narrower."""
    return Measurement.get(console, console.options.update(max_width=UNBOUND), table).maximum


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
