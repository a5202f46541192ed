"""What it takes to get the same numbers again."""

from study.ledger.provenance import provenance_changes
from study.reporting.section import Section, render
from study.stats.analysis import Analysis


def repeat_it(analysis: Analysis) -> Section:
    """The study's command, data, seeds, settings and program."""
    study = analysis.study
    return Section("Repeat it", render("sections/repeat_it.html", study=study, changes=provenance_changes(study)))
