"""What a study found, on the terminal, and the commands that come next."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from audiotag.corpus.errors import count
from audiotag.uris import is_server, public, public_command
from study.cli import STUDIES, from_here, pasteable, say
from study.cloud import shown
from study.ledger.files import read_json
from study.ledger.findings import Findings
from study.ledger.ledger import RESULTS_FILE
from study.ledger.schema import StudyRecord, StudyResults, TrialResult
from study.reporting.prose import context, failures, rest
from study.reporting.results_files import REPORT, TABLE
from study.reporting.tables import (
    Table,
    best_trials,
    footnotes,
    paper_table,
    pruned_table,
    pruned_title,
    splits,
    tags_in_words,
    without_common,
)
from study.stats.rows import SHOWN_ROWS

FURTHER = 1  # metrics beside the objective


def show_results(results: StudyResults, console: Console) -> None:
    """Print the tables, of a large study the best rows of each and how many more there are."""
    judged, pruned = results.with_status("finished", "failed"), results.with_status("pruned")
    best = best_trials(judged)
    missing: dict[str, None] = {}
    for split in splits(judged):
        title, fitted, lacks = fit_paper_table(results.study, best, split, console)
        say(console, title)
        console.print(fitted)
        missing |= dict.fromkeys(lacks)
    for line in [*missing, *(rest(len(judged), "best") if len(best) < len(judged) else [])]:
        say(console, line)
    if pruned:
        show_pruned(results.study, pruned, console)
    say(console, context(results))
    for line in footnotes(judged):
        say(console, line, style="dim")
    failed = failures(results)
    for line in [*failed[:SHOWN_ROWS], *rest(len(failed), "first")]:
        say(console, line, style="red")


def fit_paper_table(
    study: StudyRecord, trials: Sequence[TrialResult], split: str, console: Console
) -> tuple[str, RichTable, list[str]]:
    """The table in the paper's form with its title, as it fits a terminal, and lines on it: what does not fit, tags.

    Parameters that are the same in every row are in the title. The others share a column where that makes room for all.
    """
    varied, common = without_common(study, trials)
    table = paper_table(varied, trials, split, most=FURTHER)
    fitted, left_out = table.fit(console)
    if left_out:
        named, lacks = paper_table(varied, trials, split, most=FURTHER, named=True).fit(console, most_lines=True)
        fitted, left_out = (named, lacks) if not lacks else (fitted, left_out)
    title = f"{table.title}; {common}" if common else table.title
    names = tags_in_words(study) if not {*left_out} & {*table.tags} else ""
    return title, fitted, [*not_shown(table, left_out, console.width), *[names] * bool(names)]


def show_pruned(study: StudyRecord, trials: Sequence[TrialResult], console: Console) -> None:
    """Print the last of the pruned trials."""
    varied, common = without_common(study, trials[-SHOWN_ROWS:])
    title = pruned_title(study)
    say(console, f"{title}; {common}" if common else title)
    console.print(pruned_table(varied, trials[-SHOWN_ROWS:]).fit(console)[0])
    for line in rest(len(trials), "last"):
        say(console, line)


def show_answer(findings: Findings, console: Console) -> None:
    """Print the answer, what goes with it, and the caveats."""
    say(console, f"\n{findings.answer}")
    if findings.confirmation is not None:
        say(console, findings.confirmation)
    for line in findings.details:
        say(console, f"- {line}", indent=2)
    if findings.command is not None:
        command = pasteable(findings.command)
        console.print(f"- To settle it: {command}", soft_wrap=True, highlight=False, markup=False)
    for line in findings.caveats:
        say(console, f"- Caution: {line}", style="yellow", indent=2)


def not_shown(table: Table, left_out: Sequence[int], width: int) -> list[str]:
    """Where the columns are that do not fit: those of tags, which leave first, and others."""
    tags = [number for number in left_out if number in table.tags]
    others = [table.header[number] for number in left_out if number not in (*table.tags, *table.extra)]
    missing = [count(len(tags), "tag")] * bool(tags) + others
    where = f"{TABLE} and {REPORT} have {'the figures of each tag' if tags else 'them'}"
    return [f"Not shown in {width} columns: {', '.join(missing)}; {where}."] if missing else []


def report_command(root: Path, studies: Path, tracking_uri: str | None) -> str:
    """The command that writes a study's report and MLflow's copy of it again."""
    words = _command("report", root, studies)
    return public_command([*words, "--tracking-uri", tracking_uri] if tracking_uri else words)


def _has_winner(root: Path) -> bool:
    """Whether the results of a study have a finished trial."""
    found = read_json(root / RESULTS_FILE, dict) or {}
    return any(trial.get("status") == "finished" for trial in found.get("trials", []))


def _command(name: str, root: Path, studies: Path) -> list[str]:
    """The words of a command of a study that has ended."""
    words = ["python", f"study/{name}.py", root.name]
    return words + (["--studies", shown(studies)] if studies != STUDIES else [])


def password_notes(tracking_uri: str | None) -> list[str]:
    """What to say beside a command whose tracking URI has a password: nothing stores or shows that."""
    if tracking_uri is None or public(tracking_uri) == tracking_uri:
        return []
    return [
        "(The password of the tracking URI is not shown: add it, or set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD.)"
    ]


def look_commands(uri: str, view: str | None) -> list[str]:
    """How to look at the trials in MLflow, `view` being their address; the server of a database has to be started."""
    if is_server(uri):
        return [f"open {view}"] if view else []
    command = pasteable(public_command(["mlflow", "ui", "--backend-store-uri", uri]))
    return [command, *([f"then open {view}"] if view else [])]


def show_next(
    root: Path, studies: Path, tracking_uri: str | None, uri: str, console: Console, view: str | None = None
) -> None:
    """Print the commands that come next; `view` is the address of the trials in MLflow, where it has them."""
    console.print("\nNext:")
    listen, look = pasteable(public_command(_command("listen", root, studies))), look_commands(uri, view)
    for what, how in {
        "what it means": [from_here(root / REPORT)],
        **({"compare the trials": look} if look else {}),
        **({"hear what went wrong": [listen]} if _has_winner(root) else {}),
        "results as data": [from_here(root / RESULTS_FILE)],
        "write all this again": [pasteable(report_command(root, studies, tracking_uri))],
    }.items():
        fits = max(map(len, how)) <= console.width - 24 or not console.is_terminal
        lines = f"\n{'':{24 if fits else 4}}".join(how)
        console.print(f"  {what:21} {lines}" if fits else f"  {what}\n    {lines}", soft_wrap=True)
    for note in password_notes(tracking_uri):
        console.print(f"  {note}", soft_wrap=True)
