"""Misses against false alarms of each tag (DET), of the best row and the baseline."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from audiotag.metrics import roc_points
from study.format import decimal
from study.ledger.clips import Clips, ScoredFold, read_clips
from study.ledger.ledger import Ledger
from study.reporting.section import Section, body
from study.reporting.style import BLUE, FAINT, INK, Panel, as_panel, new_axes, wrapped
from study.stats.analysis import EER, Analysis, ResultRow

RATES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6])  # ticks of error rates
CAPTION = (
    "Misses against false alarms of the best row and the baseline, on the axes of a DET plot, means over the folds; "
    "where a curve meets the dotted line lies its equal error rate, up to averaging. The EERs are those of the table."
)
SEEDS = " Each fold was trained with several seeds; curves are also their means."


def errors_by_tag(analysis: Analysis, ledger: Ledger) -> Section | None:
    """A panel per tag."""
    clips = None if analysis.missing else read_clips(ledger.root)
    if clips is None or analysis.best is None or analysis.baseline is None:
        return None
    panels = _draw(analysis, ledger, clips, analysis.best, analysis.baseline)
    caption = CAPTION + SEEDS * analysis.study.has_several_seeds
    return Section("Errors by tag", body(groups={"": panels}, caption=caption), panels)


def _draw(analysis: Analysis, ledger: Ledger, clips: Clips, best: ResultRow, baseline: ResultRow) -> list[Panel]:
    shown = [("baseline", baseline, INK, "--"), ("best", best, BLUE, "-")]
    shown = shown[1:] if best is baseline else shown
    scored = [(name, row, colour, dash, *held_out(ledger, clips, row)) for name, row, colour, dash in shown]
    panels = []
    for k, tag in enumerate(analysis.study.tags):
        ax = new_axes(width=3.6, height=4.1, xlabel="false alarms, %", ylabel="misses, %")
        ends = ndtri(RATES[[0, -1]])
        ax.plot(ends, ends, color=FAINT, linewidth=1, linestyle=":")
        for name, row, colour, dash, folds, scores in scored:
            pairs = [(fold.targets[:, k], part[:, k]) for fold, part in zip(folds, scores, strict=True)]
            grid, misses = mean_det(pairs)
            if len(misses):
                label = f"{name}: EER {decimal(row.result.figures[EER].by_tag[tag])}"
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


def held_out(ledger: Ledger, clips: Clips, row: ResultRow) -> tuple[list[ScoredFold], list[np.ndarray]]:
    """Read the held-out clips of each fold and their scores, with repeats a pair for each seed of each fold."""
    folds, scores = [], []
    for fold in row.result.folds:
        for folder in ledger.trial(row.key).for_seeds(ledger.study.seeds):
            part = folder.read_scores(fold.fold)
            folds.append(clips.held_out(fold.fold, part["held_out_clips"]))
            scores.append(part["held_out"])
    return folds, scores


def mean_det(folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean miss rate against the false alarm rate over the folds that have both classes.

    Args:
        folds: Targets (n,) and scores (n,) of one tag, per fold.

    Returns:
        False alarm rates and miss rates, (points,) each; empty where no fold has both classes.
    """
    grid = np.geomspace(RATES[0] / 2, 1.0, 200)
    misses = []
    for targets, scores in folds:
        positives = int(targets.sum())
        if 0 < positives < len(targets):
            false, true = roc_points(targets.astype(np.float64), scores, positives, len(targets) - positives)
            misses.append(np.interp(grid, false, 1 - true))
    return (grid, np.mean(misses, axis=0)) if misses else (grid[:0], grid[:0])
