"""The command line: `python study/run.py --space NAME`."""

import argparse
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from threading import Thread
from types import FrameType
from typing import NoReturn

from audiotag.cli import (
    FINISHED,
    INTERRUPTED,
    MISTAKE,
    TAG_SEPARATOR_HELP,
    Parser,
    fail,
    one_line,
    parse_nonnegative,
    parse_positive,
    parse_separator,
    parse_text,
)
from audiotag.config import PRECISIONS
from audiotag.metrics import DEFAULT, METRICS
from search_spaces import SAMPLERS
from study.cli import MARGIN_HELP, add_place_options, run_command, say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 10.0  # s after a signal in which a block that holds signals may still end by itself
EARLY = "Interrupted before training began; nothing is lost."
UNTIL_CLEAR_HELP = "add partitions, one at a time, to each trial that is not clearly better, worse or the same yet"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP."""


def make_parser() -> Parser:
    """Make what reads the command line."""
    parser = Parser(
        prog="study/run.py",
        description="Run a study: one question about audio tagging, many trials.",
        examples={
            "python study/run.py --space mixup_alpha": "one of our questions (--list)",
            "python study/run.py --space my/question.py --corpus mine": "yours, on your recordings",
            "python study/run.py --space joint --trials 60 --scheduler asha": "many trials, weak ones pruned",
            "python study/run.py --resume mixup_alpha-20": "continue what was interrupted",
            "python study/run.py --resume mixup_alpha-20 --partitions 3": "see smaller differences",
        },
    )
    add = parser.add_argument
    question = "the question: a file in search_spaces/ (--list shows them), or the path of one elsewhere"
    add("--space", type=parse_text, metavar="NAME|PATH", help=question)
    add("--list", action="store_true", help="show the spaces with their trials and parameters, and exit")
    add(
        "--corpus",
        type=parse_text,
        metavar="synthetic|PATH",
        help="default: data/chime_home if it is there, else the synthetic corpus",
    )
    add("--tag-separator", type=parse_separator, metavar="TEXT", help=TAG_SEPARATOR_HELP)
    longest = "keep clips up to this length (default: one length from the recordings, at most 10 s)"
    add("--clip-seconds", type=parse_positive(float), metavar="S", help=longest)
    add("--skip-bad", action="store_true", help="leave out clips whose audio is missing or cannot be used")
    add("--name", type=parse_text, help="name of the study (default: <space>-<UTC time>)")
    again = "continue a study, given by the beginning of its name (default: the newest unfinished one of --space)"
    add("--resume", nargs="?", const="", metavar="NAME", help=again)
    add("--trials", type=parse_positive(int), metavar="N", help="number of trials; --resume can raise it")
    add(
        "--epochs",
        type=parse_positive(int),
        metavar="N",
        help="maximum number of epochs per fold (default 200, of the synthetic corpus fewer)",
    )
    add("--precision", choices=PRECISIONS, help="precision of convolutions and matrix products (default fp32)")
    _add_protocol(parser)
    add("--sampler", choices=SAMPLERS, help="how trials are chosen from the space (default: as the space says)")
    add(
        "--scheduler",
        choices=("fifo", "asha"),
        help="fifo (default): train all folds of every trial; asha: stop weak trials after one or two folds",
    )
    add(
        "--metric", choices=tuple(METRICS), help=f"choose the best trial by the mean of this metric (default {DEFAULT})"
    )
    add("--margin", type=parse_nonnegative(float), metavar="D", help=MARGIN_HELP)
    add_place_options(
        parser, "MLflow server or database (default: MLFLOW_TRACKING_URI, else mlflow.db in the checkout)"
    )
    return parser


def _add_protocol(parser: Parser) -> None:
    """Add the options on seeds, partitions and validation."""
    add = parser.add_argument
    add("--seed", type=parse_nonnegative(int), metavar="N", help="seed of all random numbers (default 0)")
    add("--repeats", type=parse_positive(int), metavar="R", help="train each fold with R seeds: seed, seed + 1, ...")
    add(
        "--partitions",
        type=parse_positive(int),
        metavar="R",
        help="cross-validate over the corpus's own folds and R - 1 random divisions into folds; --resume can raise it",
    )
    add("--until-clear", action="store_true", help=UNTIL_CLEAR_HELP)
    add("--most", type=parse_positive(int), metavar="R", help="with --until-clear: at most R partitions (default 5)")
    add(
        "--protocol",
        choices=("paper", "nested"),
        help="paper (default): the held-out fold also stops the training; nested: other clips do",
    )


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    arguments, others = make_parser().parse_known_args(words)
    if others:
        refuse_words(others)
    if not arguments.list and arguments.space is None and not arguments.resume:
        fail("--space is missing: name a space (--list shows them), or continue a study with --resume NAME.")
    if arguments.name is not None and arguments.resume is not None:
        fail(f"--name {arguments.name} and --resume exclude each other: a resumed study keeps its name.")
    check_looks(arguments)
    return arguments


def refuse_words(others: list[str]) -> NoReturn:
    """Refuse, with exit code 2, words that belong to no option, and say to which the first may belong."""
    from search_spaces import space_names

    word = others[0]
    if word.startswith("-"):
        fail(f"there is no option {word} (--help shows all options)")
    is_space = word in space_names() or word.endswith(".py")
    meant = f"a space is given by --space {word}" if is_space else "a space is given by --space, a study by --resume"
    fail(f"`{word}` belongs to no option: {meant} (--help shows all options)")


def check_looks(arguments: argparse.Namespace) -> None:
    """Refuse, with exit code 2, options on partitions that do not go together."""
    if arguments.until_clear and arguments.partitions is not None:
        fail(f"--until-clear and --partitions {arguments.partitions} cannot be combined: set the limit with --most.")
    if arguments.most is not None and not arguments.until_clear and arguments.resume is None:
        fail(f"--most {arguments.most} is the limit of --until-clear: give both, or --partitions {arguments.most}.")
    if arguments.most == 1:
        fail("--most is 1, but must be at least 2: with one partition there is nothing to add.")


def catch_signals() -> None:
    """Ctrl-C, SIGTERM and SIGHUP raise Interrupted in the main thread; a second one ends the process at once."""

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(INTERRUPTED)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for again in SIGNALS:
            signal.signal(again, end)
        raise Interrupted

    for number in SIGNALS:
        signal.signal(number, interrupt)


@contextmanager
def hold_signals(seconds: float, overdue: str) -> Iterator[None]:
    """Keep the first signal until the end of the block, and then raise Interrupted; a second one ends at once.

    Handlers that the block sets (Ray sets one for SIGTERM) are replaced by ours again. A block that hangs in C++, where
    Python handles no signal, cannot be left, but the process ended: GRACE after a signal, or after so many seconds with
    the line `overdue`.
    """
    came: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if came:
            os._exit(INTERRUPTED)
        came.append(number)

    for number in SIGNALS:
        signal.signal(number, remember)
    try:
        with watched(seconds, overdue):
            yield
    except SystemExit as end:  # what Ray's handler makes of SIGTERM
        raise Interrupted from end
    finally:
        catch_signals()
    if came:
        raise Interrupted


@contextmanager
def watched(seconds: float, overdue: str) -> Iterator[None]:
    """Watch the block, and the signals that come, from a thread of its own."""
    near, far = socket.socketpair()
    far.setblocking(False)
    thread = Thread(target=watch, args=(near, seconds, overdue), daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)  # each signal's number arrives at once
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        far.close()
        thread.join()
        near.close()


def watch(signals: socket.socket, seconds: float, overdue: str) -> None:
    """End the process where the time is over or a second signal comes; return when the other side is closed."""
    came, deadline = 0, time.monotonic() + seconds
    while select.select([signals], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (numbers := signals.recv(64)):
            return
        came += sum(number in SIGNALS for number in numbers)
        if came > 1:
            os._exit(INTERRUPTED)
        if came:
            deadline = time.monotonic() + GRACE
    print(EARLY if came else f"error: {overdue}", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED if came else MISTAKE)


def list_spaces() -> None:
    """Print each space with the first line of its question, its number of trials and its parameters."""
    from search_spaces import SpaceError, load_space, space_names
    from study.cli import make_console
    from study.search.space import scan_space, trials_in_words

    console = make_console()
    for name in space_names():
        try:
            space = load_space(name)
            lines = [space.question.splitlines()[0], trials_in_words(scan_space(space))]
        except SpaceError as error:
            lines = [one_line(f"(cannot be used: {error})")]
        for head, line in zip((f"{name:16} ", " " * 17), lines, strict=False):
            say(console, head + line, indent=17)


def run(words: list[str] | None = None) -> int:
    """Run a study, or show the spaces; return the exit code.

    Raises:
        ValueError: Of one of the project's own kinds, for a user's mistake.
    """
    arguments = parse(words)
    catch_signals()
    if arguments.list:
        list_spaces()
        return FINISHED
    from study.cli import make_console
    from study.plan.request import Request
    from study.session import run_session

    options = {field.name: getattr(arguments, field.name) for field in fields(Request)}
    return run_session(Request(**options), make_console(), hold_signals)


def main() -> int:
    """Run the command line and return its exit code."""
    return run_command(run, EARLY)


if __name__ == "__main__":
    sys.exit(main())
