"""Several studies side by side: their rows in one table, tested against each other where that means something."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from study.format import decimal, signed
from study.ledger.files import write_text
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete, study_results
from study.reporting.figures import differences
from study.reporting.html import render
from study.reporting.prose import answer, capitalised
from study.reporting.style import style
from study.stats.analysis import Findings, Row, choose_baseline, compare, find, make_row

LONGEST_NAME = 120  # characters of a file's name


@dataclass(eq=False)
class Comparison:
    """Some studies, and all of them together as if they were one."""

    findings: list[Findings]
    together: Findings | None  # None where their figures are of different things
    different: list[str]  # what differs, and what it means


def compare_studies(ledgers: list[Ledger]) -> Comparison:
    """The findings of each study, and of all rows together where corpus, tags, folds and protocol are the same."""
    found = []
    for ledger in ledgers:
        status = "finished" if is_complete(ledger) else "interrupted"
        found.append(find(ledger, study_results(ledger, status)))
    different = differences_between(found)
    parts = {"the corpus": _corpus, "the protocol": lambda f: f.results["protocol"]}
    paired = all(len({str(part(f)) for f in found}) == 1 for part in parts.values())
    return Comparison(found, join(found) if paired else None, different)


def differences_between(found: list[Findings]) -> list[str]:
    """What differs between studies beside their questions, a sentence each."""
    said = []
    if len({str(_corpus(f)) for f in found}) > 1:
        said.append("The corpora differ, so the figures are of different things and nothing is tested.")
    if len({f.results["protocol"] for f in found}) > 1:
        said.append(
            "The protocols differ: figures of `paper` are optimistic and those of `nested` are not; nothing is tested."
        )
    if len({f.results["seed"] for f in found}) > 1:
        said.append("The seeds differ: the folds are the same, the initial weights and the order of clips are not.")
    if len({f.results.get("repeats", 1) for f in found}) > 1:
        said.append("The repeats differ: a figure of one study is a mean over more seeds than one of another.")
    if len({str(f.study.get("settings")) for f in found}) > 1:
        said.append("The settings that no space varies differ: see each study's own report.")
    return said


def _corpus(findings: Findings) -> tuple[str, list[str], list[int]]:
    corpus = findings.study["corpus"]
    return corpus["fingerprint"], corpus["tags"], corpus["folds"]


def join(found: list[Findings]) -> Findings:
    """All shown rows of the studies as one, against the first study's baseline. A trial that two studies share is there
    once."""
    known = {id(f): {row.key: row for row in f.shown} for f in found}
    columns = list(dict.fromkeys(name for f in found for name in f.columns))
    shown = [(f, row) for f in found for row in f.shown]
    values = {name: {str(row.params.get(name)) for _, row in shown} for name in columns}
    named = [name for name in columns if len(values[name]) > 1] or columns
    rows: dict[str, Row] = {}
    for f, row in shown:
        if row.key not in rows:
            joined = make_row(f.study["study"], row.result, columns, named)
            joined.intervals = known[id(f)][row.key].intervals
            joined.label = f"{joined.label} ({f.study['study']})"
            rows[row.key] = joined
    first = found[0]
    merged = list(rows.values())
    baseline = rows.get(first.baseline.key) if first.baseline else choose_baseline(merged, first.study)[0]
    compare(merged, baseline, len(first.study["corpus"]["folds"]))
    return Findings(
        study=first.study,
        results=first.results | {"status": "finished"},
        columns=columns,
        scientific=named,
        rows=merged,
        baseline=baseline,
        why_baseline=f"the baseline of {first.study['study']} ({first.why_baseline})",
        shown=merged,
        missing=[],
        selection_optimism=None,
        stopping_optimism=None,
    )


def file_name(names: list[str]) -> str:
    """The comparison's file name without suffix; long lists end in a hash."""
    name = "comparison-" + "+".join(names)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_comparison(ledgers: list[Ledger], folder: Path, console: Console) -> Path:
    """Writes comparison-A+B.html and .md beside the studies, shows the table, and returns the page's path."""
    comparison = compare_studies(ledgers)
    names = [ledger.root.name for ledger in ledgers]
    path = folder / f"{file_name(names)}.html"
    with style():
        figures = differences(comparison.together) if comparison.together else []
    page = render(
        "comparison.html",
        title=f"Comparison of {', '.join(names)}",
        comparison=comparison,
        together=comparison.together,
        answer=capitalised(answer(comparison.together)) if comparison.together else None,
        answers=[capitalised(answer(f)) for f in comparison.findings],
        figures=figures,
    )
    for content, target in ((page, path), (markdown(comparison), path.with_suffix(".md"))):
        write_text(target, content)
    console.print(f"\nComparison of {', '.join(names)}", soft_wrap=True)
    console.print(terminal_table(comparison))
    for line in comparison.different:
        console.print(line, soft_wrap=True)
    return path


HEADER = ("study", "trial", "Avg", "95 % interval", "difference", "Holm p", "in words")


def cells(row: Row, tested: bool) -> list[str]:
    """A row of the comparison as text."""
    held = row.intervals.get("mean")
    interval = "" if held is None else f"{decimal(held[0])} to {decimal(held[1])}"
    there = tested and row.test is not None
    difference = signed(row.test.difference) if there and row.test else ""
    return [
        row.study,
        row.label.removesuffix(f" ({row.study})"),
        decimal(row.mean),
        interval,
        difference,
        decimal(row.adjusted) if there else "",
        row.words if tested else "",
    ]


def all_cells(comparison: Comparison) -> list[list[str]]:
    """The rows of all studies as text."""
    if comparison.together:
        return [cells(row, tested=True) for row in comparison.together.rows]
    return [cells(row, tested=False) for f in comparison.findings for row in f.shown]


def terminal_table(comparison: Comparison) -> Table:
    """The comparison for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in HEADER:
        table.add_column(name, justify="left" if name in ("study", "trial", "in words") else "right", overflow="fold")
    for row in all_cells(comparison):
        table.add_row(*row)
    return table


def markdown(comparison: Comparison) -> str:
    """The comparison in Markdown."""
    head = ["# Comparison of " + ", ".join(f.study["study"] for f in comparison.findings)]
    if comparison.together:
        head.append(answer(comparison.together))
    lines = [HEADER, ["---"] * len(HEADER), *all_cells(comparison)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return "\n\n".join([*head, table, *comparison.different]) + "\n"
