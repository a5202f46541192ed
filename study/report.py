"""What a study found, written and shown: `python study/report.py NAME` makes it again from the ledger."""

import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

from rich.console import Console

from study import PROJECT
from study.command_line import FINISHED, STUDIES, Parser, fail_on, warn_in_a_line
from study.ledger import Ledger, write_whole
from study.progress import make_console
from study.results import is_complete, study_results
from study.table import CROSS_VALIDATION, EVALUATION, TITLES, footnotes, has_evaluation, markdown_table, rich_table


def write_results(ledger: Ledger, status: str) -> dict[str, Any]:
    """Writes results.json and table.md from the ledger, unless they are up to date; returns the results."""
    results = study_results(ledger, status)
    if results == ledger.results() and (ledger.root / "table.md").is_file():
        return results
    ledger.write_results(results)
    text = markdown_report(results, ledger.study()).encode()
    write_whole(ledger.root / "table.md", lambda file: file.write(text))
    return results


def prefixes(results: dict[str, Any]) -> list[str]:
    """Which tables there are."""
    return [CROSS_VALIDATION, EVALUATION] if has_evaluation(results) else [CROSS_VALIDATION]


def markdown_report(results: dict[str, Any], study: dict[str, Any]) -> str:
    """The content of table.md."""
    parts = [f"# {study['study']}", study["question"], context(results, study)]
    for prefix in prefixes(results):
        parts += [f"## {TITLES[prefix]}", markdown_table(results, study["varied"], prefix)]
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
        f"{len(study['corpus']['folds'])} folds, seed {results['seed']}. Protocol {results['protocol']}: "
        f"{optimism[results['protocol']]}. Var is the variance over the tags, times 1000.{left_out(study)}"
    )


def left_out(study: dict[str, Any]) -> str:
    """Which rows of the space could not be run on the corpus, in a sentence; nothing where all could."""
    names = [row["name"] for row in study.get("left_out", [])]
    return f" Left out, because the corpus has no stereo recordings: {'; '.join(names)}." if names else ""


def failures(results: dict[str, Any]) -> list[str]:
    """A line for each failed trial."""
    return [
        f"Trial {trial['key']} failed: {trial['reason']}." for trial in results["trials"] if trial["status"] == "failed"
    ]


def show_results(results: dict[str, Any], study: dict[str, Any], console: Console) -> None:
    """The tables on the terminal."""
    for prefix in prefixes(results):
        console.print(TITLES[prefix], soft_wrap=True)
        console.print(rich_table(results, study["varied"], prefix))
    console.print(context(results, study), soft_wrap=not console.is_terminal)
    for line in footnotes(results):
        console.print(line, style="dim", soft_wrap=not console.is_terminal)
    for line in failures(results):
        console.print(line, style="red", soft_wrap=True)


def show_next(root: Path, studies: Path, uri: str, console: Console) -> None:
    """The commands that come next."""
    server = uri.startswith(("http://", "https://", "databricks"))
    look = f"open {uri}" if server else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
    where = "" if studies == STUDIES else f" --studies {shlex.quote(str(studies))}"
    console.print("\nNext:")
    console.print(f"  compare the trials    {look}", soft_wrap=True)
    console.print(f"  results as data       {root / 'results.json'}", soft_wrap=True)
    console.print(f"  write all this again  python study/report.py {shlex.quote(root.name)}{where}", soft_wrap=True)


def main() -> int:
    """Rebuilds results.json, table.md and the MLflow projection of a study from its ledger, and shows the table."""
    parser = Parser(prog="study/report.py", description="Rebuild a study's report and its MLflow runs from its ledger.")
    parser.add_argument("name", help="of the study")
    parser.add_argument("--studies", type=Path, default=STUDIES, metavar="DIR", help="where studies are kept")
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow server or store to bring up to date")
    arguments = parser.parse_args()
    warnings.showwarning = warn_in_a_line
    console = make_console()
    try:
        from study.projection import Projection
        from study.tracking import check_server, default_uri

        ledger = Ledger.open((arguments.studies / arguments.name).absolute())
        uri = arguments.tracking_uri or default_uri(PROJECT)
        check_server(uri)
        with ledger.locked():
            status = "finished" if is_complete(ledger) else "interrupted"
            results = write_results(ledger, status)
            show_results(results, ledger.study(), console)
            Projection(ledger, uri).update({}, status)
    except ValueError as error:
        fail_on(error)
    show_next(ledger.root, arguments.studies, uri, console)
    return FINISHED


if __name__ == "__main__":
    sys.exit(main())
