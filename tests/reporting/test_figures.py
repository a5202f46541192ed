"""What the figures are drawn from: curves, importances, edges, and names that a drawing could stumble over."""

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

from study.reporting.figures import mean_curves, mean_det, wrapped
from study.reporting.search_figures import at_edge, importances
from study.reporting.style import as_panel, new_axes, style
from study.stats.analysis import Findings, make_row


def findings_of(rows: list[dict[str, Any]], means: list[float], ranges: dict[str, Any] | None = None) -> Findings:
    names = list(dict.fromkeys(name for row in rows for name in row))
    entries = [
        {"key": str(place), "params": {"augmentation": "mixup", **row}, "eer_mean": mean, "folds": []}
        for place, (row, mean) in enumerate(zip(rows, means, strict=True))
    ]
    made = [make_row("s", entry, names, names) for entry in entries]
    study = {"study": "s", "ranges": ranges or {}, "trials": len(rows)}
    return Findings(study, {"trials": entries}, names, names, made, made[0], "", made, [], None, None)


# reference


def test_det_of_a_fold_worked_by_hand() -> None:
    """Positives .9 and .4, negatives .8, .6 and .1: half is missed up to two thirds of false alarms."""
    targets, scores = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.4, 0.8, 0.6, 0.1])
    grid, misses = mean_det([(targets, scores)])
    assert np.interp([0.01, 0.3, 0.6, 0.8], grid, misses) == pytest.approx([0.5, 0.5, 0.5, 0.0])


def test_det_is_the_mean_over_folds_that_have_both_classes() -> None:
    perfect = (np.array([1, 0]), np.array([0.9, 0.1]))
    inverted = (np.array([1, 0]), np.array([0.1, 0.9]))
    one_class = (np.array([1, 1]), np.array([0.1, 0.9]))
    _, misses = mean_det([perfect, inverted, one_class])
    grid, alone = mean_det([inverted])
    assert misses == pytest.approx(alone / 2)
    assert np.interp(0.5, grid, alone) == pytest.approx(1.0)


def test_curves_end_where_half_of_the_folds_have_stopped() -> None:
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    folds = [[dict.fromkeys(names, float(fold)) for _ in range(epochs)] for fold, epochs in enumerate((2, 4, 5, 9, 3))]
    curves = mean_curves(folds)
    assert curves["val_loss"] == pytest.approx([2.0, 2.0, (1 + 2 + 3 + 4) / 4, (1 + 2 + 3) / 3])


def test_importance_finds_the_parameter_that_matters() -> None:
    rng = np.random.default_rng(0)
    rows = [{"dropout": float(rng.uniform(0, 0.5)), "alpha": float(np.exp(rng.uniform(-2, 1)))} for _ in range(60)]
    means = [0.1 + (row["dropout"] - 0.2) ** 2 + 0.001 * rng.normal() for row in rows]
    ranges = {"dropout": {"low": 0.0, "high": 0.5, "log": False}, "alpha": {"low": 0.1, "high": 3.0, "log": True}}
    found = importances(findings_of(rows, means, ranges))
    assert list(found) == ["dropout", "alpha"]
    assert found["dropout"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


# property


@pytest.mark.parametrize("text", ["$x$ & <y>", "a\\b", "x_{", "Tür ]]>", "%d{}"])
def test_any_name_may_stand_in_a_figure(text: str) -> None:
    with style():
        ax = new_axes(text, xlabel=text)
        ax.plot([0, 1], [0, 1], label=text)
        ax.legend()
        panel = as_panel(ax, text, text)
    drawn = "".join(ET.fromstring(panel.file().partition("?>")[2]).itertext())
    assert drawn.count(text) == 4  # title, label, legend, and the words for who cannot see it
    ET.fromstring(panel.inline().replace("xlink:", ""))
    assert "var(--ink)" in panel.inline()


def test_names_are_cut_between_parameters() -> None:
    assert wrapped("mixup, alpha 3.24, dropout 0.243") == "mixup, alpha 3.24,\ndropout 0.243"
    assert wrapped("alpha 1.5") == "alpha 1.5"


# degenerate


@pytest.mark.parametrize(
    ("place", "ranges", "said"),
    [
        (0, None, []),  # nothing lies below 0
        (1, {"alpha": {"low": 0.5, "high": 50.0, "log": True}}, ["alpha 0.5 lies at the lower edge of what was tried"]),
        (4, None, ["alpha 5 lies at the upper edge of what was tried"]),
        (2, None, []),
        (3, {"alpha": {"low": 0.0, "high": 2.05, "log": False}}, ["alpha 2 lies at the upper edge of what was tried"]),
        (4, {"alpha": {"low": 0.1, "high": 50.0, "log": True}}, []),
    ],
)
def test_edges(place: int, ranges: dict[str, Any] | None, said: list[str]) -> None:
    rows = [{"alpha": alpha} for alpha in (0.0, 0.5, 1.0, 2.0, 5.0)]
    findings = findings_of(rows, [0.2] * 5, ranges)
    assert at_edge(findings, findings.rows[place]) == said


def test_two_values_have_no_inside() -> None:
    findings = findings_of([{"alpha": 0.0}, {"alpha": 1.5}], [0.2, 0.1])
    assert at_edge(findings, findings.rows[1]) == []


def test_no_importance_of_few_trials_or_of_equal_ones() -> None:
    rows = [{"dropout": number / 40} for number in range(20)]
    assert importances(findings_of(rows[:3], [0.1, 0.2, 0.3])) == {}
    assert importances(findings_of(rows, [0.1] * 20)) == {}


def test_no_det_without_both_classes() -> None:
    grid, misses = mean_det([(np.array([1, 1]), np.array([0.1, 0.9]))])
    assert len(grid) == len(misses) == 0
