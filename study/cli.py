"""What the commands of a study share: exit codes, errors and warnings in one line, paths and commands to be pasted."""

import os
import shlex
import shutil
import sys
import traceback
import warnings
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TextIO

from rich.console import Console
from rich.text import Text

from audiotag import cli
from audiotag.cli import fail, parse_nonnegative, parse_path, parse_positive, parse_text
from audiotag.uris import public
from study import PROJECT
from study.cloud import PlaceError, folder_of

SOME_FAILED = 3  # one more exit code
STUDIES = Path("studies")
TRUST_HELP = "run the source code kept with the study where its file is gone or has changed"
MARGIN_HELP = "means that differ by at most D count as the same (default .01, for d' .1; a study keeps its own)"
PLAIN_WIDTH = 160  # columns of a table that goes to a file or a pipe
_said: set[str] = set()  # warnings


def add_place_options(parser: ArgumentParser, tracking: str) -> None:
    """Add the options that say with what and where a study is run; `tracking` is the help of --tracking-uri."""
    add = parser.add_argument
    add("--trust-code", action="store_true", help=TRUST_HELP)
    add(
        "--cpus-per-trial",
        type=parse_positive(float),
        metavar="F",
        help="CPU cores per trial, may be a fraction (default 1)",
    )
    gpus = "GPUs per trial, may be a fraction (default 0.25 where there is a GPU, else 0)"
    add("--gpus-per-trial", type=parse_nonnegative(float), metavar="F", help=gpus)
    cluster = "address of a running Ray cluster (default: RAY_ADDRESS, else Ray is started here)"
    add("--address", type=parse_text, metavar="ADDR", help=cluster)
    add(
        "--cache",
        type=parse_path,
        metavar="DIR",
        help="folder of computed features (default ~/.cache/audiotag/features)",
    )
    add_studies_option(parser)
    add("--tracking-uri", type=parse_text, metavar="URI", help=tracking)


def add_studies_option(parser: ArgumentParser) -> None:
    """Add the option that says where studies are kept; its value is a folder, the working copy of a URL."""
    where = "where studies are kept: a folder (default studies), or s3://, gs:// or az://BUCKET/PREFIX"
    parser.add_argument("--studies", type=_parse_studies, default=STUDIES, metavar="DIR|URL", help=where)


def _parse_studies(text: str) -> Path:
    try:
        return folder_of(parse_text(text))
    except PlaceError as error:
        raise ArgumentTypeError(str(error)) from None


def run_command(command: Callable[[], int], interrupted: str = "Interrupted.") -> int:
    """Run a command as audiotag's do; mistakes and warnings take one line."""
    warnings.showwarning, sys.excepthook = warn_in_a_line, show_traceback

    def run() -> int:
        try:
            return command()
        except ValueError as error:
            fail_on(error)

    return cli.run_command(run, interrupted)


def fail_on(error: ValueError) -> NoReturn:
    """End in one line for an error of the project's own kinds; any other ValueError is a bug, to be seen whole."""
    if type(error).__module__.split(".")[0] not in ("audiotag", "search_spaces", "study"):
        raise error
    problems = getattr(error, "problems", ())
    fail(str(error), problems if len(problems) > 1 else ())


def warn_in_a_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning once, in one line without its source code, in place of `warnings.showwarning`."""
    if str(message) not in _said:
        _said.add(str(message))
        print(f"warning: {public(str(message))}", file=sys.stderr)


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an unexpected error, in place of `sys.excepthook`; a library may have put a password into its text."""
    print(public("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def make_console() -> Console:
    """What the commands of a study print to."""
    return cli.make_console(PLAIN_WIDTH)


def say(console: Console, text: str, style: str | None = None, indent: int = 0) -> None:
    """Print prose: lines of whole words on a terminal, the second and later ones indented; in a pipe a single line."""
    if not console.is_terminal:
        console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)
        return
    head = text[:indent]
    for line in Text(text[indent:]).wrap(console, console.width - indent):
        line.rstrip()
        console.print(Text(head) + line, style=style, no_wrap=True)
        head = " " * indent


def from_here(path: Path) -> str:
    """A path as the working folder's shell takes it: relative where that is shorter."""
    whole = path.resolve() if ".." in path.parts else path.absolute()
    return min(os.path.relpath(whole), str(whole), key=len)


def uri_from_here(uri: str) -> str:
    """A tracking URI; that of an SQLite file with its path from the working folder where that is shorter."""
    driver, between, path = uri.partition(":///")
    is_plain = driver.startswith("sqlite") and path.startswith("/") and not {"%", "?"} & {*path, *os.getcwd()}
    return f"{driver}{between}{from_here(Path(path))}" if is_plain else uri


def pasteable(command: str) -> str:
    """A command such as `python study/report.py NAME` as it works in the working folder, with paths from there.

    Where the shell would find another Python, or none, it names the one that runs.
    """
    first, *words = shlex.split(command)
    return shlex.join([_program(first), *map(_word_from_here, words)])


def _program(name: str) -> str:
    """A program of this Python's environment, by its path where the shell does not find it by its name."""
    folder, found = Path(sys.executable).parent, shutil.which(name)
    if (found and Path(found).parent.absolute() == folder.absolute()) or not (folder / name).exists():
        return name
    return from_here(folder / name)


def _word_from_here(word: str) -> str:
    if word.startswith("study/") and (PROJECT / word).is_file():
        return from_here(PROJECT / word)
    return from_here(Path(word)) if word.startswith("/") else uri_from_here(word)
