"""What a study found, made again from the ledger: `python study/report.py NAME`; without a name: all studies."""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

from rich.console import Console

from audiotag.cli import FINISHED, Parser, parse_nonnegative, parse_text
from study import PROJECT
from study.cli import MARGIN_HELP, STUDIES, TRUST_HELP, add_studies_option, from_here, make_console, run_command, say
from study.cloud import shown, url_of
from study.ledger.files import LedgerError
from study.ledger.findings import read_findings
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete
from study.ledger.studies import find_study, open_studies
from study.reporting.overview import overview
from study.reporting.results_files import write_results
from study.reporting.terminal_table import show_answer, show_next, show_results


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    what = "Rebuild the report and the MLflow runs of studies; compare several. Without a name: list the studies."
    examples = {
        "python study/report.py": "list the studies",
        "python study/report.py mixup_alpha-20": "what a study found, by the beginning of its name",
        "python study/report.py first second": "the same of two, and their comparison",
    }
    parser = Parser(prog="study/report.py", description=what, examples=examples)
    add = parser.add_argument
    several = "name of a study, or its beginning; several studies are also compared with each other"
    add("names", nargs="*", type=parse_text, metavar="NAME", help=several)
    add_studies_option(parser)
    add("--margin", type=parse_nonnegative(float), metavar="D", help=MARGIN_HELP)
    add("--trust-code", action="store_true", help=TRUST_HELP)
    add(
        "--tracking-uri",
        type=parse_text,
        metavar="URI",
        help="MLflow server or database to bring up to date (default: that of the study)",
    )
    return parser.parse_args(words)


def report() -> int:
    """Report on the studies that are named, or list all."""
    arguments = parse()
    return rebuild_all(arguments) if arguments.names else list_studies(arguments.studies)


def rebuild_all(arguments: argparse.Namespace) -> int:
    """Rebuild results, report and the MLflow copy of studies from their ledgers, and compare them.

    MLflow is left behind where its store cannot be used, with a warning.

    Raises:
        LedgerError: For a study that cannot be read or written.
        TrackingError: For a URI that names no store.
    """
    from study.tracking.store_check import check_store
    from study.tracking.tracking_uri import StoreUnavailableError, choose_uri, default_uri

    console = make_console()
    folders = dict.fromkeys(find_study(arguments.studies, name) for name in arguments.names)
    ledgers = [Ledger.open(folder) for folder in folders]
    default = default_uri(PROJECT)
    uris = [choose_uri(arguments.tracking_uri, ledger.study.tracking_uri, default) for ledger in ledgers]
    available = dict.fromkeys(uris, True)
    for uri in available:
        try:
            check_store(uri)
        except StoreUnavailableError as error:
            warn_of(error)
            available[uri] = False
    views = [
        rebuild(ledger, uri if available[uri] else None, console, arguments.trust_code, arguments.margin)
        for ledger, uri in zip(ledgers, uris, strict=True)
    ]
    if len(ledgers) > 1:
        from study.reporting.comparison import write_comparison

        path = write_comparison(ledgers, arguments.studies.absolute(), console, arguments.margin)
        console.print(f"\nThe comparison: {from_here(path)}", soft_wrap=True)
    else:
        show_next(ledgers[0].root, arguments.studies, arguments.tracking_uri, uris[0], console, views[0])
    return FINISHED


def rebuild(
    ledger: Ledger, uri: str | None, console: Console, trusted: bool = False, margin: float | None = None
) -> str | None:
    """Write a study's results, report and views again, without MLflow where `uri` is None, and show its table.

    Returns the address of its trials in MLflow, where they are there.
    """
    with ledger.locked():
        status = "finished" if is_complete(ledger) else "interrupted"
        results = write_results(ledger, status, redraw=True, margin=margin)
        try:
            return rebuild_views(ledger, uri, status, trusted)
        finally:
            show_results(results, console)  # last: a closed pipe (`| head`) ends the command here
            if (findings := read_findings(ledger)) is not None:
                show_answer(findings, console)


def list_studies(studies: Path) -> int:
    """Show the studies of a folder.

    Raises:
        LedgerError: Where there is no such folder.
    """
    if url_of(studies) is None and not studies.is_dir() and studies != STUDIES:
        raise LedgerError(f"There is no folder {studies}: --studies names where studies are kept.")
    console, ledgers = make_console(), list(open_studies(studies))
    if ledgers:
        console.print(overview(ledgers).fit(console, most_lines=True)[0])
        say(console, "With the name of a study, or the beginning of it, this command shows what it found.")
    else:
        say(
            console,
            f"There are no studies in {shown(studies)}: study/run.py --list shows the questions that can be asked.",
        )
    return FINISHED


def warn_of(error: Exception) -> None:
    """Say what keeps MLflow from being brought up to date."""
    text = f"{error} MLflow lacks the newest results; the study folder has everything."
    warnings.warn(text, RuntimeWarning, stacklevel=2)


def rebuild_views(ledger: Ledger, uri: str | None, status: str, trusted: bool = False) -> str | None:
    """Write MLflow's copy and optuna.db again, the latter if the space's file still defines the trials' parameters.

    Returns the address of the trials in MLflow, where they are there.
    """
    from search_spaces import SpaceError
    from study.ledger.own_code import OwnCodeError, study_space
    from study.tracking.mlflow_sync import MlflowCopy
    from study.tracking.optuna_db import FILE, write_database
    from study.tracking.tracker import Progress
    from study.tracking.tracking_uri import StoreUnavailableError

    view = None
    if uri is not None:
        copy = MlflowCopy(ledger, uri)
        try:
            copy.update(Progress(status))
        except StoreUnavailableError as error:
            warn_of(error)
        view = copy.view
    try:
        space = study_space(ledger.study, trusted)
        write_database(ledger, space, partial(warnings.warn, category=RuntimeWarning, stacklevel=1))
    except (OwnCodeError, SpaceError) as error:
        warnings.warn(f"{shown(ledger.root / FILE)} stays as it is: {error}", RuntimeWarning, stacklevel=1)
    return view


def main() -> int:
    """Run the command line and return its exit code."""
    return run_command(report)


if __name__ == "__main__":
    sys.exit(main())
