"""The tables in the paper's form, with 95 % intervals: cross-validation, and evaluation where the corpus has it."""

from audiotag.metrics import EER
from study.reporting.prose import BOLD, bold_in_words, rest
from study.reporting.section import Section
from study.reporting.tables import (
    CROSS_VALIDATION,
    EVALUATION,
    SD_SEEDS,
    figures_in_words,
    footnotes,
    over_column,
    over_in_words,
    paper_table,
    splits,
    tags_in_words,
    without_common,
)
from study.stats.analysis import Analysis

CAPTION = (
    "{column} of each tag, {figures}; Avg, {mean}; Var, {variance}. "
    "{bold} Small: 95 % intervals by a bootstrap over groups, for as many other recordings of the same kind and the "
    "same networks. Best in: the share of those draws in which the row is the best of those shown."
)
SEEDS = f" {SD_SEEDS}: the standard deviation of Avg from seed to seed."
PARTITIONS = " {}: {}; all other figures are of the corpus's own folds."
EVALUATION_CAPTION = (
    "Clips that no fold trained on, scored by the mean probability of the fold models; nothing is selected on them. "
    "{bold} Intervals as above."
)


def cross_validation(analysis: Analysis) -> Section | None:
    """The table of the folds' figures."""
    objective = analysis.objective
    caption = CAPTION.format(
        column=objective.column,
        figures=(figures := figures_in_words(analysis.study)),
        mean="their mean" if objective.by_label is None else f"{objective.mean_name}, {figures}",
        bold=bold_in_words(analysis.study),
        variance="their sample variance times 1000" + ", as published" * (objective.name == EER),
    )
    caption += SEEDS * analysis.study.has_several_seeds
    over = PARTITIONS.format(over_column(analysis.study), over_in_words(analysis.study))
    names = tags_in_words(analysis.study)
    caption += over * analysis.study.has_several_partitions + f" {names}" * bool(names) + hidden(analysis)
    return _section(analysis, CROSS_VALIDATION, caption, analysis.missing) if analysis.rows else None


def evaluation(analysis: Analysis) -> Section | None:
    """The table of the evaluation split."""
    there = EVALUATION in splits(analysis.results.finished)
    return _section(analysis, EVALUATION, EVALUATION_CAPTION.format(bold=BOLD), []) if there else None


def hidden(analysis: Analysis) -> str:
    """Where the other rows of a large study are."""
    more = rest(len(analysis.rows), "baseline and the best") if len(analysis.shown) < len(analysis.rows) else []
    return "".join(f" {line}" for line in more)


def _section(analysis: Analysis, split: str, caption: str, banners: list[str]) -> Section:
    shown = [row.result for row in analysis.shown]
    study, common = without_common(analysis.study, shown)
    table = paper_table(study, shown, split, analysis)
    notes = [caption, *([" ".join(found)] if (found := footnotes(shown)) else [])]
    return Section(
        table.title, intro=common and f"{common[0].upper()}{common[1:]}.", tables=[table], notes=notes, banners=banners
    )
