"""The mean EER against each parameter that differs, and whether the best trial lies at the edge of what was tried."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from audiotag.config import NO_AUGMENTATION
from study.format import show
from study.ledger.ledger import Ledger
from study.ledger.schema import OBJECTIVE
from study.reporting.section import Section, body
from study.reporting.style import PAPER, SERIES, Panel, as_panel, log_axis, new_axes
from study.stats.analysis import Analysis, ResultRow

POINTS = 60  # trials whose folds are shown as points
NUMBERS = 12  # values of a parameter that get a place each, evenly spaced
LOG = 20.0  # ratio of values from which an axis is logarithmic
EDGE = 0.05  # share of a range that counts as its edge
CAPTION = "Each point is a fold, each bar or large mark a trial's mean over its folds."
SEEDS = " Each fold was trained with several seeds; points are their means."


def by_parameter(analysis: Analysis, ledger: Ledger) -> Section | None:
    """A figure per scientific parameter."""
    if not analysis.scientific:
        return None
    panels = [_draw(analysis, name) for name in analysis.scientific]
    html = body(
        groups={"": panels},
        wide=len(panels) == 1,
        caption=CAPTION + SEEDS * analysis.study.has_several_seeds,
        lines=edges(analysis),
    )
    return Section("By parameter", html, panels)


def is_log(analysis: Analysis, name: str) -> bool:
    """Tell whether a numeric parameter belongs on a logarithmic axis: as its space says, else from its values."""
    if (known := analysis.study.ranges.get(name)) is not None:
        return bool(known["log"])
    values = analysis.values(name)
    return min(values) > 0 and max(values) / min(values) > LOG


def edges(analysis: Analysis) -> list[str]:
    """Say whether the best row lies at the edge of what was tried."""
    if analysis.best is None or len(analysis.rows) < 3:
        return []
    found = at_edge(analysis, analysis.best)
    return [f"The best trial's {line}: the best may lie beyond." for line in found] or [
        "The best trial lies at no edge of what was tried."
    ]


def at_edge(analysis: Analysis, row: ResultRow) -> list[str]:
    """Name the numeric parameters of a row that lie at the edge of what was tried; 0 is no edge, nothing is below."""
    said = []
    for name in analysis.scientific:
        value = row.params.get(name)
        if value is None or isinstance(value, str | bool):
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
    rows = [row for row in analysis.rows if name in row.params]
    values = analysis.values(name)
    ax = new_axes(xlabel=name, ylabel="EER, mean over tags")
    distinct = sorted(set(values), key=lambda value: (value != NO_AUGMENTATION, value))
    evenly = isinstance(values[0], str) or len(distinct) <= NUMBERS
    if evenly:
        positions = [float(distinct.index(value)) for value in values]
        ax.set_xticks(range(len(distinct)), [show(value) for value in distinct])
        if max(map(len, map(show, distinct))) > 6:
            ax.tick_params(axis="x", labelrotation=25)
    else:
        positions = [float(value) for value in values]
        if is_log(analysis, name):
            log_axis(ax.xaxis)
    groups = _split(analysis, rows, name)
    room = 0.8 / max(len(groups), 2) if evenly else 0.0
    for number, (label, members) in enumerate(groups.items()):
        beside = [positions[i] + room * _shift(groups, positions, label, positions[i]) for i in members]
        _draw_folds(ax, beside, [rows[i] for i in members], 0.4 * room, number, label)
    if len(groups) > 1:
        ax.figure.legend(loc="outside upper center", ncols=3)
    ax.margins(x=0.08)
    if evenly:
        ax.set_xlim(-0.6, len(distinct) - 0.4)
    return as_panel(ax, f"eer by {name}", f"EER against {name}, folds as points and their mean as a bar")


def _split(analysis: Analysis, rows: Sequence[ResultRow], name: str) -> dict[str, list[int]]:
    """Group rows by augmentation where that differs too, or else by model, else all together."""
    kinds = [kind for kind in ("augmentation", "model") if kind in analysis.scientific and kind != name]
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.params[kinds[0]] if kinds else "", []).append(index)
    return groups


def _shift(groups: dict[str, list[int]], positions: list[float], label: str, at: float) -> float:
    """How many widths to the side of a value a group lies, so that the groups at a value stand around it."""
    there = [other for other, members in groups.items() if any(positions[i] == at for i in members)]
    return there.index(label) - (len(there) - 1) / 2


def _draw_folds(
    ax: Any, positions: Sequence[float], rows: Sequence[ResultRow], width: float, number: int, label: str
) -> None:
    colour, marker = SERIES[number % len(SERIES)], "osD^vP"[number % 6]
    means = [row.mean for row in rows]
    if len(rows) <= POINTS:
        for position, row in zip(positions, rows, strict=True):
            found = [fold.figures[OBJECTIVE.name].mean for fold in row.result.folds]
            own = [mean for mean in found if mean is not None]
            ax.plot([position] * len(own), own, marker, color=colour, markersize=4.5, alpha=0.5, markeredgewidth=0)
    if width:
        ax.hlines(means, np.array(positions) - width, np.array(positions) + width, color=colour, linewidth=2.4)
        ax.plot([], [], marker, color=colour, linestyle="-", label=label or None)
    else:
        ax.plot(positions, means, marker, color=colour, markersize=6.5, markeredgecolor=PAPER, label=label or None)
