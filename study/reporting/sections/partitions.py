"""What each partition of the clips into folds gives alone, beside the mean over all of them."""

import numpy as np

from audiotag.corpus.errors import count
from study.format import decimal
from study.ledger.clips import Clips
from study.reporting.looks import spared_in_words
from study.reporting.prose import verdict
from study.reporting.section import Section
from study.reporting.sections.paper_tables import hidden
from study.reporting.tables import Line, Table, over_column, over_mean
from study.stats.analysis import Analysis
from study.stats.rows import ResultRow

TITLE = "Partitions"
INTRO = (
    "Each trial was cross-validated over {several} partitions of the clips into folds: the corpus's own, and {drawn} "
    "that {were} drawn, whole groups with balanced tags. Differences are tested over the folds of all of them."
)
UNTIL_CLEAR = (
    "{spared} Differences are tested over the folds of all partitions that a row has, and a row gets no more of them "
    "once it is better or worse than the baseline, or the same within the margin."
)
MEANING = (
    "More partitions make the mean over training sets of this size, from these recordings, more certain. They add no "
    "recordings: the intervals of the table above, which say how far figures would move on others, remain those of the "
    "corpus's own folds. The search, pruning and the choice of the best row went by these alone, too."
)
TORN = (
    "{groups} of the corpus {lie} in several of its own folds. Drawn folds keep groups whole, so they are harder: no "
    "network is scored on recordings of a group that it was trained on."
)


def partitions(analysis: Analysis) -> Section | None:
    """The means of each partition; nothing of a study with the corpus's own folds alone that was not to have others."""
    if not (analysis.study.has_several_partitions or analysis.study.is_until_clear) or not analysis.rows:
        return None
    drawn, clips = len(analysis.study.drawn), analysis.ledger.clips()
    intro = INTRO.format(several=1 + drawn, drawn=count(drawn, "other"), were="was" if drawn == 1 else "were")
    if analysis.study.is_until_clear:
        intro = UNTIL_CLEAR.format(spared=spared_in_words(analysis))
    torn = 0 if clips is None else count_torn_groups(clips)
    lie = "lies" if torn == 1 else "lie"
    notes = [MEANING + hidden(analysis), *[TORN.format(groups=count(torn, "group"), lie=lie)] * bool(torn)]
    markdown = "\n\n".join([intro, partition_table(analysis, analysis.rows).markdown(), *notes])
    return Section(
        TITLE, intro=intro, tables=[partition_table(analysis, analysis.shown)], notes=notes, markdown=markdown
    )


def partition_table(analysis: Analysis, rows: list[ResultRow]) -> Table:
    """The mean of the objective of each row in each partition; empty where it has not finished one."""
    study = analysis.study
    header = ["trial", "own folds", *(f"partition {number}" for number in study.partitions[1:]), over_column(study)]
    header += ["in the end"] * study.is_until_clear
    lines = []
    for row in rows:
        means = [own.figures[study.metric].mean for own in row.result.partitions]
        means = [row.mean, *means, *[None] * (len(study.drawn) - len(means)), over_mean(row.result, study)]
        end = [verdict(row)] * study.is_until_clear
        lines.append(Line([row.label, *map(decimal, means), *end], "best" if row is analysis.best else ""))
    return Table(f"{analysis.objective.mean_title} in each partition", header, lines, right=int(study.is_until_clear))


def count_torn_groups(clips: Clips) -> int:
    """How many groups lie in several folds of the development split."""
    developed = clips.folds >= 0
    pairs = np.unique(np.stack([clips.groups[developed], clips.folds[developed]]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())
