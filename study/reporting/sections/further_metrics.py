"""The metrics beside the objective: the figures of each tag, in cross-validation and on the evaluation set."""

from collections.abc import Sequence

from audiotag.metrics import Metric
from study.reporting.section import Section
from study.reporting.sections.paper_tables import hidden
from study.reporting.tables import Table, footnotes, further_metrics, metric_table, splits, without_common
from study.stats.analysis import Analysis
from study.stats.rows import ResultRow

NOTE = "Each of them has its mean, and the variance of its tags times 1000 (Var); nothing is chosen by them."


def further(analysis: Analysis) -> Section | None:
    """A table for each metric and split."""
    shown = _tables(analysis, analysis.shown, page=True)
    if not shown:
        return None
    notes = [f"{NOTE}{hidden(analysis)}"]
    found = [footnotes([row.result for row in analysis.shown], metric) for _, metric in shown]
    notes += [" ".join(lines) for lines in found if lines][:1]
    parts = [f"### {table.title}\n\n{table.markdown()}" for table, _ in _tables(analysis, analysis.rows, page=False)]
    text = "\n\n".join([*parts, *notes])
    return Section("Further metrics", tables=[table for table, _ in shown], notes=notes, markdown=text)


def _tables(analysis: Analysis, rows: Sequence[ResultRow], page: bool) -> list[tuple[Table, Metric]]:
    results = [row.result for row in rows]
    study = without_common(analysis.study, results)[0] if page else analysis.study
    return [
        (metric_table(study, results, split, metric, page), metric)
        for split in splits(results)
        for metric in further_metrics(results, split)
    ]
