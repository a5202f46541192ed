"""What a study found, written and shown: `python study/report.py NAME` makes it again from the ledger."""

import argparse
import shlex
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from audiotag.cli import FINISHED, Parser, parse_path, parse_text
from study import PROJECT
from study.cli import STUDIES, make_console, run_command
from study.ledger.files import write_text
from study.ledger.ledger import Ledger
from study.ledger.results import (
    CROSS_VALIDATION,
    EVALUATION,
    SHOWN_ROWS,
    has_evaluation,
    has_repeats,
    is_complete,
    study_results,
)
from study.ledger.seeds import seeds_in_words
from study.reporting.tables import (
    SD_SEEDS,
    STOPPED,
    TITLES,
    best_trials,
    footnotes,
    left_out,
    markdown_stopped,
    markdown_table,
    of_status,
    rich_stopped,
    rich_table,
)

FIGURES = "figures"  # a folder
SEEDS_NOTE = f" Figures are means over the seeds; {SD_SEEDS} is the standard deviation of Avg from seed to seed."


def write_results(ledger: Ledger, status: str, redraw: bool = False) -> dict[str, Any]:
    """Writes results.json, table.md and report.html from the ledger, unless they are up to date; returns the results.

    The results come first, and a report that cannot be drawn costs one warning. `redraw` draws it in any case.
    """
    results = study_results(ledger, status)
    table, page = ledger.root / "table.md", ledger.root / "report.html"
    current = results == ledger.results()
    if not current or not table.is_file():
        ledger.write_results(results)
        write_text(table, markdown_report(results, ledger.study()))
    if redraw or not current or not page.is_file():
        try:
            write_report(ledger, results)
        except Exception as error:  # whatever it is, the results are safe
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            text = f"The report of {ledger.root.name} could not be drawn ({reason}); its results are in {table.parent}."
            warnings.warn(text, RuntimeWarning, stacklevel=2)
    return results


def write_report(ledger: Ledger, results: dict[str, Any]) -> None:
    """Writes report.html, its figures, and table.md with what they show."""
    from study.reporting.html import draw, study_page
    from study.reporting.prose import markdown_findings
    from study.stats.analysis import find

    findings = find(ledger, results)
    figures = draw(findings, ledger)
    page = study_page(findings, figures)
    text = f"{markdown_report(results, ledger.study())}\n{markdown_findings(findings)}\n"
    write_figures(ledger.root / FIGURES, figures)
    write_text(ledger.root / "table.md", text)
    write_text(ledger.root / "report.html", page)


def write_figures(folder: Path, figures: dict[str, Any]) -> None:
    """Writes each panel as a file, and removes those of panels that are no more."""
    folder.mkdir(exist_ok=True)
    drawn = {f"{panel.name}.svg": panel.file() for panels in figures.values() for panel in panels}
    for path in folder.glob("*.svg"):
        if path.name not in drawn:
            path.unlink()
    for name, content in drawn.items():
        write_text(folder / name, content)


def prefixes(results: dict[str, Any]) -> list[str]:
    """Which tables there are."""
    return [CROSS_VALIDATION, EVALUATION] if has_evaluation(results) else [CROSS_VALIDATION]


def markdown_report(results: dict[str, Any], study: dict[str, Any]) -> str:
    """The content of table.md."""
    parts = [f"# {study['study']}", study["question"], context(results, study)]
    judged = of_status(results, stopped=False)
    for prefix in prefixes(results):
        parts += [f"## {TITLES[prefix]}", markdown_table(judged, study["varied"], prefix)]
    if len(judged["trials"]) < len(results["trials"]):
        parts += [f"## {STOPPED}", markdown_stopped(results, study["varied"])]
    return "\n\n".join([*parts, *footnotes(results), *failures(results)]) + "\n"


def context(results: dict[str, Any], study: dict[str, Any]) -> str:
    """What the figures are about, and how far they can be trusted, in a paragraph."""
    partial = (
        ""
        if results["status"] == "finished"
        else f"Interrupted: {len(results['trials'])} of {study['trials']} trials. "
    )
    optimism = {
        "paper": "the held-out fold also stopped the training, so the figures are optimistic",
        "nested": "the held-out folds were only scored",
    }
    synthetic = " (synthetic: says nothing about real recordings)" if study["corpus"]["kind"] == "synthetic" else ""
    return (
        f"{partial}Corpus {results['corpus']}{synthetic}, {study['corpus']['development_clips']} clips in "
        f"{len(study['corpus']['folds'])} folds, {seeds_in_words(study)}. Protocol {results['protocol']}: "
        f"{optimism[results['protocol']]}. Var is the variance over the tags, times 1000."
        f"{SEEDS_NOTE if has_repeats(results) else ''} {left_out(study)}"
    ).rstrip()


def failures(results: dict[str, Any]) -> list[str]:
    """A line for each failed trial."""
    return [
        f"Trial {trial['key']} failed: {trial['reason']}." for trial in results["trials"] if trial["status"] == "failed"
    ]


def show_results(results: dict[str, Any], study: dict[str, Any], console: Console) -> None:
    """The tables on the terminal; of a large study the best rows of each, and how many more there are."""
    judged, stopped = of_status(results, stopped=False), of_status(results, stopped=True)
    best = best_trials(judged)
    for prefix in prefixes(results):
        console.print(TITLES[prefix], soft_wrap=True)
        console.print(rich_table(best, study["varied"], prefix))
    if len(best["trials"]) < len(judged["trials"]):
        rest = f"Shown are the best {SHOWN_ROWS} of {len(judged['trials'])} trials; table.md has all."
        console.print(rest, soft_wrap=True)
    if stopped["trials"]:
        console.print(STOPPED, soft_wrap=True)
        console.print(rich_stopped(stopped | {"trials": stopped["trials"][-SHOWN_ROWS:]}, study["varied"]))
        if len(stopped["trials"]) > SHOWN_ROWS:
            rest = f"Shown are the last {SHOWN_ROWS} of {len(stopped['trials'])} trials; table.md has all."
            console.print(rest, soft_wrap=True)
    console.print(context(results, study), soft_wrap=not console.is_terminal)
    for line in footnotes(results):
        console.print(line, style="dim", soft_wrap=not console.is_terminal)
    failed = failures(results)
    more = [f"{len(failed) - SHOWN_ROWS} more trials failed; table.md has all."] if len(failed) > SHOWN_ROWS else []
    for line in [*failed[:SHOWN_ROWS], *more]:
        console.print(line, style="red", soft_wrap=True)


def report_command(root: Path, studies: Path, tracking_uri: str | None) -> str:
    """The command that writes a study's report and MLflow's copy of it again."""
    words = ["python", "study/report.py", root.name]
    words += ["--studies", str(studies)] if studies != STUDIES else []
    return shlex.join([*words, "--tracking-uri", tracking_uri] if tracking_uri else words)


def show_next(root: Path, studies: Path, tracking_uri: str | None, uri: str, console: Console) -> None:
    """The commands that come next."""
    server = uri.startswith(("http://", "https://", "databricks"))
    look = f"open {uri}" if server else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
    console.print("\nNext:")
    console.print(f"  what it means         {root / 'report.html'}", soft_wrap=True)
    console.print(f"  compare the trials    {look}", soft_wrap=True)
    console.print(f"  results as data       {root / 'results.json'}", soft_wrap=True)
    console.print(f"  write all this again  {report_command(root, studies, tracking_uri)}", soft_wrap=True)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    what = "Rebuild the report and the MLflow runs of studies; compare several."
    parser = Parser(prog="study/report.py", description=what)
    add = parser.add_argument
    several = "of a study; several are also compared with each other"
    add("names", nargs="+", type=parse_text, metavar="NAME", help=several)
    add("--studies", type=parse_path, default=STUDIES, metavar="DIR", help="where studies are kept (default studies)")
    add("--tracking-uri", type=parse_text, metavar="URI", help="MLflow server or store to bring up to date")
    return parser.parse_args(words)


def rebuild_all(arguments: argparse.Namespace) -> int:
    """Rebuilds the results, the report and the MLflow projection of studies from their ledgers, and compares them.

    Raises:
        LedgerError, TrackingError: for what cannot be done.
    """
    from study.tracking.mlflow_store import check_server, default_uri

    console, names = make_console(), list(dict.fromkeys(arguments.names))
    ledgers = [Ledger.open((arguments.studies / name).absolute()) for name in names]
    uri = arguments.tracking_uri or default_uri(PROJECT)
    check_server(uri)
    for ledger in ledgers:
        rebuild(ledger, uri, console)
    if len(ledgers) > 1:
        from study.reporting.comparison import write_comparison

        path = write_comparison(ledgers, arguments.studies.absolute(), console)
        console.print(f"\nThe comparison: {path}", soft_wrap=True)
    else:
        show_next(ledgers[0].root, arguments.studies, arguments.tracking_uri, uri, console)
    return FINISHED


def rebuild(ledger: Ledger, uri: str, console: Console) -> None:
    """Writes a study's results, report and MLflow projection again, and shows its table."""
    from study.tracking.mlflow_sync import MlflowCopy
    from study.tracking.tracker import Progress

    with ledger.locked():
        status = "finished" if is_complete(ledger) else "interrupted"
        results = write_results(ledger, status, redraw=True)
        try:
            MlflowCopy(ledger, uri).update(Progress(status))
            rebuild_view(ledger)
        finally:
            show_results(results, ledger.study(), console)  # last: a closed pipe (`| head`) ends the command here


def rebuild_view(ledger: Ledger) -> None:
    """Writes optuna.db again, as long as the space's file says what the trials' parameters are."""
    from search_spaces import SpaceError, load_space
    from study.tracking.optuna_db import FILE, write_database

    try:
        space = load_space(ledger.study()["space"])
        if space.fingerprint == ledger.study()["space_fingerprint"]:
            return write_database(ledger, space, partial(warnings.warn, category=RuntimeWarning, stacklevel=1))
        why = f"the file of the space `{space.name}` has changed"
    except SpaceError as error:
        why = str(error)
    warnings.warn(f"{ledger.root / FILE} stays as it is: {why}", RuntimeWarning, stacklevel=1)


def main() -> int:
    """Runs the command line and returns its exit code."""
    return run_command(partial(rebuild_all, parse()))


if __name__ == "__main__":
    sys.exit(main())
