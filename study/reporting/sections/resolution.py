"""What this study can see: from which difference on a row is called real, and what would settle the others."""

from collections.abc import Sequence

from study.format import decimal, signed
from study.reporting.conclusion import OFTEN
from study.reporting.prose import folds_in_words
from study.reporting.section import Section
from study.reporting.sections.paper_tables import hidden
from study.reporting.tables import Line, Table
from study.stats.analysis import Analysis
from study.stats.remedy import MOST
from study.stats.rows import ResultRow

TITLE = "What this study can see"
INTRO = (
    "How large a difference from the baseline must be to be noticed, if differences vary over the {folds} as they did "
    'here (s: their standard deviation). From the size under "called real from" on, p is below .05 after Holm\'s '
    "correction, the other rows as they are. A true difference of that size is found in about half of such studies, "
    'one of the size under "80 % power at" ' + OFTEN + "."
)
NOTE = (
    'Under "partitions"{seeds}: how many in all would find a true difference as large as the observed one '
    + OFTEN
    + '; under "to be the same": how many partitions would call the two the same within the margin. The observed '
    "difference may be far from the true one, and s comes from {n} differences: over five, its 95 % interval reaches "
    "from .6 to 2.9 times s. More partitions make the mean over training sets of these recordings more certain; how "
    "trials compare on other recordings, only more recordings can tell."
)
FIXED_INTRO = (
    "The standard error of a difference is what it would vary by with other test recordings and other seeds. It is "
    "called real from the third figure on: p < .05 after Holm\u2019s correction, the other rows as they are. A true"
    f" difference of that size is found in about half of such studies, one of the fourth figure {OFTEN}."
)
FIXED_NOTE = (
    f"Seeds: how many in all would find a true difference as large as the observed one {OFTEN}, or call one within "
    "the margin the same. Of the variance of a single seed\u2019s difference, seeds make the share in the column; "
    "the rest is of test recordings, and only more of these take it away."
)
LOOKS = " This is at its last look at the row, whose level allows for all looks that were planned."
ONE_SEED = " How much of s comes from seeds is not known with one seed; --repeats 3 tells."
SEVERAL = " Of the variance of the differences, seeds make the share in the column: what more seeds can take away."


def resolution(analysis: Analysis) -> Section | None:
    """What each comparison could have shown."""
    if not any(row.resolution is not None for row in analysis.rows):
        return None
    study = analysis.study
    if study.has_fixed_split:
        return _on_test_clips(analysis)
    at_look = LOOKS * study.is_until_clear
    intro = INTRO.format(folds="folds of its partitions" if at_look else folds_in_words(study)) + at_look
    n = f"{len(study.folds)} or more" if at_look else len(study.folds) * len(study.partitions)
    seeds = ' and "seeds"' if study.has_several_seeds else ""
    note = NOTE.format(n=n, seeds=seeds) + (SEVERAL if study.has_several_seeds else ONE_SEED)
    notes = [note] * any(row.is_open for row in analysis.rows)
    text = "\n\n".join([intro, resolution_table(analysis, analysis.rows).markdown(), *notes])
    more = "".join([*notes, hidden(analysis)]).strip()
    table = resolution_table(analysis, analysis.shown)
    return Section(TITLE, intro=intro, tables=[table], notes=[more] * bool(more), markdown=text)


def _on_test_clips(analysis: Analysis) -> Section:
    """The same of a fixed split, where seeds take the place of partitions."""
    notes = [FIXED_NOTE] * any(row.is_open for row in analysis.rows)
    text = "\n\n".join([FIXED_INTRO, resolution_table(analysis, analysis.rows).markdown(), *notes])
    more = "".join([*notes, hidden(analysis)]).strip()
    table = resolution_table(analysis, analysis.shown)
    return Section(TITLE, intro=FIXED_INTRO, tables=[table], notes=[more] * bool(more), markdown=text)


def resolution_table(analysis: Analysis, rows: Sequence[ResultRow]) -> Table:
    """A line for each comparison that is tested."""
    several, is_any_open = analysis.study.has_several_seeds, any(row.is_open for row in rows)
    fixed = analysis.study.has_fixed_split
    header = ["trial", "difference", "standard error" if fixed else "s", "called real from", "80 % power at"]
    columns = ["partitions", "to be the same", *["seeds", "seeds' share"] * several]
    header += columns[fixed:] * is_any_open
    lines = []
    for row in rows:
        if row.resolution is None or row.tested is None:
            continue
        found = row.resolution
        figures = [signed(row.tested.difference), *map(decimal, (found.sd, found.called_real, found.seen))]
        lines.append(Line([row.label, *figures, *_remedy_cells(row, analysis.margin, several)[fixed:] * is_any_open]))
    return Table(TITLE, header, lines)


def _remedy_cells(row: ResultRow, margin: float, several: bool) -> list[str]:
    """What would settle a row; empty where it is settled."""
    remedy, test = row.remedy, row.tested
    share = "" if remedy is None or remedy.seed_share is None else f"{100 * remedy.seed_share:.0f} %"
    if remedy is None or test is None or not row.is_open:
        return ["", "", *["", share] * several]
    if abs(test.difference) <= margin:
        return ["", _number(remedy.alike), *["", share] * several]
    return [_number(remedy.partitions), "", *[_number(remedy.repeats), share] * several]


def _number(number: int | None) -> str:
    return f"over {MOST}" if number is None else str(number)
