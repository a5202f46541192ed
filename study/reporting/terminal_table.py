"""What a study found, on the terminal, and the commands that come next."""

from pathlib import Path

from rich.console import Console

from audiotag.uris import public, public_command
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
    return public_command([*words, "--tracking-uri", tracking_uri] if tracking_uri else words)


def password_notes(tracking_uri: str | None) -> list[str]:
    """What to say beside a command whose tracking URI has a password: nothing stores or shows that."""
    if tracking_uri is None or public(tracking_uri) == tracking_uri:
        return []
    return [
        "(The password of the tracking URI is not shown: add it, or set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD.)"
    ]


def show_next(root: Path, studies: Path, tracking_uri: str | None, uri: str, console: Console) -> None:
    """Print the commands that come next."""
    server = uri.startswith(("http://", "https://", "databricks"))
    look = f"open {public(uri)}" if server else public_command(["mlflow", "ui", "--backend-store-uri", uri])
    console.print("\nNext:")
    console.print(f"  what it means         {root / 'report.html'}", soft_wrap=True)
    console.print(f"  compare the trials    {look}", soft_wrap=True)
    console.print(f"  results as data       {root / 'results.json'}", soft_wrap=True)
    console.print(f"  write all this again  {report_command(root, studies, tracking_uri)}", soft_wrap=True)
    for note in password_notes(tracking_uri):
        console.print(f"  {note}", soft_wrap=True)
