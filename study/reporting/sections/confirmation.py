"""The confirmation of a study: what was chosen, trained again where nothing is chosen."""

from study.format import decimal, signed
from study.reporting.confirmation import confirmation_in_words, confirmed_in
from study.reporting.section import Section
from study.reporting.tables import Line, Table
from study.stats.analysis import Analysis

TITLE = "Confirmation"
NOTE = (
    "The chosen row leads in the study partly by luck, because it was chosen for its lead; in the confirmation it has "
    "no such advantage. The second column is therefore the figure to quote, with the interval and p above, which is of "
    "this one comparison. The recordings are the same: of others, it says no more than the study."
)


def confirmation(analysis: Analysis) -> Section | None:
    """The figures when the row was chosen, and those of the confirmation."""
    sentence, found = confirmation_in_words(analysis), confirmed_in(analysis)
    if sentence is None or found is None:
        return None
    best, baseline = analysis.best, analysis.baseline
    assert best is not None, "of a confirmation"
    assert baseline is not None, "of a confirmation"
    if found.comparison is None or found.winner is None or found.baseline is None or not found.is_complete:
        return Section(TITLE, intro=sentence, markdown=sentence)
    pairs = ((best, found.winner), (baseline, found.baseline))
    lines = [Line([row.label, decimal(row.mean), decimal(again.mean)]) for row, again in pairs]
    difference = found.comparison.test.difference
    gaps = [signed(best.mean - baseline.mean), "" if difference is None else signed(difference)]
    lines.append(Line(["difference", *gaps]))
    table = Table(TITLE, ["trial", f"{analysis.objective.mean_column} when chosen", "confirmed"], lines)
    return Section(
        TITLE, intro=sentence, tables=[table], notes=[NOTE], markdown="\n\n".join([sentence, table.markdown(), NOTE])
    )
