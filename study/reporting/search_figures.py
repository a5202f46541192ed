"""The figures of a sampled study: how the search went, which parameter mattered, where the good trials lie."""

import math
import warnings
from typing import Any

import numpy as np

from study.format import applies, show
from study.reporting.figures import is_log
from study.reporting.style import BLUE, FAINT, GRID, INK, PAPER, Panel, as_panel, new_axes
from study.stats.analysis import Findings, Row

FEWEST = 8  # finished trials, below which importance would be noise
TOP = 0.1  # share of the trials that is marked as good
EDGE = 0.05  # share of a range that counts as its edge


def optimisation_history(findings: Findings) -> list[Panel]:
    """Each trial's mean EER in the order of the trials, and the best so far."""
    if len(findings.rows) < 2:
        return []
    numbers, means = np.arange(1, len(findings.rows) + 1), [row.mean for row in findings.rows]
    ax = new_axes(xlabel="finished trial", ylabel="mean EER")
    ax.plot(numbers, means, "o", color=FAINT, markersize=4, alpha=0.7, label="trial")
    ax.step(numbers, np.minimum.accumulate(means), color=BLUE, where="post", linewidth=2, label="best so far")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(loc="upper right")
    return [as_panel(ax, "optimisation history", "Mean EER of each trial in order, and the best so far")]


def importances(findings: Findings) -> dict[str, float]:
    """PED-ANOVA's importance of each scientific parameter, summing to 1; empty where there are too few trials.

    Source: Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces".
    """
    if len(findings.rows) < FEWEST or not findings.scientific:
        return {}
    import optuna
    from optuna.trial import create_trial

    from study.search.space import quiet_optuna

    kinds = {name: _distribution(findings, name) for name in findings.scientific}
    with quiet_optuna():
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
        for row in findings.rows:
            there = {name: kinds[name] for name in findings.scientific if applies(name, row.params)}
            values = {name: row.params[name] for name in there}
            study.add_trial(create_trial(value=row.mean, params=values, distributions=there))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*select the same set.*")
            try:
                found = optuna.importance.get_param_importances(study)
            except (RuntimeError, ValueError, UserWarning):
                return {}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _distribution(findings: Findings, name: str) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values = [row.params[name] for row in findings.rows if applies(name, row.params)]
    if name not in findings.study.get("ranges", {}):
        return CategoricalDistribution(list(dict.fromkeys(values)))
    low, high, log = (findings.study["ranges"][name][part] for part in ("low", "high", "log"))
    return FloatDistribution(min(low, *values), max(high, *values), log=log)


def importance(findings: Findings) -> list[Panel]:
    """A bar a parameter."""
    found = importances(findings)
    if not found:
        return []
    ax = new_axes(xlabel="share of the importance (PED-ANOVA)", height=0.9 + 0.42 * len(found))
    ax.barh(range(len(found)), list(found.values()), color=BLUE, height=0.6)
    for place, value in enumerate(found.values()):
        ax.annotate(f"{value:.2f}", (value, place), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(found)), list(found))
    ax.invert_yaxis()
    ax.set_xlim(0, 1.12 * max(found.values()) or 1)
    ax.grid(False, axis="y")
    return [as_panel(ax, "importance", "Importance of each parameter for the mean EER")]


def parallel_coordinates(findings: Findings) -> list[Panel]:
    """A line a trial through its parameters to its mean EER, the good ones in colour."""
    names = findings.scientific
    if len(findings.rows) < 3 or not names:
        return []
    from matplotlib.collections import LineCollection

    columns = [_column(findings, name) for name in names]
    means = np.array([row.mean for row in findings.rows])
    columns.append(_scaled(means, False))
    labels = [*names, "mean EER"]
    ax = new_axes(width=5.2, height=3.8, xlim=(-0.15, len(labels) - 0.85), ylim=(-0.06, 1.06))
    good = means <= np.quantile(means, max(TOP, 1 / len(means)))
    heights = np.stack([at for at, _ in columns], axis=1)  # (trials, columns)
    lines = np.stack(np.broadcast_arrays(np.arange(len(labels)), heights), axis=2)
    for drawn, colour, width, alpha in ((~good, FAINT, 0.7, 0.35), (good, BLUE, 1.8, 0.9)):
        ax.add_collection(LineCollection(lines[drawn], colors=colour, linewidths=width, alpha=alpha))
    for place, (_, ticks) in enumerate(columns):
        ax.axvline(place, color=INK, linewidth=1)
        for height, text in ticks:
            box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1}
            ax.annotate(text, (place, height), xytext=(5, 0), textcoords="offset points", va="center", size=9, bbox=box)
    ax.set_xticks(range(len(labels)), labels)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_color(GRID)
    return [as_panel(ax, "parallel coordinates", "Each trial as a line through its parameters to its mean EER")]


Ticks = list[tuple[float, str]]  # height in [0, 1], text


def _column(findings: Findings, name: str) -> tuple[np.ndarray, Ticks]:
    """Heights in [0, 1] of each trial's value, and ticks; a value without meaning lies at the bottom, at "none"."""
    values = [row.params[name] if applies(name, row.params) else None for row in findings.rows]
    there = [value for value in values if value is not None]
    if isinstance(there[0], str | bool):
        distinct = list(dict.fromkeys(there))
        heights = {value: place / max(len(distinct) - 1, 1) for place, value in enumerate(distinct)}
        return np.array([heights.get(value, 0.0) for value in values]), [(h, show(v)) for v, h in heights.items()]
    scaled, ticks = _scaled(np.array(there, dtype=float), is_log(findings, name))
    if len(there) == len(values):
        return scaled, ticks
    rest = iter(0.15 + 0.85 * scaled)
    lifted = [(0.15 + 0.85 * height, text) for height, text in ticks]
    return np.array([0.0 if value is None else next(rest) for value in values]), [(0.0, "none"), *lifted]


def _scaled(values: np.ndarray, log: bool) -> tuple[np.ndarray, Ticks]:
    inner = np.log(values) if log else values
    low, span = inner.min(), np.ptp(inner) or 1.0
    ends = np.linspace(low, low + span, 4)
    return (inner - low) / span, [(k / 3, show(float(np.exp(end) if log else end))) for k, end in enumerate(ends)]


def at_edge(findings: Findings, row: Row) -> list[str]:
    """What to say where a row's numeric parameters lie at the edge of what was tried: the best may lie beyond.

    Nothing lies below 0, which is no edge therefore: no hyperparameter is negative.
    """
    said = []
    for name in findings.scientific:
        if not applies(name, row.params) or isinstance(row.params[name], str | bool):
            continue
        tried = sorted({other.params[name] for other in findings.rows if applies(name, other.params)})
        limits = findings.study.get("ranges", {}).get(name, {"low": tried[0], "high": tried[-1], "log": False})
        at, low, high = (np.log(v) if limits["log"] else v for v in (row.params[name], limits["low"], limits["high"]))
        if len(tried) < 3 or high <= low:
            continue
        share = (at - low) / (high - low)
        margin = EDGE if name in findings.study.get("ranges", {}) else 0.0
        end = "lower" if share <= margin and row.params[name] > 0 else "upper" if share >= 1 - margin else None
        if end:
            said.append(f"{name} {show(row.params[name])} lies at the {end} edge of what was tried")
    return said
