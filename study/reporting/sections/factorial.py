"""Factorial studies: what each factor changes on average and on top of the others, and how they change each other."""

from collections.abc import Sequence
from dataclasses import replace

from audiotag.corpus.errors import list_first
from study.format import signed, trial_name
from study.ledger.schema import StudyRecord
from study.reporting.section import Section
from study.reporting.sections.against_baseline import RULE, TEST_COLUMNS, draw_tests, paired_over, tested_cells
from study.reporting.style import Panel, as_panel
from study.reporting.tables import Line, Table
from study.stats.analysis import Analysis
from study.stats.factorial import Effect, Factor, Factorial, analyse_factorial
from study.stats.significance import Untested

TITLE = "Main effects and interactions"
TIMES = " \u00d7 "
INTRO = (
    "The {trials} finished trials are every combination of {factors}. A main effect is the {mean} with a factor on "
    "minus that with it off, averaged over the combinations of the others. An interaction of two factors is the effect "
    "of one where the other is on, minus its effect where the other is off."
)
OF_THREE = " That of three is how much the interaction of two changes where the third is on."
CAPTION = (
    "Effect on the {} with its 95 % interval (corrected resampled t, for each row alone); {} of the line is better. "
    "Grey squares are not distinguishable from no effect."
)
EXAMPLE = (
    "To read an interaction: on average, {a} changes the {mean} by {off} {without} and by {on} with {b}; {name} is the "
    "difference of these two."
)
ON_TOP = (
    "Alone is the difference that a factor makes with all others off, on top that with all of them on; the interval, p "
    "and verdict are those of on top."
)
AVERAGES = (
    "A main effect is an average: beside a large interaction, it may hold for no single combination. The interval of "
    'an interaction tends to be twice as wide as that of a main effect{}, so only large ones are found: "not '
    'distinguishable" is no proof that effects add up; the interval says how far from it they may be.'
)
PAIRS_ALONE = "Interactions of more than two factors are left out: few can be read, and Holm's p would allow for each."
OWN_FOLDS = "All of this is of the corpus's own folds, which every row has. "
STILL = "Together worse than the sum may still be better than each alone."
UNFINISHED = (
    "Main effects and interactions need every combination of {factors}. Of the {trials} trials, these have no result: "
    "{names}. Over the others alone, the effect of one factor would be mixed with those of others."
)
VERDICTS = {  # by outcome and number of factors
    ("better", 1): "better with it",
    ("worse", 1): "worse with it",
    ("better", 2): "together better than the sum of both effects",
    ("worse", 2): "together worse than the sum of both effects",
    ("better", 3): "together better than the sum of the effects above",
    ("worse", 3): "together worse than the sum of the effects above",
}


def factorial(analysis: Analysis) -> Section | None:
    """The effects of a factorial study, or why there are none without its unfinished trials."""
    found = analyse_factorial(analysis)
    if found is None:
        return None
    if found.unfinished:
        text = _unfinished(found, analysis)
        return Section(TITLE, intro=text, markdown=text)
    mean, panels = analysis.objective.mean_title, effects_figure(found, analysis)
    intro = INTRO.format(trials=len(analysis.rows), factors=_in_words(found.factors), mean=mean)
    intro += OF_THREE * (_largest(found) == 3)
    tables = [effects_table(found), on_top_table(found)]
    example, notes = _example(found, mean), _notes(found, analysis.study)
    parts = [f"### {table.title}\n\n{table.markdown()}" for table in tables]
    return Section(
        TITLE,
        intro=intro + RULE * bool(panels),
        groups={"": panels} if panels else {},
        wide=True,
        caption=CAPTION.format(mean, "left" if analysis.objective.lower_is_better else "right"),
        lines=example,
        tables=tables,
        notes=notes,
        markdown="\n\n".join([intro, *parts, *example, *notes]),
    )


def effects_table(found: Factorial) -> Table:
    """Main effects and interactions with their tests."""
    tests = any(effect.tested for effect in found.effects)
    lines = [Line([_name(effect), *_cells(effect, tests)], effect.outcome) for effect in found.effects]
    return Table("Effects", ["effect", "estimate", *TEST_COLUMNS * tests, "verdict"], lines, right=1)


def on_top_table(found: Factorial) -> Table:
    """What each factor changes alone, and where all others are on, with the test of the latter."""
    tests = any(effect.tested for effect in found.on_top)
    lines = [
        Line([_name(effect), _signed(alone), *_cells(effect, tests)], effect.outcome)
        for effect, alone in zip(found.on_top, found.alone, strict=True)
    ]
    header = ["factor", "alone", "on top", *TEST_COLUMNS * tests, "verdict"]
    return Table("Each factor on top of all others", header, lines, right=1)


def effects_figure(found: Factorial, analysis: Analysis) -> list[Panel]:
    """Draw each effect that is tested, with its interval."""
    entries = [(_name(effect), effect.tested, effect.outcome) for effect in found.effects if effect.tested]
    if not entries:
        return []
    ax, series = draw_tests(entries, f"effect on the {analysis.objective.mean_title}")
    return [as_panel(ax, "effects", "Main effects and interactions, with intervals", series)]


def _name(effect: Effect) -> str:
    return TIMES.join(factor.on for factor in effect.factors)


def _cells(effect: Effect, tests: bool) -> list[str]:
    """An effect, its test and its verdict."""
    verdict = VERDICTS.get((effect.outcome, len(effect.factors)), "not distinguishable")
    if isinstance(effect.test, Untested):
        verdict = f"not tested: {effect.test.reason}"
    return [_signed(effect.test.difference), *tested_cells(effect.tested, effect.adjusted) * tests, verdict]


def _signed(value: float | None) -> str:
    return "" if value is None else signed(value)


def _largest(found: Factorial) -> int:
    """How many factors the largest interaction has."""
    return len(found.effects[-1].factors)


def _in_words(factors: Sequence[Factor]) -> str:
    """The factors, with what they are where they are off."""
    names = [f"{factor.on} (off: {factor.off})" if factor.off else factor.on for factor in factors]
    return f"{len(factors)} factors, each on or off: {', '.join(names)}"


def _example(found: Factorial, mean: str) -> list[str]:
    """What the clearest interaction of two factors is the difference of."""
    pairs = {effect: abs(effect.tested.t) for effect in found.effects if len(effect.factors) == 2 and effect.tested}
    if not pairs:
        return []
    pair = max(pairs, key=pairs.__getitem__)
    first, second = pair.factors
    (main,) = [effect for effect in found.effects if effect.factors == (first,)]
    average, change = main.test.difference, pair.test.difference
    assert average is not None, "its interaction has one"
    assert change is not None, "it is tested"
    off, on = (signed(average + sign * change / 2) for sign in (-1, 1))
    without = f"with {second.off}" if second.off else f"without {second.on}"
    return [EXAMPLE.format(a=first.on, b=second.on, mean=mean, off=off, on=on, without=without, name=_name(pair))]


def _notes(found: Factorial, study: StudyRecord) -> list[str]:
    """How the figures are to be taken."""
    interactions = []
    if any(effect.tested for effect in found.effects):
        interactions.append(AVERAGES.format(", that of three four times as wide" * (_largest(found) == 3)))
    if any(effect.outcome == "worse" and len(effect.factors) > 1 for effect in found.effects):
        interactions.append(STILL)
    if len(found.factors) > _largest(found):
        interactions.append(PAIRS_ALONE)
    return [f"{ON_TOP}{_paired(found, study)}", *[" ".join(interactions)] * bool(interactions)]


def _paired(found: Factorial, study: StudyRecord) -> str:
    """How the tables' rows are tested; nothing where none is."""
    if not any(effect.tested for effect in (*found.effects, *found.on_top)):
        return ""
    rows = f"{len(found.effects)} rows of the first table, and apart from them for the {len(found.on_top)}"
    own = OWN_FOLDS * study.is_until_clear
    study = replace(study, drawn=(), most=None) if own else study
    return f" {own}{paired_over(study)} Holm's p allows for the {rows} of the second."


def _unfinished(found: Factorial, analysis: Analysis) -> str:
    """Which trials of the design have no result."""
    varied = analysis.study.varied
    names = [f"{trial_name(trial.params, varied) or trial.key} ({trial.status})" for trial in found.unfinished]
    return UNFINISHED.format(
        factors=_in_words(found.factors),
        trials=len(analysis.results.trials),
        names=list_first(names, separator="; "),
    )
