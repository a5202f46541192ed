"""The figures of any study: differences, parameters, training, errors by tag."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from scipy.special import ndtri

from audiotag.config import NO_AUGMENTATION
from audiotag.metrics import roc_points
from study.format import applies, decimal, show
from study.ledger.clips import Clips, ScoredFold
from study.ledger.ledger import Ledger
from study.ledger.seeds import seeds_of
from study.reporting.style import BLUE, FAINT, INK, PAPER, SERIES, VERMILION, Panel, as_panel, log_axis, new_axes
from study.stats.analysis import Findings, Row, histories
from study.stats.significance import LEVEL

LONGEST_LABEL = 22  # characters of a trial's name beside an axis, before it is wrapped
CURVES = 8  # trials with training curves
POINTS = 60  # trials whose folds are shown as points
NUMBERS = 12  # values of a parameter that get a place each, evenly spaced
LOG = 20.0  # ratio of values from which an axis is logarithmic
RATES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6])  # ticks of error rates


def differences(findings: Findings) -> list[Panel]:
    """Each shown row's difference from the baseline with its 95 % interval."""
    rows = [row for row in findings.shown if row.test is not None]
    if not rows or findings.baseline is None:
        return []
    labels = [wrapped(row.label) for row in rows]
    ax = new_axes(
        height=0.9 + 0.2 * sum(1.5 + label.count("\n") for label in labels),
        xlabel="mean EER minus the baseline's",
        ylim=(len(rows) - 0.5, -0.5),
    )
    ax.axvline(0, color=INK, linewidth=1)
    for place, row in enumerate(rows):
        assert row.test is not None
        sure = row.adjusted is not None and row.adjusted < LEVEL
        colour = FAINT if not sure else BLUE if row.test.difference < 0 else VERMILION
        ax.plot([row.test.low, row.test.high], [place, place], color=colour, linewidth=2.2)
        ax.plot(row.test.difference, place, marker="o" if sure else "s", color=colour, markersize=6)
    ax.set_yticks(range(len(rows)), labels)
    ax.grid(False, axis="y")
    return [as_panel(ax, "differences", f"Differences from the baseline {findings.baseline.label}, with intervals")]


def wrapped(text: str) -> str:
    """A trial's name in lines, cut between its parameters."""
    whole = text.replace(" ", "\u00a0").replace(",\u00a0", ", ")  # textwrap cuts at plain spaces alone
    return "\n".join(wrap(whole, LONGEST_LABEL)).replace("\u00a0", " ")


def by_parameter(findings: Findings) -> list[Panel]:
    """Mean EER against each scientific parameter, folds as points, trials as bars."""
    return [_parameter(findings, name) for name in findings.scientific]


def _parameter(findings: Findings, name: str) -> Panel:
    rows = [row for row in findings.rows if applies(name, row.params)]
    values = [row.params[name] for row in rows]
    ax = new_axes(xlabel=name, ylabel="EER, mean over tags")
    distinct = sorted(set(values), key=lambda value: (value != NO_AUGMENTATION, value))
    if isinstance(values[0], str) or len(distinct) <= NUMBERS:
        places = [float(distinct.index(value)) for value in values]
        ax.set_xticks(range(len(distinct)), [show(value) for value in distinct])
        if max(map(len, map(show, distinct))) > 6:
            ax.tick_params(axis="x", labelrotation=25)
        width = True
    else:
        places = [float(value) for value in values]
        if is_log(findings, name):
            log_axis(ax.xaxis)
        width = False
    groups = _split(findings, rows, name)
    room = 0.8 / max(len(groups), 2) if width else 0.0
    for number, (label, members) in enumerate(groups.items()):
        beside = [places[i] + room * _shift(groups, places, label, places[i]) for i in members]
        _draw_folds(ax, beside, [rows[i] for i in members], 0.4 * room, number, label)
    if len(groups) > 1:
        ax.figure.legend(loc="outside upper center", ncols=3)
    ax.margins(x=0.08)
    if width:
        ax.set_xlim(-0.6, len(distinct) - 0.4)
    return as_panel(ax, f"eer by {name}", f"EER against {name}, folds as points and their mean as a bar")


def _shift(groups: dict[str, list[int]], places: list[float], label: str, place: float) -> float:
    """How many widths to the side of a value a group lies, so that those that have the value stand around it."""
    there = [other for other, members in groups.items() if any(places[i] == place for i in members)]
    return there.index(label) - (len(there) - 1) / 2


def is_log(findings: Findings, name: str) -> bool:
    """Whether a numeric parameter belongs on a logarithmic axis: as its space says, else from the values."""
    if (known := findings.study.get("ranges", {}).get(name)) is not None:
        return bool(known["log"])
    values = [row.params[name] for row in findings.rows if applies(name, row.params)]
    return min(values) > 0 and max(values) / min(values) > LOG


def _split(findings: Findings, rows: list[Row], name: str) -> dict[str, list[int]]:
    """Rows by augmentation where that differs too, or else by model, else all together."""
    kinds = [kind for kind in ("augmentation", "model") if kind in findings.scientific and kind != name]
    if not kinds:
        return {"": list(range(len(rows)))}
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row.params[kinds[0]], []).append(place)
    return groups


def _draw_folds(ax: Any, places: Sequence[float], rows: list[Row], width: float, number: int, label: str) -> None:
    colour, marker = SERIES[number % len(SERIES)], "osD^vP"[number % 6]
    means = [row.mean for row in rows]
    if len(rows) <= POINTS:
        for place, row in zip(places, rows, strict=True):
            eers = [entry["eer_mean"] for entry in row.result["folds"] if entry["eer_mean"] is not None]
            ax.plot([place] * len(eers), eers, marker, color=colour, markersize=4.5, alpha=0.5, markeredgewidth=0)
    if width:
        ax.hlines(means, np.array(places) - width, np.array(places) + width, color=colour, linewidth=2.4)
        ax.plot([], [], marker, color=colour, linestyle="-", label=label or None)
    else:
        ax.plot(places, means, marker, color=colour, markersize=6.5, markeredgecolor=PAPER, label=label or None)


def curve_rows(findings: Findings) -> list[Row]:
    """The trials whose training is drawn: the best of each augmentation; where there is one only, the best of all."""
    by_kind: dict[Any, Row] = {}
    for row in sorted(findings.rows, key=lambda row: row.mean):
        by_kind.setdefault((row.params.get("model"), row.params.get("augmentation")), row)
    rows = list(by_kind.values())
    if len(rows) == 1:
        best = sorted(findings.rows, key=lambda row: row.mean)[:CURVES]
        with_baseline = [findings.baseline, *best] if findings.baseline else best
        rows = list({row.key: row for row in with_baseline if row is not None}.values())[:CURVES]
    return [row for row in findings.rows if row in rows][:CURVES]


def training(findings: Findings, ledger: Ledger) -> list[Panel]:
    """Loss and accuracy against the epoch, in training and validation: means over folds, a panel a trial."""
    drawn = [(row, mean_curves(histories(ledger, row.key))) for row in curve_rows(findings)]
    panels = []
    for what in ("loss", "accuracy"):
        values = np.concatenate([curves[f"{part}_{what}"] for _, curves in drawn for part in ("train", "val")])
        low, high = np.nanmin(values), np.nanmax(values)
        pad = 0.05 * (high - low) + 1e-3
        for row, curves in drawn:
            ax = new_axes(row.label, xlabel="epoch", ylabel=what, ylim=(low - pad, high + pad))
            epochs = np.arange(1, len(curves["train_loss"]) + 1)
            small = "o" if len(epochs) < 12 else None
            ax.plot(epochs, curves[f"train_{what}"], color=VERMILION, linestyle="--", marker=small, label="training")
            ax.plot(epochs, curves[f"val_{what}"], color=BLUE, marker=small, label="validation")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.legend(loc="best")
            panels.append(as_panel(ax, f"training {what} {row.key}", f"{what} by epoch, {row.label}"))
    return panels


def mean_curves(folds: Sequence[Sequence[dict[str, Any]]]) -> dict[str, np.ndarray]:
    """Means over folds (with repeats, of every seed) by epoch, as long as more than half of them still train."""
    lengths = sorted(map(len, folds), reverse=True)
    epochs = lengths[len(lengths) // 2] if lengths else 0
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    return {
        name: np.array([np.mean([fold[epoch][name] for fold in folds if epoch < len(fold)]) for epoch in range(epochs)])
        for name in names
    }


def errors_by_tag(findings: Findings, ledger: Ledger, clips: Clips) -> list[Panel]:
    """Misses against false alarms (DET), a panel a tag: means over folds, of the best row and the baseline."""
    best, baseline = findings.best, findings.baseline
    if best is None or baseline is None:
        return []
    shown = [("baseline", baseline, INK, "--"), ("best", best, BLUE, "-")]
    shown = shown[1:] if best is baseline else shown
    scored = [(name, row, colour, dash, *_held_out(ledger, clips, row)) for name, row, colour, dash in shown]
    panels = []
    for k, tag in enumerate(findings.tags):
        ax = new_axes(width=3.6, height=4.1, xlabel="false alarms, %", ylabel="misses, %")
        ends = ndtri(RATES[[0, -1]])
        ax.plot(ends, ends, color=FAINT, linewidth=1, linestyle=":")
        for name, row, colour, dash, folds, scores in scored:
            pairs = [(fold.targets[:, k], part[:, k]) for fold, part in zip(folds, scores, strict=True)]
            grid, misses = mean_det(pairs)
            if len(misses):
                label = f"{name}: EER {decimal(row.result['eer'][tag])}"
                clipped = np.clip(misses, RATES[0] / 2, 0.99)
                ax.plot(ndtri(grid), ndtri(clipped), color=colour, linestyle=dash, label=label)
        ax.set(xlim=ends, ylim=ends, aspect="equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(ndtri(RATES), [f"{100 * rate:g}" for rate in RATES])
        heading = ax.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1), borderaxespad=0, title=wrapped(tag), alignment="left"
        )
        heading.get_title().set(fontweight="bold", fontsize=11)
        panels.append(as_panel(ax, f"errors {k} {tag}", f"Misses against false alarms, tag {tag}"))
    return panels


def _held_out(ledger: Ledger, clips: Clips, row: Row) -> tuple[list[ScoredFold], list[np.ndarray]]:
    """The held-out clips of each fold and their scores, with repeats a pair for each seed of each fold."""
    folds, scores = [], []
    folders = ledger.trial(row.key).repeats(seeds_of(ledger.study()))
    for entry in row.result["folds"]:
        for folder in folders:
            part = folder.scores(entry["fold"])
            folds.append(clips.held_out(entry["fold"], part["held_out_clips"]))
            scores.append(part["held_out"])
    return folds, scores


def mean_det(folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Miss rate against false alarm rate (points,), the mean over folds that have both classes; empty where none has.

    Args:
        folds: targets (n,) and scores (n,) of one tag, a fold each.
    """
    grid = np.geomspace(RATES[0] / 2, 1.0, 200)
    misses = []
    for targets, scores in folds:
        positives = int(targets.sum())
        if 0 < positives < len(targets):
            false, true = roc_points(targets.astype(np.float64), scores, positives, len(targets) - positives)
            misses.append(np.interp(grid, false, 1 - true))
    return (grid, np.mean(misses, axis=0)) if misses else (grid[:0], grid[:0])
