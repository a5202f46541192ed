"""Whether rows help in general: studies of the same question on several corpora, row by row."""

from collections.abc import Sequence

from audiotag.corpus.errors import count
from study.format import decimal, probability, signed
from study.reporting.prose import margin_in_words, p_value, verdict
from study.reporting.section import Section
from study.reporting.sections.against_baseline import INTERVAL, draw_tests, tested_cells
from study.reporting.style import INK, Panel, as_panel
from study.reporting.tables import Line, Table
from study.stats.across_corpora import LEAST_CORPORA, LEAST_RANKED, MOST_CORPORA, GeneralRow, least_signed_rank
from study.stats.analysis import Analysis
from study.stats.rows import SHOWN_ROWS
from study.stats.significance import ROUNDING, PairedTest, Untested

TITLE = "Across corpora"
INTRO = (
    "Does it help in general? Each row's difference in {mean} from the baseline, {baseline}, on {n} corpora, and "
    "its mean over them.{left_out}"
)
CAPTION = (
    "Mean difference in {mean} over the corpora with its 95 % interval (for each row alone); small circles are the "
    "corpora; {side} of the line is better. Grey squares are not distinguishable."
)
TEST = (
    "Every corpus counts once, however large it is: Student's t of the {n} differences with {df} degrees of "
    "freedom, which stays valid where some corpora are measured more precisely than others. Holm's p allows for "
    '{comparisons}. "Needed": how many corpora in all would call a mean difference of this size real in '
    "four of five cases, if it varies from corpus to corpus as it does here. "
)
TOO_FEW = "A mean over corpora is tested from {least} corpora on. "
RANKED = "Signed-rank p: Wilcoxon's test, which does without normal differences; for each row alone. "
UNRANKED = (
    "No signed-rank test: with {n} corpora its p is at least {p}, and it cannot reach .05 with fewer than {least}. "
)
SCOPE = (
    "A verdict holds for corpora of which these could be a random choice. Corpora that share recordings count for less "
    "than they seem to."
)
REST = "Shown are the best {shown} of {total} trials; the comparison's .md file has all."


def across_corpora(rows: Sequence[GeneralRow], found: Sequence[Analysis]) -> Section:
    """Show what rows that all studies have do over their corpora."""
    objective, baseline, n = found[0].objective, found[0].baseline, len(found)
    assert baseline is not None, "without one no row is compared"
    shown = sorted(sorted(rows, key=_rank)[:SHOWN_ROWS], key=rows.index)
    intro = INTRO.format(mean=objective.mean_title, baseline=baseline.label, n=n, left_out=_left_out(rows, found))
    side = "left" if objective.lower_is_better else "right"
    tables = [general_table(shown), corpora_table(shown, found)]
    whole = [general_table(rows), corpora_table(rows, found)]
    note = note_of(rows, n)
    text = "\n\n".join([f"## {TITLE}", intro, whole[0].markdown(), note, whole[1].markdown()])
    return Section(
        TITLE,
        intro=intro,
        groups={"": _draw(shown, objective.mean_title)} if any(_test(row) for row in shown) else {},
        wide=True,
        caption=CAPTION.format(mean=objective.mean_title, side=side),
        tables=tables,
        notes=[note, *[REST.format(shown=SHOWN_ROWS, total=len(rows))] * (len(rows) > SHOWN_ROWS)],
        markdown=text,
    )


def general_table(rows: Sequence[GeneralRow]) -> Table:
    """The mean difference of each row over the corpora, and its test."""
    tests, ranked = any(_test(row) for row in rows), any(row.signed_rank is not None for row in rows)
    header = ["trial", "difference", *[INTERVAL, "t", "p", "Holm p"] * tests, "better on"]
    header += [*["signed-rank p"] * ranked, *["needed"] * tests, "verdict"]
    lines = []
    for row in rows:
        cells = [row.label, signed(float(row.differences.mean()))]
        cells += tested_cells(_test(row), row.comparison.adjusted) * tests
        cells += [f"{row.better_on} of {len(row.differences)}", *[p_value(row.signed_rank)] * ranked]
        cells += [_needed(row)] * tests
        lines.append(Line([*cells, verdict(row.comparison)], row.comparison.outcome))
    named = [[header.index(name)] for name in ("t", "p", "signed-rank p", "needed") if name in header]
    return Table("The mean over the corpora", header, lines, right=1, spare=named, prose=[0, len(header) - 1])


def corpora_table(rows: Sequence[GeneralRow], found: Sequence[Analysis]) -> Table:
    """Each row's difference on each corpus, as the corpus's own study tests it."""
    header = ["trial", "corpus", "study", "difference", INTERVAL, "Holm p", "verdict"]
    lines = []
    for row in rows:
        for own, value, each in zip(row.rows, row.differences.tolist(), found, strict=True):
            test = own.tested
            interval = "" if test is None else _interval(test)
            cells = [row.label, each.study.corpus.name, each.study.name, signed(value), interval]
            lines.append(Line([*cells, p_value(own.adjusted), verdict(own)], own.outcome or ""))
    return Table("On each corpus", header, lines, left=3, right=1, spare=[[2], [4]], prose=[0, 1, 2, 6])


def answer_across(rows: Sequence[GeneralRow], found: Sequence[Analysis], margin: float) -> str:
    """Say whether some row is better than the baseline over the corpora."""
    mean, baseline = found[0].objective.mean_title, found[0].baseline
    assert baseline is not None, "without one no row is compared"
    better, worse = ([row for row in rows if row.comparison.outcome == which] for which in ("better", "worse"))
    best = min(better or rows, key=_rank)
    lead = f" The largest lead is that of {_described(best, mean)}."
    over, against = f"Over {len(found)} corpora, ", f"the baseline, {baseline.label}"
    if not any(_test(row) for row in rows):
        return f"{over}nothing is tested ({_reason(best)}).{lead * _leads(best)}"
    if better:
        text = f"{over}by more than chance, {_described(best, mean)} is better than {against}."
        text += _same_in_words(best, margin)
    elif _leads(best):
        text = f"{over}no trial is better than {against}, by more than chance.{lead}"
        if best.needed is not None:
            text += f" {best.needed} corpora in all would show a lead of this size in four of five cases."
        text += _same_in_words(best, margin)
    else:
        text = f"{over}no trial has a better {mean} than {against}."
    counts = f" Better by more than chance: {len(better)} of {len(rows)}; worse: {len(worse)}."
    return text + counts * (len(rows) > 1 or bool(worse))


def note_of(rows: Sequence[GeneralRow], corpora: int) -> str:
    """How the rows are tested, and of what that holds."""
    tested, least = any(_test(row) for row in rows), decimal(least_signed_rank(corpora), 2)
    text = TEST.format(n=corpora, df=corpora - 1, comparisons=count(len(rows), "comparison")) * tested
    text += TOO_FEW.format(least=LEAST_CORPORA) * (corpora < LEAST_CORPORA)
    if any(row.signed_rank is not None for row in rows):
        text += RANKED
    elif corpora < LEAST_RANKED:
        text += UNRANKED.format(n=corpora, p=least, least=LEAST_RANKED)
    return (text + SCOPE * tested).rstrip()


def _described(row: GeneralRow, mean: str) -> str:
    test, better_on = _test(row), f"better on {row.better_on} of {len(row.differences)}"
    figures = [f"{signed(float(row.differences.mean()))} in {mean}", better_on]
    figures += [] if test is None else [f"{INTERVAL} {_interval(test)}", f"Holm p {p_value(row.comparison.adjusted)}"]
    return f"{row.label} ({'; '.join(figures)})"


def _same_in_words(row: GeneralRow, margin: float) -> str:
    """That a row and the baseline are the same over the corpora, where they are."""
    posterior = row.comparison.posterior
    if posterior is None or not posterior.is_same:
        return ""
    but = "But the" if row.comparison.outcome == "better" else "The"
    within = margin_in_words(margin)
    return f" {but} two are the same within {within}, with a probability of {probability(posterior.same)}."


def _draw(rows: Sequence[GeneralRow], mean: str) -> list[Panel]:
    """Draw each tested row's mean difference with its interval, and the corpora's own."""
    tested = [(row, test) for row in rows if (test := _test(row)) is not None]
    entries = [(row.label, test, row.comparison.outcome) for row, test in tested]
    ax, series = draw_tests(entries, f"{mean} minus the baseline's")
    for height, (row, _) in enumerate(tested):
        own, how = row.differences, {"color": INK, "markerfacecolor": "none", "linewidth": 0}
        (circles,) = ax.plot(own, [height + 0.25] * len(own), "o", markersize=4, **how)
        pairs = zip(row.rows, own.tolist(), strict=True)
        series.add(circles, [f"{each.study}: {signed(value)}" for each, value in pairs])
    alt = "Mean differences from the baseline over the corpora, with intervals"
    return [as_panel(ax, "across-corpora", alt, series)]


def _left_out(rows: Sequence[GeneralRow], found: Sequence[Analysis]) -> str:
    """How many rows are not in all studies."""
    most = max(len(each.others) for each in found)
    own = [f"{len(each.others) - len(rows)} of {each.study.name}" for each in found if len(each.others) > len(rows)]
    return f" Left out, because not all studies have them: {', '.join(own)}." if most > len(rows) else ""


def _leads(row: GeneralRow) -> bool:
    return _rank(row) < -ROUNDING


def _rank(row: GeneralRow) -> float:
    """A number that is smallest for the row with the best mean difference."""
    return row.rows[0].result.objective.rank(float(row.differences.mean()))


def _test(row: GeneralRow) -> PairedTest | None:
    return row.comparison.test if isinstance(row.comparison.test, PairedTest) else None


def _reason(row: GeneralRow) -> str:
    return row.comparison.test.reason if isinstance(row.comparison.test, Untested) else ""


def _interval(test: PairedTest) -> str:
    return f"{signed(test.low)} to {signed(test.high)}"


def _needed(row: GeneralRow) -> str:
    """How many corpora would settle a row."""
    if row.comparison.outcome != "indistinguishable":
        return ""
    return f"over {MOST_CORPORA}" if row.needed is None else str(row.needed)
