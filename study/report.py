"""What a study found, written and shown: `python study/report.py NAME` makes it again from the ledger."""

from typing import Any

from rich.console import Console

from study.ledger import Ledger, write_whole
from study.results import study_results
from study.table import CROSS_VALIDATION, EVALUATION, TITLES, has_evaluation, markdown_table, rich_table


def write_results(ledger: Ledger, status: str) -> dict[str, Any]:
    """Writes results.json and table.md from the ledger; returns the results."""
    results = study_results(ledger, status)
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
    return "\n\n".join([*parts, *failures(results)]) + "\n"


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
        f"{optimism[results['protocol']]}. Var is the variance over the tags, times 1000."
    )


def failures(results: dict[str, Any]) -> list[str]:
    """A line for each failed trial."""
    return [
        f"Trial {trial['key']} failed: {trial['reason']}." for trial in results["trials"] if trial["status"] == "failed"
    ]


def show_results(results: dict[str, Any], study: dict[str, Any], console: Console) -> None:
    """The tables on the terminal."""
    for prefix in prefixes(results):
        console.print(rich_table(results, study["varied"], prefix))
    console.print(context(results, study), soft_wrap=not console.is_terminal)
    for line in failures(results):
        console.print(f"[red]{line}[/red]", soft_wrap=True)
