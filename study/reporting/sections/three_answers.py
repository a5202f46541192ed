"""Better, the same or worse: the probability of each, the difference on other recordings, and a second metric."""

from collections.abc import Sequence

from study.format import probability, signed
from study.reporting.prose import DISTINGUISHED, margin_in_words, p_value
from study.reporting.section import Section
from study.reporting.sections.paper_tables import hidden
from study.reporting.tables import Line, Table
from study.stats.analysis import Analysis
from study.stats.rows import ResultRow

TITLE = "Better, the same or worse"
INTRO = (
    "How probable it is that the {mean} of a row is better than that of the baseline by more than {margin}, the same "
    "within {margin}, or worse by more ({posterior}, flat prior, each row alone)."
)
PAIRED = (
    "On other recordings: the 95 % interval of the difference by a bootstrap over groups, the same draws for both "
    "rows. It is for as many other recordings and these very networks: unlike the test over folds, it does not ask how "
    "training again would turn out, so it may exclude 0 where the test does not."
)
CORRELATED = "correlated t posterior of the differences over the folds"
PAIRED_ON_TEST = (
    "On other recordings: the 95 % interval of the difference by a bootstrap over groups of test clips, the same "
    "draws for both rows. It is for these very networks, the mean over their seeds: unlike the test, it does not "
    "ask how other seeds would turn out, so it may exclude 0 where the test does not."
)
OWN_FOLDS = " It is of the corpus's own folds."
SECOND = (
    "A second metric is tested in the same way, with a correction of its own: a gain in one metric only is no gain."
)


def three_answers(analysis: Analysis) -> Section | None:
    """The probabilities of each row that is tested."""
    if not any(row.posterior is not None for row in analysis.rows):
        return None
    fixed = analysis.study.has_fixed_split
    of = "t posterior of the difference on the test clips" if fixed else CORRELATED
    intro = INTRO.format(mean=analysis.objective.mean_title, margin=margin_in_words(analysis.margin), posterior=of)
    intervals = any(row.paired_interval for row in analysis.rows)
    paired = PAIRED_ON_TEST if fixed else PAIRED + OWN_FOLDS * analysis.study.has_several_partitions
    notes = [f"{paired} " * intervals + SECOND * (analysis.second is not None)]
    text = "\n\n".join([intro, probability_table(analysis, analysis.rows).markdown(), *notes])
    table = probability_table(analysis, analysis.shown)
    return Section(TITLE, intro=intro, tables=[table], notes=[notes[0] + hidden(analysis)], markdown=text)


def probability_table(analysis: Analysis, rows: Sequence[ResultRow]) -> Table:
    """The probabilities, the interval on other recordings, and the verdict in the second metric."""
    second, intervals = analysis.second, any(row.paired_interval for row in rows)
    header = ["trial", "P(better)", "P(the same)", "P(worse)", *["on other recordings"] * intervals]
    if second is not None:
        header += [f"{second.mean_column} difference", "Holm p", f"in {second.mean_column}"]
    lines = []
    for row in rows:
        if row is analysis.baseline:
            continue
        found = row.posterior
        cells = ["", "", ""] if found is None else [probability(p) for p in (found.better, found.same, found.worse)]
        paired = "" if row.paired_interval is None else " to ".join(signed(end) for end in row.paired_interval)
        cells += [paired] * intervals
        lines.append(Line([row.label, *cells, *_second_cells(row) * (second is not None)], _kind(row)))
    return Table(TITLE, header, lines, right=int(second is not None))


def _second_cells(row: ResultRow) -> list[str]:
    """The cells of the second metric."""
    if row.second is None or row.second.test.difference is None:
        return ["", "", ""]
    verdict = DISTINGUISHED[row.second.outcome]
    return [signed(row.second.test.difference), p_value(row.second.adjusted), verdict]


def _kind(row: ResultRow) -> str:
    """How the last column looks: as the verdict in it."""
    return row.second.outcome if row.second is not None else ""
