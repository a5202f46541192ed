"""What a study found, on the terminal, and the commands that come next."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from audiotag.corpus.errors import count
from audiotag.uris import public, public_command
from study.cli import STUDIES
from study.ledger.findings import Findings
from study.ledger.schema import StudyResults
from study.reporting.prose import context, failures, rest
from study.reporting.results_files import REPORT, TABLE
from study.reporting.tables import PRUNED, Table, best_trials, footnotes, paper_table, pruned_table, splits
from study.stats.analysis import SHOWN_ROWS

FURTHER = 1  # metrics beside the objective


def show_results(results: StudyResults, console: Console, findings: Findings | None = None) -> None:
    """Print the tables, of a large study the best rows of each and how many more there are; then the answer."""
    judged, pruned = results.with_status("finished", "failed"), results.with_status("pruned")
    say = partial(console.print, soft_wrap=not console.is_terminal)  # a terminal would break words
    best = best_trials(judged)
    missing: dict[str, None] = {}
    for split in splits(judged):
        table = paper_table(results.study, best, split, most=FURTHER)
        fitted, left_out = table.fit(console)
        say(table.title)
        console.print(fitted)
        missing |= dict.fromkeys(not_shown(table, left_out, console.width))
    for line in [*missing, *(rest(len(judged), "best") if len(best) < len(judged) else [])]:
        say(line)
    if pruned:
        say(PRUNED)
        console.print(pruned_table(results.study, pruned[-SHOWN_ROWS:]).fit(console)[0])
        for line in rest(len(pruned), "last"):
            say(line)
    say(context(results))
    for line in footnotes(judged):
        say(line, style="dim")
    failed = failures(results)
    for line in [*failed[:SHOWN_ROWS], *rest(len(failed), "first")]:
        say(line, style="red")
    if findings is not None:
        show_answer(findings, console)


def show_answer(findings: Findings, console: Console) -> None:
    """Print the answer, what goes with it, and the caveats."""
    say = partial(console.print, soft_wrap=not console.is_terminal, highlight=False, markup=False)
    say(f"\n{findings.answer}")
    if findings.confirmation is not None:
        say(findings.confirmation)
    for line in findings.details:
        say(f"- {line}")
    if findings.command is not None:
        console.print(f"- To settle it: {findings.command}", soft_wrap=True, highlight=False, markup=False)
    for line in findings.caveats:
        say(f"- Caution: {line}", style="yellow")


def not_shown(table: Table, left_out: Sequence[int], width: int) -> list[str]:
    """Where the columns are that do not fit: those of tags, which leave first, and others."""
    tags = [number for number in left_out if number in table.tags]
    others = [table.header[number] for number in left_out if number not in (*table.tags, *table.extra)]
    missing = [count(len(tags), "tag")] * bool(tags) + others
    where = f"{TABLE} and {REPORT} have {'the figures of each tag' if tags else 'them'}"
    return [f"Not shown in {width} columns: {', '.join(missing)}; {where}."] if missing else []


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
