"""Tag by tag against the baseline: on which tags a row is better, and on which worse."""

from collections.abc import Sequence

from audiotag.corpus.errors import count
from study.format import signed
from study.reporting.prose import p_value
from study.reporting.section import Section
from study.reporting.sections.paper_tables import hidden
from study.reporting.tables import Cell, Line, Table, figures_in_words
from study.stats.analysis import Analysis
from study.stats.rows import ResultRow

TITLE = "Tag by tag against the baseline"
INTRO = (
    "Difference in {metric} from the baseline by tag, {figures}. A tag is marked better or worse where "
    "Holm's p is below .05. It allows for the {tags} of a row, not for the number of rows: with many rows, a mark "
    "or two come about by chance."
)


def tags_against_baseline(analysis: Analysis) -> Section | None:
    """A line per row, a column per tag."""
    rows = [row for row in analysis.shown if row.by_tag]
    if len(analysis.study.tags) < 2 or not any(part.adjusted for row in rows for part in row.by_tag.values()):
        return None
    tags, figures = count(len(analysis.study.tags), "tag"), figures_in_words(analysis.study)
    intro = INTRO.format(metric=analysis.objective.column, tags=tags, figures=figures)
    text = f"{intro}\n\n{tag_table(rows, analysis.study.tags, page=False).markdown()}"
    notes = [more] if (more := hidden(analysis).strip()) else []
    return Section(
        TITLE, intro=intro, tables=[tag_table(rows, analysis.study.tags, page=True)], notes=notes, markdown=text
    )


def tag_table(rows: Sequence[ResultRow], tags: Sequence[str], page: bool) -> Table:
    """The differences; on a page with p in small print and a mark, elsewhere with the verdict."""
    lines = [Line([row.label, *(_cell(row, tag, page) for tag in tags)]) for row in rows]
    return Table(TITLE, ["trial", *tags], lines)


def _cell(row: ResultRow, tag: str, page: bool) -> str | Cell:
    part = row.by_tag[tag]
    if part.test.difference is None:
        return ""
    text, decided = signed(part.test.difference), part.outcome if part.outcome in ("better", "worse") else ""
    if page:
        return Cell(text, p_value(part.adjusted) and f"p {p_value(part.adjusted)}", decided)
    return f"{text} {decided}".rstrip()
