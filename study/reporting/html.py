"""report.html: one page that needs nothing else, no network, no fonts, no scripts."""

from collections.abc import Sequence

from study.ledger.ledger import Ledger
from study.reporting.section import Section, render
from study.reporting.sections import SECTIONS
from study.reporting.style import style
from study.stats.analysis import Analysis


def make_sections(analysis: Analysis, ledger: Ledger) -> list[Section]:
    """Make the sections that apply to a study, in the order of the page."""
    with style():
        made = [make(analysis, ledger) for make in SECTIONS]
    return [section for section in made if section is not None]


def study_page(analysis: Analysis, sections: Sequence[Section]) -> str:
    """The content of report.html."""
    question = analysis.study.question.partition("\n")[0]
    return render("study.html", title=f"{analysis.study.name}: {question}", sections=sections)
