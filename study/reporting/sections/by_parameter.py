"""The objective against each parameter that differs, and whether the best trial lies at the edge of what was tried."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from audiotag.config import NO_AUGMENTATION
from study.format import decimal, show
from study.reporting.section import Section
from study.reporting.style import PAPER, SERIES, Panel, Series, as_panel, new_axes
from study.stats.analysis import Analysis
from study.stats.rows import ResultRow

POINTS = 60  # trials whose folds are shown as points
NUMBERS = 12  # values of a parameter that get a place each, evenly spaced
LOG = 20.0  # ratio of values from which an axis is logarithmic
EDGE = 0.05  # share of a range that counts as its edge
CAPTION = "Each point is a fold, each bar or large mark a trial's mean over its folds."
ON_TEST_CLIPS = "Each point is a seed, each bar or large mark a trial's mean over its seeds, on the test clips."
SEEDS = " Each fold was trained with several seeds; points are their means."


def by_parameter(analysis: Analysis) -> Section | None:
    """A figure per scientific parameter."""
    if not analysis.scientific:
        return None
    panels, fixed = [_draw(analysis, name) for name in analysis.scientific], analysis.study.has_fixed_split
    return Section(
        "By parameter",
        groups={"": panels},
        wide=len(panels) == 1,
        caption=ON_TEST_CLIPS if fixed else CAPTION + SEEDS * analysis.study.has_several_seeds,
        lines=edges(analysis),
    )


def is_log(analysis: Analysis, name: str) -> bool:
    """Tell whether a parameter belongs on a logarithmic axis: as its space says, else from its values."""
    if (known := analysis.study.ranges.get(name)) is not None:
        return bool(known["log"])
    values = analysis.values(name)
    return not isinstance(values[0], str) and min(values) > 0 and max(values) / min(values) > LOG


def edges(analysis: Analysis) -> list[str]:
    """Say whether the best row lies at the edge of what was tried."""
    if analysis.best is None or len(analysis.rows) < 3:
        return []
    found = [f"The chosen trial's {line}: better values may lie beyond." for line in at_edge(analysis, analysis.best)]
    numeric = any(_is_numeric(analysis.best.params.get(name)) for name in analysis.scientific)
    return found or ["The chosen trial lies at no edge of what was tried."] * numeric


def _is_numeric(value: Any) -> bool:
    return value is not None and not isinstance(value, str | bool)


def at_edge(analysis: Analysis, row: ResultRow) -> list[str]:
    """Name the numeric parameters of a row that lie at the edge of what was tried, 0 apart: nothing is below."""
    said = []
    for name in analysis.scientific:
        value = row.params.get(name)
        if value is None or not _is_numeric(value):
            continue
        tried, known = sorted(set(analysis.values(name))), analysis.study.ranges.get(name)
        limits = known or {"low": tried[0], "high": tried[-1], "log": False}
        at, low, high = (np.log(v) if limits["log"] else v for v in (value, limits["low"], limits["high"]))
        if len(tried) < 3 or high <= low:
            continue
        share, margin = (at - low) / (high - low), EDGE if known else 0.0
        end = "lower" if share <= margin and value > 0 else "upper" if share >= 1 - margin else None
        said += [f"{name} {show(value)} lies at the {end} edge of what was tried"] if end else []
    return said


def _draw(analysis: Analysis, name: str) -> Panel:
    values, objective = analysis.values(name), analysis.objective
    ax = new_axes(xlabel=name, ylabel=objective.mean_name or f"{objective.column}, mean over tags")
    ax.margins(x=0.08)
    text = isinstance(values[0], str)  # those stand in the order of the trials
    distinct = sorted(dict.fromkeys(values), key=lambda value: (value != NO_AUGMENTATION, "" if text else value))
    evenly = text or len(distinct) <= NUMBERS
    if evenly:
        labels = [show(value) for value in distinct]
        turned = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if max(map(len, labels)) > 6 else {}
        ax.set_xticks(range(len(distinct)), labels, **turned)
        ax.set_xlim(-0.6, len(distinct) - 0.4)
    elif is_log(analysis, name):
        _set_log(ax)
    groups = _split(analysis, name)
    room, series = 0.8 / max(len(groups), 2) if evenly else 0.0, Series()
    for number, (label, rows) in enumerate(groups.items()):
        own = [row.params[name] for row in rows]
        centres = map(distinct.index, own) if evenly else own
        beside = [centre + room * _shift(groups, name, label, at) for centre, at in zip(centres, own, strict=True)]
        _draw_folds(ax, beside, rows, 0.4 * room, number, label, series)
    if len(groups) > 1:
        ax.figure.legend(loc="outside upper center", ncols=3)
    alt = f"{objective.mean_column} against {name}, folds as points and their mean as a bar"
    return as_panel(ax, f"{objective.name} by {name}", alt, series)


def _set_log(ax: Any) -> None:
    """Make the axis logarithmic, with ticks at 1, 2 and 5 times the powers of ten, in plain numbers."""
    from matplotlib.ticker import LogLocator

    ax.set_xscale("log")
    ax.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:.3g}", minor_formatter="")


def _split(analysis: Analysis, name: str) -> dict[str, list[ResultRow]]:
    """Group the rows that have a parameter by augmentation where that differs too, or else by model, else together."""
    kinds = [kind for kind in ("augmentation", "model") if kind in analysis.scientific and kind != name]
    groups: dict[str, list[ResultRow]] = {}
    for row in analysis.rows:
        if name in row.params:
            groups.setdefault(row.params[kinds[0]] if kinds else "", []).append(row)
    return groups


def _shift(groups: dict[str, list[ResultRow]], name: str, label: str, value: Any) -> float:
    """How many widths to the side of a value a group lies, so that the groups at a value stand around it."""
    there = [other for other, rows in groups.items() if any(row.params[name] == value for row in rows)]
    return there.index(label) - (len(there) - 1) / 2


def _draw_folds(
    ax: Any,
    positions: Sequence[float],
    rows: Sequence[ResultRow],
    width: float,
    number: int,
    label: str,
    series: Series,
) -> None:
    """Draw a group's folds as points, and the mean of each row as a bar, of no width as a large mark."""
    colour, marker = SERIES[number % len(SERIES)], "osD^vP"[number % 6]
    means = [row.mean for row in rows]
    if len(rows) <= POINTS:
        for position, row in zip(positions, rows, strict=True):
            own = [(name, mean) for name, mean in _points_of(row) if mean is not None]
            how = {"color": colour, "markersize": 4.5, "alpha": 0.5, "markeredgewidth": 0}
            (points,) = ax.plot([position] * len(own), [mean for _, mean in own], marker, **how)
            series.add(points, [f"{row.label}, {name}: {decimal(mean)}" for name, mean in own])
    if width:
        ax.hlines(means, np.array(positions) - width, np.array(positions) + width, color=colour, linewidth=2.4)
        ax.plot([], [], marker, color=colour, linestyle="-", label=label or None)
        (marks,) = ax.plot(positions, means, "o", color=colour, alpha=0.0)  # bars have no points of their own
    else:
        how = {"color": colour, "markersize": 6.5, "markeredgecolor": PAPER, "label": label or None}
        (marks,) = ax.plot(positions, means, marker, **how)
    series.add(marks, [f"{row.label}, mean: {decimal(row.mean)}" for row in rows])


def _points_of(row: ResultRow) -> list[tuple[str, float | None]]:
    """The figures of which a row's mean is one: of its folds, or of its seeds on the test clips of a fixed split."""
    folds, metric = row.result.folds, row.result.objective.name
    if len(folds) == 1 and folds[0].repeats:
        return [(f"seed {own.seed}", own.figures[metric].mean) for own in folds[0].repeats]
    return [(f"fold {fold.fold}", fold.figures[metric].mean) for fold in folds]
