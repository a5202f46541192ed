"""How the search of a sampled study went: history, importance of the parameters, parallel coordinates."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from study.format import decimal, show
from study.reporting.section import Section
from study.reporting.sections.by_parameter import is_log
from study.reporting.style import BLUE, FAINT, GRID, INK, PAPER, Panel, Series, as_panel, new_axes
from study.stats.analysis import Analysis

FEWEST = 20  # finished trials: PED-ANOVA tells the best tenth, two of them, from the rest
TOP = 0.1  # share of the trials that is marked as good
CAPTION = "Trials in the order of their numbers; in colour, the best tenth."
IMPORTANCE = (
    " Importance by PED-ANOVA over all finished trials: it shows which parameters tell the good trials from the rest, "
    "not how much they change the result."
)


def search(analysis: Analysis) -> Section | None:
    """The figures of a study whose trials were sampled."""
    if not analysis.rows or analysis.study.sampler in (None, "exhaustive"):
        return None
    bars = importance(analysis)
    panels = [*optimisation_history(analysis), *bars, *parallel_coordinates(analysis)]
    caption = CAPTION + (IMPORTANCE if bars else "")
    if bars and (rare := uncertain(analysis)):
        caption += f" The importance of {', '.join(rare)} is uncertain: only one trial has the parameter, or lacks it."
    return Section("The search", groups={"": panels}, wide=True, caption=caption) if panels else None


def optimisation_history(analysis: Analysis) -> list[Panel]:
    """Draw each trial's mean of the objective in the order of the trials, and the best so far."""
    if len(analysis.rows) < 2:
        return []
    numbers, means = np.arange(1, len(analysis.rows) + 1), [row.mean for row in analysis.rows]
    sign, mean = analysis.objective.sign, analysis.objective.mean_title
    ax = new_axes(xlabel="finished trial", ylabel=mean)
    (points,) = ax.plot(numbers, means, "o", color=FAINT, markersize=4, alpha=0.7, label="trial")
    series = Series()
    series.add(points, [f"{row.label}: {decimal(row.mean)}" for row in analysis.rows])
    best = sign * np.minimum.accumulate(sign * np.array(means))
    ax.step(numbers, best, color=BLUE, where="post", linewidth=2, label="best so far")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.figure.legend(loc="outside upper right", ncols=2)  # points may be anywhere
    alt = f"{mean[0].upper()}{mean[1:]} of each trial in order, and the best so far"
    return [as_panel(ax, "optimisation history", alt, series)]


def importances(analysis: Analysis) -> dict[str, float]:
    """Compute the PED-ANOVA importance of each scientific parameter, summing to 1; empty with too few trials.

    Source: Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces".
    """
    if len(analysis.rows) < FEWEST or not analysis.scientific:
        return {}
    import optuna
    from optuna.trial import create_trial

    from study.search.space import quiet_optuna

    kinds = {name: _distribution(analysis, name) for name in analysis.scientific}
    with quiet_optuna():
        storage, direction = optuna.storages.InMemoryStorage(), analysis.objective.direction
        study = optuna.create_study(storage=storage, direction=direction)
        for row in analysis.rows:
            params = {name: row.params[name] for name in kinds if name in row.params}
            distributions = {name: kinds[name] for name in params}
            study.add_trial(create_trial(value=row.mean, params=params, distributions=distributions))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*select the same set.*")
            warnings.filterwarnings("ignore", message="Some regimes")  # the caption says it: `uncertain`
            try:
                found = optuna.importance.get_param_importances(study)
            except (RuntimeError, ValueError, UserWarning):
                return {}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def uncertain(analysis: Analysis) -> list[str]:
    """The parameters whose importance rests on a single trial that has it, or that lacks it."""
    having = {name: sum(name in row.params for row in analysis.rows) for name in analysis.scientific}
    return [name for name, count in having.items() if 1 in (count, len(analysis.rows) - count)]


def _distribution(analysis: Analysis, name: str) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values = analysis.values(name)
    if name not in analysis.study.ranges:
        return CategoricalDistribution(list(dict.fromkeys(values)))
    low, high, log = (analysis.study.ranges[name][part] for part in ("low", "high", "log"))
    return FloatDistribution(min(low, *values), max(high, *values), log=log)


def importance(analysis: Analysis) -> list[Panel]:
    """Draw a bar per parameter."""
    found = importances(analysis)
    if not found:
        return []
    ax = new_axes(xlabel="share of the importance (PED-ANOVA)", height=0.9 + 0.42 * len(found))
    ax.barh(range(len(found)), list(found.values()), color=BLUE, height=0.6)
    for position, value in enumerate(found.values()):
        ax.annotate(f"{value:.2f}", (value, position), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(found)), list(found))
    ax.invert_yaxis()
    ax.set_xlim(0, 1.12 * max(found.values()) or 1)
    ax.grid(False, axis="y")
    return [as_panel(ax, "importance", f"Importance of each parameter for the {analysis.objective.mean_title}")]


def parallel_coordinates(analysis: Analysis) -> list[Panel]:
    """Draw a line per trial through its parameters to its mean of the objective, the good ones in colour."""
    names = analysis.scientific
    if len(analysis.rows) < 3 or not names:
        return []
    from matplotlib.collections import LineCollection

    means = np.array([row.mean for row in analysis.rows])
    columns = [_column([row.params.get(name) for row in analysis.rows], is_log(analysis, name)) for name in names]
    columns.append(_column(means.tolist(), False))
    ax = new_axes(
        width=max(5.2, 0.9 * len(columns)), height=3.8, xlim=(-0.15, len(columns) - 0.85), ylim=(-0.06, 1.06), yticks=[]
    )
    ranks = analysis.objective.sign * means
    good = ranks <= np.quantile(ranks, max(TOP, 1 / len(means)))
    heights = np.stack([at for at, _ in columns], axis=1)  # (trials, columns)
    lines = np.stack(np.broadcast_arrays(np.arange(len(columns)), heights), axis=2)
    series, texts = Series(), np.array([f"{row.label}: {decimal(row.mean)}" for row in analysis.rows])
    for drawn, colour, width, alpha in ((~good, FAINT, 0.7, 0.35), (good, BLUE, 1.8, 0.9)):
        collection = ax.add_collection(LineCollection(lines[drawn], colors=colour, linewidths=width, alpha=alpha))
        series.add(collection, texts[drawn])
    look = {"va": "center", "size": 9, "bbox": {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1}}
    for position, (_, ticks) in enumerate(columns):
        ax.axvline(position, color=INK, linewidth=1)
        for height, text in ticks:
            ax.annotate(text, (position, height), xytext=(5, 0), textcoords="offset points", **look)
    ax.set_xticks(range(len(columns)), [*names, analysis.objective.mean_title])
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_color(GRID)
    alt = f"Each trial as a line through its parameters to its {analysis.objective.mean_title}"
    return [as_panel(ax, "parallel coordinates", alt, series)]


def _column(values: Sequence[Any], log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights in [0, 1] of each trial's value, and ticks; trials without the parameter lie at the bottom, at "none"."""
    there = [value for value in values if value is not None]
    if isinstance(there[0], str | bool):
        texts = list(dict.fromkeys(there))
        ends, at = np.arange(len(texts)), np.array([texts.index(value) for value in there])
    else:
        at = np.log(there) if log else np.array(there, dtype=float)
        ends = np.linspace(at.min(), at.max(), 4)
        texts = [float(np.exp(end) if log else end) for end in ends]
    low, span, bottom = ends[0], ends[-1] - ends[0] or 1.0, 0.15 if len(there) < len(values) else 0.0
    heights = np.zeros(len(values))
    heights[[value is not None for value in values]] = bottom + (1 - bottom) * (at - low) / span
    ticks = [(bottom + (1 - bottom) * (end - low) / span, show(text)) for end, text in zip(ends, texts, strict=True)]
    return heights, [*[(0.0, "none")] * (bottom > 0), *ticks]
