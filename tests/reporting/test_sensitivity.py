"""What a study says of its own sharpness before it starts, and once it knows the scale."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.made_up import ALPHAS, SMALL, make_corpus, make_study, with_results
from rich.console import Console

from study.format import decimal
from study.reporting.sensitivity import ScaleLine, design_line, scale_line
from study.stats.analysis import analyse


@pytest.mark.parametrize(
    ("folds", "trials", "parts"),
    [
        (5, 2, ("1.9 times", "2.5 s is found")),
        (5, 7, ("6 comparisons", "3.3 times", "4.1 s is found")),
        (3, 2, ("3.9 times", "5.2 s is found")),
        (2, 4, ("no difference is tested with 2 folds",)),
        (5, 1, ()),
    ],
)
def test_before_there_are_figures_it_is_in_standard_deviations(
    folds: int, trials: int, parts: tuple[str, ...], tmp_path: Path
) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:1], corpus=make_corpus(**SMALL | {"folds": folds}), finished=0)
    line = design_line(replace(ledger.study, trials=trials))
    assert all(part in line for part in parts)
    assert bool(line) == bool(parts)


def test_two_trials_give_the_scale_as_the_report_has_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], gains=[0.0, 0.3], corpus=make_corpus(**SMALL))
    found = analyse(ledger, with_results(ledger)).rows[1].resolution
    line = scale_line(ledger)
    for value in (found.sd, found.called_real, found.seen):
        assert decimal(value) in line
    listener = ScaleLine(ledger, Console(width=300))
    for _ in range(2):
        listener.ended("key", None)
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize("finished", [0, 1])
def test_one_trial_gives_none(finished: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = make_study(tmp_path / "s", ALPHAS[:2], corpus=make_corpus(**SMALL), finished=finished)
    ScaleLine(ledger, Console()).ended("key", None)
    assert scale_line(ledger) is None
    assert capsys.readouterr().out == ""


def test_partitions_make_it_sharper_before_it_starts_and_after_two_trials(tmp_path: Path) -> None:
    corpus = make_corpus(**SMALL | {"folds": 5})
    ledger = make_study(tmp_path / "s", ALPHAS[:2], gains=[0.0, 0.3], corpus=corpus, partitions=2)
    assert "10 folds of 2 partitions, a difference is called real from 1.3 times" in design_line(ledger.study)
    found = analyse(ledger, with_results(ledger)).rows[1].resolution
    assert decimal(found.called_real) in scale_line(ledger)
    two = make_study(tmp_path / "two", ALPHAS[:2], corpus=make_corpus(**SMALL | {"folds": 2}), partitions=2)
    assert "4 folds of 2 partitions" in design_line(two.study)
