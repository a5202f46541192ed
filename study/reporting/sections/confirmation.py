"""The confirmation of a study: what was chosen, trained again where nothing is chosen."""

from study.format import decimal, signed
from study.reporting.confirmation import confirmed_figures, confirmed_in
from study.reporting.section import Section
from study.reporting.tables import Line, Table
from study.stats.analysis import Analysis

TITLE = "Confirmation"
INTRO = (
    "The chosen row and the baseline, trained again on folds that were drawn afresh and with other seeds. The row "
    "leads in the study partly by luck, because it was chosen for its lead; here it has no such advantage. The second "
    "column is therefore the one to quote; interval and p, which are of this one comparison, stand in the answer."
)
NOTE = (
    "The recordings are the same: of others, this says no more than the study. Means on drawn folds do not compare "
    "with publications on official ones."
)
OPTIMISTIC = " And they remain optimistic where the held-out fold also stops the training, in both rows alike."


def confirmation(analysis: Analysis) -> Section | None:
    """The figures when the row was chosen, and those of the confirmation; None as long as it has no result."""
    found, best, baseline = confirmed_in(analysis), analysis.best, analysis.baseline
    if found is None or best is None or baseline is None or not confirmed_figures(analysis):
        return None
    lines = [
        Line([row.label, decimal(row.mean), decimal(None if again is None else again.mean)])
        for row, again in ((best, found.winner), (baseline, found.baseline))
    ]
    difference = None if found.comparison is None else found.comparison.test.difference
    gaps = [signed(best.mean - baseline.mean), "" if difference is None else signed(difference)]
    lines.append(Line(["difference", *gaps]))
    table = Table(TITLE, ["trial", f"{analysis.objective.mean_column} when chosen", "confirmed"], lines)
    note = NOTE + OPTIMISTIC * (analysis.study.protocol == "paper")
    text = "\n\n".join([INTRO, table.markdown(), note])
    return Section(TITLE, intro=INTRO, tables=[table], notes=[note], markdown=text)
