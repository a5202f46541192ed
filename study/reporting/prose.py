"""Sentences that the terminal, table.md, MLflow and the report share."""

from collections.abc import Sequence
from operator import attrgetter

from audiotag.config import NO_AUGMENTATION
from audiotag.corpus.errors import count
from audiotag.corpus.splits import FIXED
from study.format import clips_in_words, decimal, probability, seeds_in_words, signed, trial_name
from study.ledger.schema import StudyRecord, StudyResults
from study.reporting.tables import SD_SEEDS, over_column
from study.stats.analysis import Analysis
from study.stats.comparison import Comparison
from study.stats.rows import SHOWN_ROWS, ResultRow
from study.stats.significance import Outcome, PairedTest, Untested

DISTINGUISHED: dict[Outcome, str] = {  # outcomes in tables
    "better": "better",
    "worse": "worse",
    "indistinguishable": "not distinguishable",
    "untested": "not tested",
}
BOLD = "Bold: the row that cross-validation chose."
BEST = "Bold: the row with the best mean."
BETTER = "Bold: the better row."
PROTOCOLS = {
    "paper": "the held-out fold also stopped the training, so the figures are optimistic",
    "nested": "the held-out folds were only scored",
    FIXED: "validation clips (of the training clips, where there are no others) stopped the training, and the test "
    "clips were only scored",
}
SEEDS = f" Figures are means over the seeds; {SD_SEEDS} is the standard deviation of Avg from seed to seed."


def answer(analysis: Analysis) -> str:
    """The answer to the study's question."""
    best, baseline, others = analysis.best, analysis.baseline, analysis.others
    so_far = "" if analysis.results.status == "finished" else "So far: "
    if best is None or baseline is None:
        return "No trial has finished yet."
    if not others:
        return f"{so_far}{_with_mean(best)} is the only finished trial: there is nothing to compare it with."
    better = [row for row in others if row.outcome == "better"]
    worse = [row for row in others if row.outcome == "worse"]
    own = " on the corpus's own folds" * analysis.study.has_several_partitions
    against = (
        f"the baseline ({named(baseline.label)}, {baseline.result.objective.mean_title} {decimal(baseline.mean)}{own})"
    )
    if better:
        first = min(better, key=attrgetter("rank"))
        text = f"By more than chance, {_with_mean(first)} is better than {against}.{_but(first, analysis)}"
        if best is not first:
            which = "but" if analysis.study.has_fixed_split else "which"
            text += f" {_chosen(analysis, best)}, {which} is not distinguishable from the baseline."
    elif best is baseline:
        text = _baseline_wins(analysis, against)
    elif isinstance(best.test, Untested):
        text = f"{_chosen(analysis, best)}, but its lead over {against} is not tested ({best.test.reason})."
    else:
        folds, gap = folds_of(best, analysis.study), decimal(abs(_difference(best, baseline)))
        whose = "; its" if analysis.study.has_fixed_split else ", whose"
        chosen = f"{_chosen(analysis, best)}{whose} lead of {gap} is"
        if analysis.study.confirms is not None:  # in which nothing is chosen
            chosen = f"The lead of {gap} that {_with_mean(best)} has is"
        text = (
            f"No trial beats {against} by more than chance. {chosen} not distinguishable from 0 over "
            f"{folds}{_same(best, analysis.margin)}."
        )
    tested = sum(row.tested is not None for row in others)
    counts = f" Better by more than chance: {len(better)} of {len(others)}; worse: {len(worse)}."
    counts += f" Not tested: {len(others) - tested}." if tested < len(others) else ""
    if not tested:
        counts = " Nothing is tested."
    return so_far + text + counts * (len(others) > 1 or bool(worse)) + _caution(analysis, better, baseline)


def _chosen(analysis: Analysis, best: ResultRow) -> str:
    """That a row is the best."""
    name = _with_mean(best)
    return f"{name} has the best mean" if analysis.study.has_fixed_split else f"Cross-validation chose {name}"


def bold_in_words(study: StudyRecord) -> str:
    """What is bold in tables."""
    if study.confirms is not None:
        return BETTER
    return BEST if study.has_fixed_split else BOLD


def folds_of(row: ResultRow, study: StudyRecord) -> str:
    """The folds over which a row is tested; of a study that adds partitions until it is clear they may be fewer."""
    return folds_in_words(study, len(row.result.folds_by_partition) if study.is_until_clear else None)


def folds_in_words(study: StudyRecord, partitions: int | None = None) -> str:
    """What differences are tested over: "5 folds", "10 folds of 2 partitions", "3 seeds on the test clips".

    `partitions` are all of them, unless others are given.
    """
    partitions, folds = partitions or len(study.partitions), len(study.folds)
    if study.has_fixed_split:
        return f"{count(study.repeats, 'seed')} on the test clips"
    if partitions == 1:
        return count(folds, "fold")
    return f"{partitions * folds} folds of {partitions} partitions"


def _difference(row: ResultRow, baseline: ResultRow) -> float:
    """How far a row is from the baseline: with several partitions as it is tested, over all of them."""
    if row.tested is not None and row.result.partitions:
        return row.tested.difference
    return row.mean - baseline.mean


def verdict(row: ResultRow | Comparison) -> str:
    """What a comparison with the baseline shows: a row's, or one over corpora."""
    is_same = row.posterior is not None and row.posterior.is_same
    match row.outcome:
        case None:
            return "the baseline"
        case "indistinguishable":
            return "the same within the margin" if is_same else DISTINGUISHED["indistinguishable"]
        case "better" | "worse":
            return f"{row.outcome} than the baseline{', but within the margin' * is_same}"
        case "untested":
            assert isinstance(row.test, Untested)
            return f"not tested: {row.test.reason}"


def in_metric(row: ResultRow, analysis: Analysis) -> str | None:
    """What a row's verdict in the second metric is, where it is another one."""
    second, metric = row.second, analysis.second
    if second is None or metric is None or not isinstance(second.test, PairedTest) or second.outcome == row.outcome:
        return None
    shown = f"is {DISTINGUISHED[second.outcome]}"
    from_it = " from the baseline" if second.outcome == "indistinguishable" else " by more than chance"
    figures = f"{signed(second.test.difference)}, Holm p {p_value(second.adjusted)}"
    return f"In {metric.mean_title}, {named(row.label)} {shown}{from_it} ({figures})."


def margin_in_words(margin: float) -> str:
    """A margin as text: as many places as it has."""
    return f"{margin:g}".removeprefix("0") or "0"


def p_value(p: float | None) -> str:
    """A p-value as text."""
    return "" if p is None else "< .001" if p < 1e-3 else decimal(p)


def _baseline_wins(analysis: Analysis, against: str) -> str:
    """That the baseline has the best mean; with several partitions, and who is ahead over all of them if it is not."""
    mean, objective = analysis.objective.mean_title, analysis.objective
    gaps = {row.key: row.tested.difference for row in analysis.others if row.tested and row.result.partitions}
    ahead = min(
        (row for row in analysis.others if row.key in gaps), key=lambda row: objective.rank(gaps[row.key]), default=None
    )
    if ahead is None or objective.rank(gaps[ahead.key]) >= 0:
        return f"No trial has a better {mean} than {against}."
    gap = decimal(abs(gaps[ahead.key]))
    lead = "is level with it" if not gap.strip(".0") else f"is ahead by {gap}, which is not distinguishable from 0"
    return (
        f"On the corpus's own folds no trial has a better {mean} than {against}. Over "
        f"{folds_of(ahead, analysis.study)} {named(ahead.label)} {lead}."
    )


def _same(row: ResultRow, margin: float) -> str:
    """That a row is the same as the baseline, where it is."""
    if row.posterior is None or not row.posterior.is_same:
        return ""
    same = probability(row.posterior.same)
    return f"; within {margin_in_words(margin)} the two are the same, with a probability of {same}"


def _but(row: ResultRow, analysis: Analysis) -> str:
    """What takes from a row that is better: that it matters little, or that it is worse in the second metric."""
    text = ""
    if row.posterior is not None and row.posterior.is_same:
        margin, same = margin_in_words(analysis.margin), probability(row.posterior.same)
        text += f" But the two are the same within {margin}, with a probability of {same}."
    if row.second is not None and row.second.outcome == "worse" and analysis.second is not None:
        text += f" But its {analysis.second.mean_title} is worse by more than chance: a gain in one metric only."
    return text


def named(label: str) -> str:
    """A row's label within a sentence."""
    return "no augmentation" if label == NO_AUGMENTATION else label


def _with_mean(row: ResultRow) -> str:
    return f"{named(row.label)} ({row.result.objective.mean_title} {decimal(row.mean)})"


def _caution(analysis: Analysis, better: Sequence[ResultRow], baseline: ResultRow) -> str:
    """A warning where the largest lead is no larger than the effect of other seeds."""
    moved = None if analysis.study.has_fixed_split else analysis.seed_sd_of_difference  # whose p allows for it
    if moved is None or not better or max(abs(row.mean - baseline.mean) for row in better) > moved:
        return ""
    return f" But other seeds would change it as much (standard deviation {decimal(moved)}): that is no evidence yet."


def context(results: StudyResults) -> str:
    """What the figures are of, and how far they can be trusted, in a paragraph."""
    study, corpus = results.study, results.study.corpus
    partial = "" if results.status == "finished" else f"Interrupted: {progress(results)}. "
    synthetic = " (synthetic: says nothing about real recordings)" if corpus.kind == "synthetic" else ""
    of = "" if study.confirms is None else f"Confirmation of {study.confirms.study}, on folds drawn for it. "
    divided = clips_in_words(corpus.development_clips, len(study.folds), corpus.split)
    return (
        f"{partial}{of}Corpus {corpus.name}{synthetic}, {divided}, "
        f"{seeds_in_words(study.seeds)}. {_partitions(study)}"
        f"Protocol {study.protocol}: {PROTOCOLS[study.protocol]}. "
        f"{bold_in_words(study)} Var is the variance over the tags, times 1000.{SEEDS * study.has_several_seeds} "
        f"{left_out(study)}"
    ).rstrip()


def progress(results: StudyResults) -> str:
    """How many trials have ended, and how many more have a result but not all partitions."""
    going_on = sum(trial.goes_on for trial in results.trials)
    ended = f"{len(results.trials) - going_on} of {results.study.trials} trials"
    return f"{ended}; {count(going_on, 'other')} without all partitions" if going_on else ended


def _partitions(study: StudyRecord) -> str:
    """What is of the corpus's own folds, and what of all partitions; nothing where there are no others."""
    if not study.has_several_partitions:
        return ""
    added = ", for the trials that have all of them" * study.is_until_clear
    return (
        f"{over_column(study)}: mean over {len(study.partitions)} partitions of the clips into {len(study.folds)} "
        f"folds each, the corpus's own and {len(study.drawn)} drawn at random{added}; all other figures are of the "
        "corpus's own folds. "
    )


def left_out(study: StudyRecord) -> str:
    """The trials of the space that could not be run on the corpus; nothing where all could."""
    names = [row.name for row in study.left_out]
    return f"Left out, because not every recording has two channels: {'; '.join(names)}." if names else ""


def failures(results: StudyResults) -> list[str]:
    """A line per failed trial, and per trial that failed in a later partition."""
    varied = results.study.varied
    named = [(f"{trial_name(trial.params, varied)} (trial {trial.key})".lstrip(), trial) for trial in results.trials]
    lines = [f"{name} failed: {trial.reason}." for name, trial in named if trial.status == "failed"]
    stops = [(name, trial.failed_partition) for name, trial in named if trial.failed_partition is not None]
    return lines + [
        f"{name} failed in partition {stop.partition}: {stop.reason}. Its figures are of those before."
        for name, stop in stops
    ]


def rest(total: int, which: str, shown: int = SHOWN_ROWS) -> list[str]:
    """Where the others are, if not all of some trials are shown."""
    return [f"Shown are the {which} {shown} of {total} trials; table.md has all."] if total > shown else []
