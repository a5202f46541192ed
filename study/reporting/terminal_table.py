"""What a study found, on the terminal, and the commands that come next."""

import shlex
from pathlib import Path

from rich.console import Console

from study.cli import STUDIES
from study.ledger.schema import StudyResults
from study.reporting.prose import context, failures, rest
from study.reporting.tables import PRUNED, TITLES, best_trials, footnotes, paper_table, pruned_table, splits
from study.stats.analysis import SHOWN_ROWS


def show_results(results: StudyResults, console: Console) -> None:
    """Print the tables; of a large study the best rows of each, and how many more there are."""
    judged, pruned = results.with_status("finished", "failed"), results.with_status("pruned")
    best = best_trials(judged)
    for split in splits(judged):
        console.print(TITLES[split], soft_wrap=True)
        console.print(paper_table(results.study, best, split).rich())
    for line in rest(len(judged), "best") if len(best) < len(judged) else []:
        console.print(line, soft_wrap=True)
    if pruned:
        console.print(PRUNED, soft_wrap=True)
        console.print(pruned_table(results.study, pruned[-SHOWN_ROWS:]).rich())
        for line in rest(len(pruned), "last"):
            console.print(line, soft_wrap=True)
    console.print(context(results), soft_wrap=not console.is_terminal)
    for line in footnotes(judged):
        console.print(line, style="dim", soft_wrap=not console.is_terminal)
    failed = failures(results)
    for line in [*failed[:SHOWN_ROWS], *rest(len(failed), "first")]:
        console.print(line, style="red", soft_wrap=True)


def report_command(root: Path, studies: Path, tracking_uri: str | None) -> str:
    """The command that writes a study's report and MLflow's copy of it again."""
    words = ["python", "study/report.py", root.name]
    words += ["--studies", str(studies)] if studies != STUDIES else []
    return shlex.join([*words, "--tracking-uri", tracking_uri] if tracking_uri else words)


def show_next(root: Path, studies: Path, tracking_uri: str | None, uri: str, console: Console) -> None:
    """Print the commands that come next."""
    server = uri.startswith(("http://", "https://", "databricks"))
    look = f"open {uri}" if server else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
    console.print("\nNext:")
    console.print(f"  what it means         {root / 'report.html'}", soft_wrap=True)
    console.print(f"  compare the trials    {look}", soft_wrap=True)
    console.print(f"  results as data       {root / 'results.json'}", soft_wrap=True)
    console.print(f"  write all this again  {report_command(root, studies, tracking_uri)}", soft_wrap=True)
