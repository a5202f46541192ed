"""How the shown rows learned: the objective, loss and accuracy by epoch."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from audiotag.training.epochs import EpochResult
from study.format import decimal
from study.ledger.learning_curves import mean_curves
from study.reporting.section import Key, Section
from study.reporting.sections.paper_tables import hidden
from study.reporting.style import SERIES, Panel, Series, as_panel, new_axes, on_page
from study.stats.analysis import Analysis, histories
from study.stats.rows import ResultRow

DASHES = ("", "6 2", "2 2", "6 2 2 2")  # of SVG, in which the colours come again
PATTERNS = {dash: (0, tuple(map(int, dash.split()))) for dash in DASHES}
LOOKS = [(colour, dash) for dash, colour in product(DASHES, SERIES)]
WIDTH, HEIGHT = 4.8, 3.1  # inches
CAPTION = (
    "Thick lines are means over the {units}, as long as more than half of them still train; faint ones are the "
    "{units}, and a point is the epoch whose weights were kept. Accuracy is the share of all pairs of clip and tag "
    "that a threshold of .5 gets right. Training figures (thin) are of mixed samples with dropout, so they may lie "
    "above those of validation."
)
SEEDS = " Each fold was trained with several seeds; each is a faint line."


def training(analysis: Analysis) -> Section | None:
    """A panel per quantity, with all shown rows."""
    if not analysis.shown:
        return None
    looks = {row.key: LOOKS[number % len(LOOKS)] for number, row in enumerate(analysis.shown)}
    found = {row.key: histories(analysis.ledger, row.key) for row in analysis.shown}
    curves = {key: mean_curves(each) for key, each in found.items()}
    panels = [_draw_objective(analysis, looks, found, curves)]
    panels += [_draw(analysis, looks, curves, what) for what in ("loss", "accuracy")]
    keys = [
        Key(row.key, row.label, on_page(colour), dash)
        for row, (colour, dash) in zip(analysis.shown, looks.values(), strict=True)
    ]
    fixed, several = analysis.study.has_fixed_split, analysis.study.has_several_seeds
    caption = CAPTION.format(units="seeds" if fixed else "folds") + SEEDS * (several and not fixed) + hidden(analysis)
    return Section("Training", keys=keys, groups={"": panels}, wide=True, caption=caption)


def _draw_objective(
    analysis: Analysis,
    looks: dict[str, tuple[str, str]],
    found: dict[str, list[Sequence[EpochResult]]],
    curves: dict[str, list[EpochResult]],
) -> Panel:
    """Draw the objective on the validation clips: means, folds, and the epochs whose weights were kept."""
    objective, series = analysis.objective, Series()
    ax = new_axes(width=WIDTH, height=HEIGHT, xlabel="epoch", ylabel=f"{objective.mean_title}, validation")
    for row in analysis.shown:
        colour, dash = looks[row.key]
        how = {"color": colour, "linestyle": PATTERNS[dash] if dash else "-"}
        names, best = _trainings(row), []
        for (name, kept), history in zip(names, found[row.key], strict=True):
            points = _points([(result.epoch, result.val_means.get(objective.name)) for result in history])
            _plot(ax, points, series, row, f"{row.label}, {name}", **how | {"linewidth": 0.8, "alpha": 0.35})
            best += [(x, y, f"{row.label}, {name}: epoch {x}, kept, {decimal(y)}") for x, y in points if x - 1 == kept]
        (marks,) = ax.plot([x for x, _, _ in best], [y for _, y, _ in best], "o", color=colour, markersize=4)
        series.add(marks, [text for _, _, text in best], row.key)
        mean = _points([(result.epoch, result.val_means.get(objective.name)) for result in curves[row.key]])
        _plot(ax, mean, series, row, f"{row.label}, mean", **how | {"linewidth": 2.0})
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    alt = f"{objective.mean_title} on the validation clips by epoch, of each row and its trainings"
    return as_panel(ax, "training objective", alt, series)


def _draw(
    analysis: Analysis, looks: dict[str, tuple[str, str]], curves: dict[str, list[EpochResult]], what: str
) -> Panel:
    """Draw a quantity in training and validation, means over the folds."""
    series = Series()
    ax = new_axes(width=WIDTH, height=HEIGHT, xlabel="epoch", ylabel=what)
    for row, (part, name, width) in product(analysis.shown, (("train", "training", 0.9), ("val", "validation", 2.0))):
        colour, dash = looks[row.key]
        points = _points([(result.epoch, getattr(result, f"{part}_{what}")) for result in curves[row.key]])
        style = PATTERNS[dash] if dash else "-"
        _plot(ax, points, series, row, f"{row.label}, {name}", color=colour, linestyle=style, linewidth=width)
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return as_panel(ax, f"training {what}", f"{what} by epoch in training and validation, of each row", series)


def _trainings(row: ResultRow) -> list[tuple[str, float]]:
    """The trainings of a row on the corpus's own folds, in words, each with the epoch that was kept, from 0."""
    found: list[tuple[str, float]] = []
    for fold in row.result.folds:
        seeds = [(f"fold {fold.fold}, seed {own.seed}", float(own.best_epoch)) for own in fold.repeats]
        found += seeds or [(f"fold {fold.fold}", fold.best_epoch)]
    return found


def _points(values: Sequence[tuple[int, float | None]]) -> list[tuple[int, float]]:
    """Epochs, from 1, that have a value."""
    return [(epoch + 1, value) for epoch, value in values if value is not None and not math.isnan(value)]


def _plot(ax: Any, points: Sequence[tuple[int, float]], series: Series, row: ResultRow, name: str, **how: Any) -> None:
    marker = {"marker": "o", "markersize": 3} if len(points) == 1 else {}  # a line of one point shows nothing
    (line,) = ax.plot([x for x, _ in points], [y for _, y in points], **marker, **how)
    series.add(line, [f"{name}: epoch {x}, {decimal(y)}" for x, y in points], row.key)
