"""Each row against the baseline: the corrected t-test over folds, Holm's p, and a figure of the differences."""

from collections.abc import Sequence
from typing import Any

from audiotag.corpus.errors import count
from study.format import decimal, signed
from study.ledger.schema import StudyRecord
from study.reporting.prose import folds_in_words, p_value, verdict
from study.reporting.section import Section
from study.reporting.sections.paper_tables import hidden
from study.reporting.style import BLUE, FAINT, INK, VERMILION, Panel, Series, as_panel, new_axes, wrapped
from study.reporting.tables import Line, Table, over_column, over_mean, range_of
from study.stats.analysis import Analysis, better_with
from study.stats.bootstrap import CONFIDENCE
from study.stats.fixed_split import LEAST_SEEDS
from study.stats.rows import ResultRow
from study.stats.significance import LEAST_FOLDS, Outcome, PairedTest

TITLE = "Against the baseline"
INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"
TEST_COLUMNS = [INTERVAL, "t", "p", "Holm p"]
LOOKS = {"better": (BLUE, "o"), "worse": (VERMILION, "o"), "indistinguishable": (FAINT, "s")}  # by outcome
CAPTION = (
    "Difference in {} from the baseline with its 95 % interval ({}, for each row alone); "
    "{} of the line is better. Grey squares are not distinguishable."
)
CLEAR = (
    " Each row was tested after each of its partitions, and p is that over all looks: how probable it is in a row "
    "without a difference that the smallest p of {looks} looks is as small as the smallest of this one (Pocock 1977). "
    "The interval allows for them, too: it holds at each look. A row that was clear early was so because its "
    "difference was large: on average that is larger than the true one, and study/confirm.py measures it again."
)
ON_TEST_CLIPS = (
    "Paired on the test clips: t = mean(d) / sqrt(v + s^2 / {seeds}), where d is the difference with each seed, s^2"
    " its variance from seed to seed, and v the variance of its mean over draws of groups of test clips (paired "
    "bootstrap); the degrees of freedom are Satterthwaite's. It is about other test recordings and other "
    "seeds. There is one training set: how the rows would compare when trained on other recordings is not known."
)
RULE = " A row is called better or worse where Holm's p is below .05."


def against_baseline(analysis: Analysis) -> Section | None:
    """The comparison of each row with the baseline."""
    if analysis.baseline is None or not analysis.others:
        return None
    objective, fixed = analysis.objective, analysis.study.has_fixed_split
    side = "left" if objective.lower_is_better else "right"
    return Section(
        TITLE,
        intro=f"Baseline: {analysis.baseline.label} ({analysis.baseline_reason})."
        + RULE * any(row.tested for row in analysis.rows),
        groups={"": differences(analysis)},
        wide=True,
        caption=CAPTION.format(objective.mean_title, "t" if fixed else "corrected resampled t", side),
        tables=[comparison_table(analysis, analysis.shown, page=True)],
        notes=[_note(analysis) + hidden(analysis)],
        markdown=f"{comparison_table(analysis, analysis.rows, page=False).markdown()}\n\n{_note(analysis)}",
    )


def comparison_table(analysis: Analysis, rows: Sequence[ResultRow], page: bool) -> Table:
    """The test of each row; on a page, whose first table has them, without the intervals of the means."""
    study, several, tests = analysis.study, analysis.study.has_several_seeds, any(row.tested for row in rows)
    over = [over_column(study)] * study.has_several_partitions
    header = ["trial", "Avg", *[INTERVAL] * (not page), *over, "difference", *TEST_COLUMNS * tests]
    header += [*["better with"] * several, "verdict"]
    lines = []
    for row in rows:
        cells = [row.label, decimal(row.mean), *[range_of(row.intervals.get("mean"))] * (not page)]
        cells += [*[decimal(over_mean(row.result, study))] * len(over), difference(row)]
        cells += tested_cells(row.tested, row.adjusted) * tests
        cells += [_seeds(row, analysis.baseline)] * several
        lines.append(Line([*cells, verdict(row)], row.outcome or ""))
    return Table(TITLE, header, lines, right=1)


def difference(row: ResultRow) -> str:
    """A row's difference from the baseline, tested or not; empty for the baseline itself."""
    return "" if row.test is None or row.test.difference is None else signed(row.test.difference)


def tested_cells(test: PairedTest | None, adjusted: float | None) -> list[str]:
    """The cells of a test, under `TEST_COLUMNS`; empty where there is none."""
    if test is None:
        return [""] * len(TEST_COLUMNS)
    return [f"{signed(test.low)} to {signed(test.high)}", f"{test.t:.2f}", p_value(test.p), p_value(adjusted)]


def differences(analysis: Analysis) -> list[Panel]:
    """Draw the difference of each shown row that is tested, with its interval."""
    rows = [(row, row.tested) for row in analysis.shown if row.tested is not None]
    if not rows or analysis.baseline is None:
        return []
    entries = [(row.label, test, row.outcome) for row, test in rows]
    ax, series = draw_tests(entries, f"{analysis.objective.mean_title} minus the baseline's")
    alt = f"Differences from the baseline {analysis.baseline.label}, with intervals"
    return [as_panel(ax, "differences", alt, series)]


def draw_tests(entries: Sequence[tuple[str, PairedTest, Outcome | None]], xlabel: str) -> tuple[Any, Series]:
    """Draw differences with their intervals, one below the other, each with its label; return axes and points."""
    series = Series()
    labels = [wrapped(label) for label, _, _ in entries]
    ax = new_axes(
        height=0.9 + 0.2 * sum(1.5 + label.count("\n") for label in labels),
        xlabel=xlabel,
        ylim=(len(entries) - 0.5, -0.5),
    )
    ax.axvline(0, color=INK, linewidth=1)
    for height, (label, test, outcome) in enumerate(entries):
        assert outcome is not None, "a test has one"
        colour, marker = LOOKS[outcome]
        ax.plot([test.low, test.high], [height, height], color=colour, linewidth=2.2)
        (point,) = ax.plot(test.difference, height, marker=marker, color=colour, markersize=6)
        series.add(point, [f"{label}: {signed(test.difference)}, {signed(test.low)} to {signed(test.high)}"])
    ax.set_yticks(range(len(entries)), labels)
    ax.grid(False, axis="y")
    ax.locator_params(axis="x", nbins=5)  # long labels leave little room
    return ax, series


def _seeds(row: ResultRow, baseline: ResultRow | None) -> str:
    """With how many seeds a row is better; empty where it has others than the baseline."""
    if baseline is None or row is baseline:
        return ""
    seeds, theirs = ([seed.seed for seed in each.result.seeds] for each in (row, baseline))
    return f"{better_with(row, baseline)} of {len(seeds)} seeds" if seeds == theirs else ""


def _note(analysis: Analysis) -> str:
    others = analysis.others
    untested = [row for row in others if row.tested is None]
    unit = f"{LEAST_SEEDS} seeds" if analysis.study.has_fixed_split else f"{LEAST_FOLDS} folds"
    without = (
        f"A difference is tested over {unit} or more, unless it is the same in all of them: how far it "
        "varies is not known then, however large it is. "
    )
    if len(untested) == len(others):
        return without.rstrip()
    paired = f"{paired_over(analysis.study)} Holm's p allows for {count(len(others), 'comparison')}. "
    equality = '"Not distinguishable" is no proof of equality: the interval says how large a difference may still be.'
    return paired + without * bool(untested) + equality


def paired_over(study: StudyRecord) -> str:
    """How differences d in the folds of a study, or on its test clips, are tested."""
    if study.has_fixed_split:
        return ON_TEST_CLIPS.format(seeds=study.repeats)
    folds, trainings = len(study.folds), len(study.folds) * len(study.partitions)
    over = ", over partitions as Bouckaert and Frank use it" * study.has_several_partitions
    share, paired = 1 / max(folds - 1, 1), f"Paired over {folds_in_words(study)}"
    factor, freedom = f"{1 / trainings + share:.2f}", f"{trainings - 1}"
    if study.is_until_clear:
        paired, factor, freedom = "Paired over the n folds of a row's partitions", f"(1/n + {share:.2f})", "n - 1"
    return (
        f"{paired}: t = mean(d) / sqrt({factor} var(d)) with {freedom} degrees of freedom (Nadeau and Bengio's "
        f"corrected resampled t, because training sets overlap{over})." + _looks(study)
    )


def _looks(study: StudyRecord) -> str:
    """What p and the interval are of a study that adds partitions until it is clear."""
    return CLEAR.format(looks=study.most) if study.is_until_clear else ""
