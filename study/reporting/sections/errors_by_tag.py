"""Misses against false alarms of each tag (DET), of the best row and the baseline."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy.special import ndtri

from audiotag.metrics import EER, roc_points
from study.format import decimal
from study.ledger.clips import Clips
from study.reporting.section import Section
from study.reporting.style import BLUE, FAINT, INK, Panel, Series, as_panel, new_axes, wrapped
from study.reporting.tables import figures_in_words, tag_names
from study.stats.analysis import Analysis
from study.stats.draws import held_out
from study.stats.rows import ResultRow

SHOWN = 24  # tags
HEIGHT, LINE = 4.1, 0.18  # inches, and of each further line of a heading or label
RATES = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6])  # ticks of error rates
CAPTION = (
    "Misses against false alarms of the {best} and of the baseline, on the axes of a DET "
    "plot, {figures}; where a curve meets the dotted line lies its equal error rate (EER), up to averaging. "
    "The EERs are those of the tables."
)
MORE = " Shown are the {} of {} tags with the highest EER of the row that was chosen."
SEEDS = " Each fold was trained with several seeds; curves are also their means."


def errors_by_tag(analysis: Analysis) -> Section | None:
    """A panel per tag."""
    clips = None if analysis.missing else analysis.ledger.clips()
    if clips is None or analysis.best is None or analysis.baseline is None:
        return None
    panels = _draw(analysis, clips, analysis.best, analysis.baseline)
    total = len(analysis.study.tags)
    fixed, several = analysis.study.has_fixed_split, analysis.study.has_several_seeds
    best = "best row" if fixed else "row that cross-validation chose"
    caption = CAPTION.format(best=best, figures=figures_in_words(analysis.study)) + SEEDS * (several and not fixed)
    caption += MORE.format(SHOWN, total) * (total > SHOWN)
    return Section("Errors by tag", groups={"": panels}, caption=caption)


def _draw(analysis: Analysis, clips: Clips, best: ResultRow, baseline: ResultRow) -> list[Panel]:
    shown = [(baseline, INK, "--"), (best, BLUE, "-")]
    shown = shown[1:] if best is baseline else shown
    ledger = analysis.ledger
    scored = [(row, colour, dash, [*chain(*held_out(ledger, row, clips))]) for row, colour, dash in shown]
    panels, names = [], tag_names(analysis.study)
    figures = best.result.figures[EER].by_tag
    worst = sorted(analysis.study.tags, key=lambda tag: -(figures[tag] or 0))[:SHOWN]
    for k, tag in enumerate(analysis.study.tags):
        if tag not in worst:
            continue
        heading = wrapped(names.get(tag, tag))
        lines = [heading, *(wrapped(row.label) for row, *_ in scored)]
        height = HEIGHT + LINE * sum(text.count("\n") for text in lines)
        ax = new_axes(width=3.6, height=height, xlabel="false alarms, %", ylabel="misses, %")
        ends = ndtri(RATES[[0, -1]])
        ax.plot(ends, ends, color=FAINT, linewidth=1, linestyle=":")
        series = Series()
        for row, colour, dash, folds in scored:
            grid, misses = mean_det([(fold.targets[:, k], scores[:, k]) for fold, scores in folds])
            if len(misses):
                label = f"{wrapped(row.label)}: EER {decimal(row.result.figures[EER].by_tag[tag])}"
                clipped = np.clip(misses, RATES[0] / 2, 0.99)
                (line,) = ax.plot(ndtri(grid), ndtri(clipped), color=colour, linestyle=dash, label=label)
                points = zip(100 * grid, 100 * misses, strict=True)
                series.add(line, [f"{row.label}: false alarms {x:.1f} %, misses {y:.1f} %" for x, y in points])
        ax.set(xlim=ends, ylim=ends, aspect="equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(ndtri(RATES), [f"{100 * rate:g}" for rate in RATES])
        place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1), "borderaxespad": 0, "alignment": "left"}
        legend = ax.legend(title=heading, **place)
        legend.get_title().set(fontweight="bold", fontsize=11)
        panels.append(as_panel(ax, f"errors {k} {tag}", f"Misses against false alarms, tag {tag}", series))
    return panels


def mean_det(folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean miss rate against the false alarm rate over the folds that have both classes.

    Args:
        folds: Targets (n,), NaN where unknown, and scores (n,) of one tag, per fold.

    Returns:
        False alarm rates and miss rates, (points,) each; empty where no fold has both classes.
    """
    grid = np.geomspace(RATES[0] / 2, 1.0, 200)
    misses = []
    for every, own in folds:
        targets, scores = every[known := ~np.isnan(every)], own[known]
        if 0 < targets.sum() < len(targets):
            false, true = roc_points(targets, scores)
            misses.append(np.interp(grid, false, 1 - true))
    return (grid, np.mean(misses, axis=0)) if misses else (grid[:0], grid[:0])
