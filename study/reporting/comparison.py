"""Several studies side by side: their rows in one table, tested against each other where that is meaningful."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from rich.console import Console

from study.format import decimal, signed
from study.ledger.files import write_text
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete, study_results
from study.reporting.prose import answer
from study.reporting.section import render
from study.reporting.sections.against_baseline import CAPTION, INTERVAL, differences, p_value
from study.reporting.style import style
from study.reporting.tables import CROSS_VALIDATION, Line, Table, figure_cells, further_metrics, mean_of, range_of
from study.stats.analysis import Analysis, ResultRow, analyse, choose_baseline, compare, make_row

LONGEST_NAME = 120  # characters of a file's name
DIFFERENCES = {  # what two studies may differ in beside their questions
    "The corpora differ, so the figures are of different things and nothing is tested.": attrgetter(
        "corpus.fingerprint", "tags", "folds"
    ),
    "The protocols differ: figures of `paper` are optimistic and those of `nested` are not; nothing is tested.": (
        attrgetter("protocol")
    ),
    "The seeds differ: the folds are the same, the initial weights and the order of clips are not.": attrgetter("seed"),
    "The repeats differ: a figure of one study is a mean over more seeds than one of another.": attrgetter("repeats"),
    "The settings that no space varies differ: see each study's own report.": attrgetter("settings"),
}
UNTESTED = tuple(DIFFERENCES)[:2]


@dataclass(eq=False)
class Comparison:
    """Some studies, and all of them together as if they were one.

    Attributes:
        together: None where their figures are of different things.
        different: What differs between them, and its consequence.
    """

    analyses: list[Analysis]
    together: Analysis | None
    different: list[str]


def compare_studies(ledgers: Sequence[Ledger]) -> Comparison:
    """Analyse each study, and all rows together where corpus, tags, folds and protocol are the same."""
    found = []
    for ledger in ledgers:
        status = "finished" if is_complete(ledger) else "interrupted"
        found.append(analyse(ledger, study_results(ledger, status)))
    different = [text for text, part in DIFFERENCES.items() if len({str(part(each.study)) for each in found}) > 1]
    return Comparison(found, None if set(UNTESTED) & set(different) else join(found), different)


def join(found: Sequence[Analysis]) -> Analysis:
    """Join all shown rows against the first study's baseline; a trial that two studies share is there once."""
    varied = list(dict.fromkeys(name for each in found for name in each.study.varied))
    shown = [row for each in found for row in each.shown]
    named = [name for name in varied if len({str(row.params.get(name)) for row in shown}) > 1] or varied
    rows: dict[str, ResultRow] = {}
    for row in shown:
        made = make_row(row.study, row.result, named)
        made.label, made.intervals = f"{made.label} ({row.study})", row.intervals
        rows.setdefault(row.key, made)
    first, merged = found[0], list(rows.values())
    baseline = rows.get(first.baseline.key) if first.baseline else choose_baseline(merged, first.study)[0]
    compare(merged, baseline, len(first.study.folds))
    return Analysis(
        replace(first.results, status="finished", trials=tuple(row.result for row in merged)),
        scientific=named,
        rows=merged,
        baseline=baseline,
        baseline_reason=f"the baseline of {first.study.name} ({first.baseline_reason})",
        shown=merged,
    )


def file_name(names: Sequence[str]) -> str:
    """The comparison's file name without suffix; long lists end in a hash."""
    name = "comparison-" + "+".join(names)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_comparison(ledgers: Sequence[Ledger], folder: Path, console: Console) -> Path:
    """Write comparison-A+B.html and .md beside the studies, show the table, and return the page's path."""
    comparison = compare_studies(ledgers)
    together, names = comparison.together, [ledger.root.name for ledger in ledgers]
    parts = [together] if together else comparison.analyses
    title = f"Comparison of {', '.join(names)}"
    table = rows_table(comparison, [row for each in parts for row in each.shown])
    path = folder / f"{file_name(names)}.html"
    answers = [answer(together)] if together else []
    with style():
        panels = differences(together) if together else []
    page = render(
        "comparison.html",
        title=title,
        comparison=comparison,
        answers=answers,
        studies=studies_table(comparison),
        tables=[rows_table(comparison, each.shown, each.study.tags) for each in parts],
        figures=panels,
        caption=CAPTION,
    )
    text = "\n\n".join([f"# {title}", *answers, table.markdown(), *comparison.different]) + "\n"
    write_text(path, page)
    write_text(path.with_suffix(".md"), text)
    console.print(f"\n{title}", soft_wrap=True)
    console.print(table.rich())
    for line in comparison.different:
        console.print(line, soft_wrap=True)
    return path


def studies_table(comparison: Comparison) -> Table:
    """The studies, with their answers."""
    header = ["study", "corpus", "protocol", "seed", "trials", "question", "answer"]
    lines = []
    for each in comparison.analyses:
        study = each.study
        trials = f"{len(each.results.trials)} of {study.trials}"
        facts = [study.name, study.corpus.name, study.protocol, str(study.seed), trials]
        lines.append(Line([*facts, study.question.splitlines()[0], answer(each)]))
    return Table("The studies", header, lines, left=3, right=2)


def rows_table(comparison: Comparison, rows: Sequence[ResultRow], tags: Sequence[str] = ()) -> Table:
    """Rows of studies, on a page with the figures of `tags`."""
    further = further_metrics([row.result for row in rows], CROSS_VALIDATION)
    header = ["study", "trial", *tags, "Avg", INTERVAL, *[metric.title for metric in further]]
    lines = []
    for row in rows:
        test = row.test if comparison.together else None
        by_tag = figure_cells(row.result, CROSS_VALIDATION, tags, row=row)[: len(tags)]
        means = [decimal(mean_of(row.result, CROSS_VALIDATION, metric.name)) for metric in further]
        cells = [row.study, row.label.removesuffix(f" ({row.study})"), *by_tag, decimal(row.mean)]
        cells += [range_of(row.intervals.get("mean")), *means, signed(test.difference) if test else ""]
        cells += [p_value(row.adjusted), row.verdict] if comparison.together else ["", ""]
        lines.append(Line(cells, row.verdict.split()[0]))
    return Table("Rows", [*header, "difference", "Holm p", "verdict"], lines, left=2, right=1)
