"""The command line: `python study/confirm.py NAME` trains winner and baseline of a study again, to be quoted."""

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from audiotag.cli import FINISHED, Parser, parse_text
from study import PROJECT
from study.cli import SOME_FAILED, add_place_options, run_command
from study.run import EARLY, catch_signals, hold_signals

if TYPE_CHECKING:
    from rich.console import Console

    from study.ledger.ledger import Ledger


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    what = "Train the winner and the baseline of a finished study again, on new folds and with new seeds."
    examples = {"python study/confirm.py mixup_alpha-20": "the study by the beginning of its name"}
    parser = Parser(prog="study/confirm.py", description=what, examples=examples)
    name = "name of the study, or its beginning; the confirmation becomes the study NAME-confirmed"
    parser.add_argument("name", type=parse_text, metavar="NAME", help=name)
    add_place_options(parser, "MLflow server or database (default: that of the study)")
    return parser.parse_args(words)


def confirm(words: list[str] | None = None) -> int:
    """Train what the confirmation lacks; return the exit code.

    Raises:
        ValueError: Of one of the project's own kinds, for a user's mistake.
    """
    arguments = parse(words)
    catch_signals()
    from study.cli import make_console
    from study.ledger.confirmation import confirmation_folder
    from study.ledger.ledger import STUDY_FILE
    from study.ledger.mirror import fetch
    from study.ledger.studies import open_study
    from study.plan.confirmation import plan_confirmation
    from study.plan.request import Request
    from study.session import run_session

    options = {name: value for name, value in vars(arguments).items() if name != "name"}
    ledger = open_study(arguments.studies, arguments.name)
    begun = confirmation_folder(ledger.root)
    fetch(begun)
    request = Request(**options, resume=begun.name if (begun / STUDY_FILE).is_file() else None)
    if request.resume is None and request.tracking_uri is None and ledger.study.tracking_uri:
        request = Request(**options | {"tracking_uri": ledger.study.tracking_uri})
    console = make_console()
    code = run_session(request, console, hold_signals, partial(plan_confirmation, ledger=ledger))
    if code in (FINISHED, SOME_FAILED):
        report(ledger, arguments.tracking_uri, console, arguments.trust_code)
    return code


def report(ledger: "Ledger", tracking_uri: str | None, console: "Console", trusted: bool) -> None:
    """Write the confirmation into the report and the copies of the study, and show it."""
    from study.cli import from_here, say
    from study.ledger.findings import read_findings
    from study.report import rebuild_views
    from study.reporting.results_files import REPORT, write_results
    from study.tracking.tracking_uri import choose_uri, default_uri

    with ledger.locked():
        write_results(ledger, "finished", redraw=True)
        uri = choose_uri(tracking_uri, ledger.study.tracking_uri, default_uri(PROJECT))
        rebuild_views(ledger, uri, "finished", trusted)
    if (found := read_findings(ledger)) is not None and found.confirmation is not None:
        say(console, f"\n{found.confirmation}")
        report = from_here(ledger.root / REPORT)
        console.print(f"It is now in the report of {ledger.root.name}: {report}", soft_wrap=True)


def main() -> int:
    """Run the command line and return its exit code."""
    return run_command(confirm, EARLY)


if __name__ == "__main__":
    sys.exit(main())
