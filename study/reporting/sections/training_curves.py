"""Loss and accuracy by epoch, in training and validation, of a few trials."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from audiotag.training.epochs import EpochResult
from study.ledger.learning_curves import mean_curves
from study.reporting.section import Section
from study.reporting.style import BLUE, VERMILION, Panel, as_panel, new_axes
from study.stats.analysis import Analysis, ResultRow, histories

CURVES = 8  # trials with training curves
CAPTION = (
    "Means over the folds, as long as more than half of them still train. Training figures are of mixed samples with "
    "dropout, so they may lie above those of validation."
)
SEEDS = " Each fold was trained with several seeds; curves are also their means."


def training(analysis: Analysis) -> Section | None:
    """A panel per trial and quantity."""
    if not analysis.rows:
        return None
    drawn = [(row, mean_curves(histories(analysis.ledger, row.key))) for row in curve_rows(analysis)]
    groups = {what.capitalize(): _draw(drawn, what) for what in ("loss", "accuracy")}
    return Section("Training", groups=groups, caption=CAPTION + SEEDS * analysis.study.has_several_seeds)


def curve_rows(analysis: Analysis) -> list[ResultRow]:
    """Choose the trials: the best of each model and augmentation; where there is one only, baseline and best trials."""
    ranked = sorted(analysis.rows, key=attrgetter("rank"))
    by_kind: dict[Any, ResultRow] = {}
    for row in ranked:
        by_kind.setdefault((row.params.get("model"), row.params.get("augmentation")), row)
    rows = list(by_kind.values())
    if len(rows) == 1:
        first = [analysis.baseline] if analysis.baseline is not None else []
        rows = list({row.key: row for row in [*first, *ranked[:CURVES]]}.values())[:CURVES]
    return [row for row in analysis.rows if row in rows][:CURVES]


def _draw(drawn: Sequence[tuple[ResultRow, list[EpochResult]]], what: str) -> list[Panel]:
    values = [getattr(result, f"{part}_{what}") for _, curve in drawn for result in curve for part in ("train", "val")]
    low, high = np.nanmin(values), np.nanmax(values)
    pad = 0.05 * (high - low) + 1e-3
    panels = []
    for row, curve in drawn:
        ax = new_axes(row.label, xlabel="epoch", ylabel=what, ylim=(low - pad, high + pad))
        epochs = range(1, len(curve) + 1)
        marker = "o" if len(curve) < 12 else None
        for part, label, colour, dash in (("train", "training", VERMILION, "--"), ("val", "validation", BLUE, "-")):
            own = [getattr(result, f"{part}_{what}") for result in curve]
            ax.plot(epochs, own, color=colour, linestyle=dash, marker=marker, label=label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(loc="best")
        panels.append(as_panel(ax, f"training {what} {row.key}", f"{what} by epoch, {row.label}"))
    return panels
