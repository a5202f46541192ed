"""results.json, table.md, report.html, findings.json and figures/: what a study found, as files."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from study.cloud import shown
from study.ledger.files import remove, write_text
from study.ledger.findings import FINDINGS_FILE, remove_findings, write_findings
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.ledger.schema import StudyResults
from study.reporting.conclusion import conclude
from study.reporting.prose import context, failures
from study.reporting.section import render
from study.reporting.sections import SECTIONS
from study.reporting.style import Panel, style
from study.reporting.tables import footnotes, paper_table, pruned_table, pruned_title, splits
from study.stats.analysis import analyse

REPORT, TABLE, FIGURES = "report.html", "table.md", "figures"  # the last a folder


def write_results(ledger: Ledger, status: str, redraw: bool = False, margin: float | None = None) -> StudyResults:
    """Write results.json, table.md and report.html from the ledger, unless they are up to date.

    The results come first, and a report that cannot be drawn costs one warning. `redraw` draws it in any case. A report
    of earlier results goes before the new ones come: one that is there belongs to them, wherever the program is killed.
    `margin` stands in for the study's own.
    """
    results = study_results(ledger, status)
    content, report, table = results.to_json(), ledger.root / REPORT, ledger.root / TABLE
    written = all((ledger.root / name).is_file() for name in (REPORT, TABLE, FINDINGS_FILE))
    current = written and content == ledger.read_results()
    if not current:
        remove(report)
        remove_findings(ledger)
        ledger.write_results(content)
        write_text(table, markdown_report(results))
    if redraw or not current:
        try:
            write_report(ledger, results, margin)
        except Exception as error:  # whatever it is, the results are safe
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            place = shown(ledger.root)
            text = f"The report of {ledger.root.name} could not be drawn ({reason}); its results are in {place}."
            warnings.warn(text, RuntimeWarning, stacklevel=2)
    return results


def write_report(ledger: Ledger, results: StudyResults, margin: float | None = None) -> None:
    """Write report.html, its figures, table.md with what they show, and findings.json with what they conclude."""
    analysis = analyse(ledger, results, margin)
    with style():
        sections = [section for make in SECTIONS if (section := make(analysis)) is not None]
    question = results.study.question.partition("\n")[0]
    page = render("study.html", title=f"{results.study.name}: {question}", sections=sections)
    parts = [f"## {section.title}\n\n{section.markdown}\n" for section in sections if section.markdown]
    write_figures(ledger.root / FIGURES, [panel for section in sections for panel in section.panels])
    write_text(ledger.root / TABLE, "\n".join([markdown_report(results), *parts]))
    write_findings(ledger, conclude(analysis))
    write_text(ledger.root / REPORT, page)


def write_figures(folder: Path, panels: Sequence[Panel]) -> None:
    """Write each panel as a file, and remove the files of earlier panels."""
    folder.mkdir(exist_ok=True)
    drawn = {folder / f"{panel.name}.svg": panel.svg for panel in panels}
    for path in set(folder.glob("*.svg")) - drawn.keys():
        remove(path)
    for path, content in drawn.items():
        write_text(path, content)


def markdown_report(results: StudyResults) -> str:
    """The first part of table.md: all trials."""
    study, judged, pruned = results.study, results.with_status("finished", "failed"), results.with_status("pruned")
    parts = [f"# {study.name}", study.question, context(results)]
    for split in splits(judged):
        table = paper_table(study, judged, split)
        parts += [f"## {table.title}", table.markdown(bold=len(study.varied) + len(study.tags))]
    if pruned:
        parts += [f"## {pruned_title(study)}", pruned_table(study, pruned).markdown()]
    return "\n\n".join([*parts, *footnotes(judged), *failures(results)]) + "\n"
