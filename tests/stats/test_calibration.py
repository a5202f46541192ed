"""benchmarks/calibration.py: its simulated studies are what they are said to be, and its table is on the page."""

import math
from pathlib import Path

import calibration
import numpy as np
import pytest
from calibration import BEGIN, END, PAGE, Line, prune, share_with_finds
from simulated_studies import Design, cross_validate, draw_model, eers

from audiotag.metrics import equal_error_rate


def test_many_eers_at_once_are_those_of_the_metric() -> None:
    rng = np.random.default_rng(0)
    targets, scores = (rng.random((20, 3, 15)) < 0.4).astype(float), rng.normal(size=(20, 3, 15))
    found = eers(targets, scores)
    wanted = [
        [equal_error_rate(*pair) for pair in zip(*rows, strict=True)] for rows in zip(targets, scores, strict=True)
    ]
    assert np.allclose(found, wanted, equal_nan=True)


@pytest.mark.parametrize("design", [Design(5), Design(3, 3), Design(5, 1, 3)], ids=str)
def test_a_model_has_the_correlation_that_the_test_assumes(design: Design) -> None:
    """The variance of a mean difference is (1 / n + test share) times that within studies."""
    differences = np.diff(draw_model(np.random.default_rng(0), 4000, 2, design, effect=0.5), axis=1)[:, 0]
    within = differences.var(axis=1, ddof=1).mean()
    assert differences.mean() == pytest.approx(0.5, abs=0.005)
    assert differences.mean(axis=1).var() == pytest.approx((1 / design.n + design.share) * within, rel=0.1)


def test_classifiers_are_equally_good_unless_one_is_noisy() -> None:
    rng = np.random.default_rng(0)
    equal, noisy = (
        np.nanmean(cross_validate(rng, 100, 3, Design(3, 2), noisy=own), axis=(0, 2, 3)) for own in (False, True)
    )
    assert equal.shape == (3,)
    assert np.ptp(equal) < 0.01
    assert 0.2 < equal[0] < noisy[1] - 0.01


def test_pruning_leaves_good_rows() -> None:
    figures = np.random.default_rng(0).normal(size=(13, 5))
    left = prune(figures)
    assert 1 < len(left) < 9
    assert left[:, 0].mean() < figures[:, 0].mean()


def test_a_procedure_that_is_too_sure_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = draw_model(np.random.default_rng(0), 400, 2, Design(5))
    assert share_with_finds(figures, Design(5)) < 0.07
    monkeypatch.setattr(Design, "share", 0.0)  # the plain paired t-test
    share = share_with_finds(figures, Design(5))
    assert share > 0.09
    line = Line("x", "5 folds", "at most .05", model=share, studies=400, high=0.05)
    assert line.is_off
    assert not Line("x", "5 folds", "at most .05", model=0.05, studies=400, high=0.05).is_off


def test_the_page_has_the_table_and_nothing_in_it_is_off() -> None:
    text = PAGE.read_text()
    table = text[text.index(BEGIN) : text.index(END)]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == calibration.LINES
    for row in rows:
        wanted, model = row[3].strip(), row[4].split("(")[0].strip()
        if model and wanted == "at most .05":
            assert float(model) <= 0.06
        elif model and wanted.endswith("predicted"):
            assert float(model) == pytest.approx(float(wanted.split()[0]), abs=0.05)
        elif model and wanted:
            assert 0.92 <= float(model) <= 0.98


def test_the_table_takes_the_place_of_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}earlier\n{END}after\n")
    monkeypatch.setattr(calibration, "PAGE", page)
    calibration.write([Line("a", "5 folds", "at most .05", 0.05, math.nan, 100)])
    text = page.read_text()
    assert "earlier" not in text
    assert text.startswith(f"before\n{BEGIN}\n| in simulated studies")
    assert text.endswith(f"| a | 5 folds | at most .05 | .050 (.022) |  |\n\n{END}after\n")
