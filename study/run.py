"""The command line: `python study/run.py --space NAME`."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

FINISHED, MISTAKE, INTERRUPTED = 0, 2, 130  # exit codes


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP."""


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        fail(f"{message} (--help shows all options)")


def fail(message: str) -> NoReturn:
    """Ends with the exit code for a user's mistake and one line on the terminal."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(MISTAKE)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    parser = Parser(prog="study/run.py", description="Run a study: one question about audio tagging, many trials.")
    add = parser.add_argument
    add("--space", metavar="NAME", help="the question: a file in search_spaces/ (--list shows them)")
    add("--list", action="store_true", help="show the spaces and end")
    add(
        "--corpus",
        metavar="synthetic|PATH",
        help="default: data/chime_home where it is there, else the synthetic corpus",
    )
    add("--name", help="of the study; default: <space>-<UTC time>")
    add(
        "--resume",
        nargs="?",
        const="",
        metavar="NAME",
        help="continue a study; alone: the newest unfinished of the space",
    )
    add("--trials", type=positive(int), metavar="N", help="number of trials; with --resume it can grow")
    add(
        "--epochs",
        type=positive(int),
        metavar="N",
        help="most epochs a fold (default 200; fewer on the synthetic corpus)",
    )
    add("--seed", type=whole, help="of everything random (default 0)")
    add("--protocol", choices=("paper", "nested"), help="paper: the held-out fold also stops training (default)")
    add("--cpus-per-trial", type=positive(float), metavar="F", help="cores, also a fraction (default: 1)")
    add(
        "--gpus-per-trial",
        type=not_negative,
        metavar="F",
        help="cards, also a fraction (default: 0.25 where there are any)",
    )
    add("--address", metavar="ADDR", help="of a running Ray cluster; default: one of our own")
    add(
        "--studies", type=Path, default=Path("studies"), metavar="DIR", help="where studies are kept (default: studies)"
    )
    add(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or store (default: MLFLOW_TRACKING_URI, else mlflow.db here)",
    )
    arguments = parser.parse_args(words)
    if not arguments.list and arguments.space is None and not arguments.resume:
        fail("--space is missing: name a space (--list shows them), or continue a study with --resume NAME.")
    return arguments


def positive(kind: type) -> Any:
    """An option's value above zero."""

    def convert(text: str) -> Any:
        value = _number(kind, text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not allowed: it must be above 0")
        return value

    return convert


def whole(text: str) -> int:
    """An option's value of 0, 1, 2, ..."""
    value = _number(int, text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not allowed: it must be 0 or more")
    return value


def not_negative(text: str) -> float:
    """An option's value of 0 or above."""
    value = _number(float, text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not allowed: it must be 0 or more")
    return value


def _number(kind: type, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: it must be {wanted}") from None


def catch_signals() -> None:
    """Ctrl-C, SIGTERM and SIGHUP raise Interrupted in the main thread; a second one ends the process at once."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(again, lambda number, frame: os._exit(INTERRUPTED))
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def main() -> int:
    """Runs the command line and returns its exit code."""
    arguments = parse()
    catch_signals()
    if arguments.list:
        from search_spaces import load_space, space_names

        for name in space_names():
            print(f"{name:16} {load_space(name).question.splitlines()[0]}")
        return FINISHED
    from study.progress import make_console
    from study.session import run_session

    try:
        return run_session(arguments, make_console(), catch_signals)
    except ValueError as error:
        if type(error) is ValueError:  # not one of the project's own: a bug, to be seen whole
            raise
        fail(str(error))
    except Interrupted:
        print("Interrupted before training began.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
