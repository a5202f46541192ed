"""What a study concludes: its answer, what goes with it, and the caveats that decide. Made once, shown everywhere."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np

from audiotag.corpus.errors import count, list_first
from audiotag.corpus.labels import count_known, have_unknown
from audiotag.corpus.tables import EVALUATION
from study.cli import STUDIES
from study.cloud import shown
from study.format import decimal, probability, signed
from study.ledger.findings import Findings, TrialFindings
from study.ledger.ledger import Ledger
from study.ledger.schema import StudyRecord
from study.reporting.confirmation import confirmation_in_words, confirmed_figures
from study.reporting.looks import spared_in_words
from study.reporting.prose import answer, folds_of, in_metric, margin_in_words, named
from study.stats.analysis import Analysis
from study.stats.power import Resolution
from study.stats.remedy import MOST
from study.stats.rows import ResultRow

FEW_GROUPS = 20  # of which a bootstrap gives intervals that are too narrow (Cameron, Gelbach and Miller 2008)
FEW_CLIPS = 10  # with a tag in a fold: fewer, and a single one moves its figure by more than a tenth
MARGIN_CHOSEN = (
    "The margin of {} was chosen with this report, when the figures were known, and proves little; the study's "
    "own is {}."
)
MORE_TESTS = "it takes more test recordings"
MORE = "training sets overlap in all of them, so it takes more recordings"
OFTEN = "in four of five studies"  # a power of 80 % in words


def conclude(analysis: Analysis) -> Findings:
    """Conclude what a report says, and what the terminal, MLflow and Optuna repeat."""
    confirmed = confirmed_figures(analysis)
    return Findings(
        answer=answer(analysis),
        details=tuple(details(analysis)),
        command=settling_command(analysis),
        caveats=tuple(caveats(analysis)),
        margin=analysis.margin,
        chosen=None if analysis.best is None else analysis.best.key,
        baseline=None if analysis.baseline is None else analysis.baseline.key,
        trials=tuple(replace(_findings_of(row), confirmed=confirmed.get(row.key)) for row in analysis.rows),
        confirmation=confirmation_in_words(analysis),
    )


def _findings_of(row: ResultRow) -> TrialFindings:
    values: dict[str, Any] = {}
    if (ends := row.intervals.get("mean")) is not None:
        values |= {"low": ends[0], "high": ends[1]}
    if row.test is not None:
        values |= {"difference": row.test.difference, "outcome": row.outcome, "p_holm": row.adjusted}
    if row.tested is not None:
        values |= {"difference_low": row.tested.low, "difference_high": row.tested.high}
    if (found := row.posterior) is not None:
        values |= {"p_better": found.better, "p_same": found.same, "p_worse": found.worse}
    return TrialFindings(row.key, **values, by_tag={tag: part.outcome for tag, part in row.by_tag.items()})


def subject(analysis: Analysis) -> ResultRow | None:
    """The row that an answer is about: the best that is better, or else the best but for the baseline."""
    better = [row for row in analysis.others if row.outcome == "better"]
    return min(better or analysis.others, key=attrgetter("rank"), default=None)


def details(analysis: Analysis) -> Iterator[str]:
    """Say of the row that the answer is about what is probable, what could not be seen, and what would settle it."""
    row = subject(analysis)
    if row is None:
        return
    if row.tested is not None and row.posterior is not None:
        test = row.tested
        figures = f"{signed(test.difference)}, 95 % interval {signed(test.low)} to {signed(test.high)}"
        yield f"{named(row.label)} against the baseline: {figures}; {three_answers(row, analysis.margin)}."
    if row.is_open and row.tested and row.resolution and row.remedy:
        yield resolution_in_words(row, row.resolution, analysis)
        if analysis.study.confirms is None:  # which gets no more partitions, and no other seeds
            yield remedy_in_words(row, analysis)
    yield from filter(None, (in_metric(row, analysis), in_tags(row)))
    if analysis.study.is_until_clear:
        yield spared_in_words(analysis)


def three_answers(row: ResultRow, margin: float) -> str:
    """The probabilities that a row is better than the baseline, the same or worse."""
    assert row.posterior is not None, "a row without a test has none"
    better, same, worse = (probability(p) for p in (row.posterior.better, row.posterior.same, row.posterior.worse))
    return f"P(better) {better}, P(the same within {margin_in_words(margin)}) {same}, P(worse) {worse}"


def resolution_in_words(row: ResultRow, found: Resolution, analysis: Analysis) -> str:
    """What a comparison could have seen."""
    folds, others = folds_of(row, analysis.study), len(analysis.others)
    rows = f" and {others} comparisons" * (others > 1)
    return (
        f"With {folds}{rows}, a difference of {named(row.label)} from the baseline is called real from "
        f"{decimal(found.called_real)} on, and a true difference of {decimal(found.seen)} is found {OFTEN}."
    )


def remedy_in_words(row: ResultRow, analysis: Analysis) -> str:
    """What would settle an open row: show a difference of the observed size, or that there is none that matters."""
    assert row.tested, "an open row is tested"
    assert row.remedy, "and its differences vary"
    unit, more = ("seeds", MORE_TESTS) if analysis.study.has_fixed_split else ("partitions", MORE)
    remedy, difference, margin = row.remedy, abs(row.tested.difference), margin_in_words(analysis.margin)
    if difference <= analysis.margin:
        within = f"The observed difference ({decimal(difference)}) lies within the margin of {margin}"
        if remedy.alike is not None:
            return f"{within}: {remedy.alike} {unit} with such differences would call the rows the same."
        return f"{within}, but even {MOST} {unit} with such differences would not call the rows the same: {more}."
    size = f"If the true difference is as large as the observed one ({decimal(difference)})"
    if remedy.buys_seeds(analysis.study.repeats):
        share = f"some {100 * (remedy.seed_share or 0):.0f} % of the variance of the differences comes from seeds"
        return f"{size}, {remedy.repeats} seeds would find it {OFTEN}: {share}."
    if remedy.partitions is not None:
        return f"{size}, {remedy.partitions} partitions of the corpus into folds would find it {OFTEN}."
    if analysis.study.has_fixed_split:
        return f"{size}, even {MOST} seeds would not find it {OFTEN}: {more}."
    return f"{size}, even {MOST} partitions of the corpus would not find it {OFTEN}: {more}."


def settling_command(analysis: Analysis) -> str | None:
    """The command that would settle what the answer leaves open."""
    row, study = subject(analysis), analysis.study
    if row is None or row.remedy is None or row.tested is None or not row.is_open or study.confirms is not None:
        return None
    within = abs(row.tested.difference) <= analysis.margin
    if not within and row.remedy.buys_seeds(study.repeats):
        return again_command(study, "--repeats", row.remedy.repeats)
    partitions = row.remedy.alike if within else row.remedy.partitions
    if study.has_fixed_split:
        return None if partitions is None else again_command(study, "--repeats", partitions)
    if partitions is not None and study.is_until_clear:  # whose looks are planned
        return again_command(study, "--most", partitions)
    return None if partitions is None else partitions_command(analysis.ledger, partitions)


def partitions_command(ledger: Ledger, partitions: int) -> str:
    """The command that adds partitions to a finished study."""
    words = ["python", "study/run.py", "--resume", ledger.root.name, "--partitions", str(partitions)]
    folder = ledger.root.parent
    return shlex.join([*words, "--studies", shown(folder)] if folder != STUDIES.absolute() else words)


def again_command(study: StudyRecord, option: str, value: int | None) -> str:
    """The command that asks a study's question again, with more of something: a new study, which trains all anew."""
    words = shlex.split(study.command)
    for name in ("--name", option):
        if name in words:
            place = words.index(name)
            del words[place : place + 2]
    return shlex.join([*words, option, str(value)])


def in_tags(row: ResultRow) -> str | None:
    """Which tags a row is better and worse in, by more than chance; None where it is in none."""
    found = {how: [tag for tag, part in row.by_tag.items() if part.outcome == how] for how in ("better", "worse")}
    said = [f"{how} in {list_first(tags)}" for how, tags in found.items() if tags]
    tested = sum(part.outcome != "untested" for part in row.by_tag.values())
    return f"By tag, {named(row.label)} is {' and '.join(said)} (Holm over {count(tested, 'tag')})." if said else None


def caveats(analysis: Analysis) -> Iterator[str]:
    """What may overturn the answer."""
    study, clips = analysis.study, analysis.ledger.clips()
    if study.corpus.kind == "synthetic":
        yield "The corpus is synthetic: these figures show that the study works and say nothing about real recordings."
    if analysis.margin != analysis.own_margin:
        yield MARGIN_CHOSEN.format(margin_in_words(analysis.margin), margin_in_words(analysis.own_margin))
    trainings = [
        (part.epochs, trial.params.get("max_epochs")) for trial in analysis.results.trials for part in trial.trainings
    ]
    if full := sum(epochs == most for epochs, most in trainings):
        yield (
            f"{full} of {len(trainings)} trainings reached the epoch limit before they stopped by themselves: with "
            "more epochs the answer may be another."
        )
    if clips is None or not analysis.rows:
        return
    drawn = np.isin(clips.folds, study.folds) if study.has_fixed_split else clips.folds != EVALUATION
    groups = len(np.unique(clips.groups[drawn]))
    if groups < FEW_GROUPS:
        of = "test clips" if study.has_fixed_split else "clips"
        yield f"The {of} come from {count(groups, 'group')} of recordings: of so few, intervals come out too narrow."
    if have_unknown(clips.targets):
        judged = np.isin(clips.folds, study.folds)
        known = count_known(clips.targets[judged]).tolist()
        number, tag = min(zip(known, study.tags, strict=True))
        if number < judged.sum():
            yield (
                f"Some labels are unknown, and each tag is judged on the clips where it is known: {tag} on {number} of "
                f"{judged.sum()} clips, the fewest."
            )
    numbers = [_deciding(clips.targets[clips.folds == fold]) for fold in study.folds]
    least = dict(zip(study.tags, np.min(numbers, axis=0).tolist(), strict=True))
    few = [f"{tag} {number}" for tag, number in sorted(least.items(), key=lambda item: item[1]) if number < FEW_CLIPS]
    if few:
        where = "the test set" if study.has_fixed_split else "some fold"
        lacking = " that have them, or are known to lack them," if have_unknown(clips.targets) else ""
        yield (
            f"{len(few)} of {count(len(least), 'tag')} {'has' if len(few) == 1 else 'have'} fewer than {FEW_CLIPS} "
            f"clips{lacking} in {where} ({list_first(few)}): one clip moves the figure of such a tag by a tenth or "
            "more."
        )


def _deciding(targets: np.ndarray) -> np.ndarray:
    """How many clips have each tag (K,); where some labels are unknown, or lack it, whichever are fewer."""
    present = (targets > 0).sum(axis=0)
    return np.minimum(present, (targets == 0).sum(axis=0)) if have_unknown(targets) else present
