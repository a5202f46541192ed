"""The live table's rows while trials run."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.made_up import SMALL, make_corpus, make_study
from rich.console import Console

from audiotag.config import TrialConfig
from audiotag.training.epochs import EpochResult, PretrainingEpoch
from study.ledger.progress import Report
from study.ledger.schema import DrawnPartition, StudyRecord
from study.reporting.live_table import LiveTable
from study.stats.analysis import SHOWN_ROWS

CONFIG = TrialConfig(model="cgrnn", imd=True).to_dict()


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    made = make_study(tmp_path / "s", corpus=make_corpus(**SMALL | {"folds": 2}), finished=0).study
    return replace(made, varied=("model", "imd"), trials=2)


def start(study: StudyRecord, width: int | None = 120) -> LiveTable:
    table = LiveTable(Console(width=width, height=100), study, done=0, slots=1, max_epochs=9)
    table.started("key", CONFIG)
    return table


def cells(table: LiveTable) -> dict[str, str]:
    return {str(column.header): next(iter(column.cells)) for column in table.render().columns}


def epoch(fold: int, number: int = 0, folds_done: int = 0, seed: int = 0) -> Report:
    return Report(0.3, folds_done, fold, seed, EpochResult(number, 0.5, 0.9, 0.5, 0.9, {"eer": 0.25}, 1.0))


def test_a_row_begins_without_an_epoch(study: StudyRecord) -> None:
    shown = cells(start(study))
    assert list(shown) == ["trial", "model", "imd", "fold", "epoch", "val loss", "best EER", "mean EER", ""]
    assert list(shown.values()) == ["key", "cgrnn", "yes", "1/2", *[""] * 4, "running"]


def test_another_objective_stands_beside_the_eer(study: StudyRecord, capsys: pytest.CaptureFixture[str]) -> None:
    table = start(replace(study, metric="ap"))
    assert list(cells(table))[6:9] == ["best EER", "best mAP", "mAP"]
    for number, means in enumerate([{"eer": 0.3, "ap": 0.5}, {"eer": 0.2, "ap": 0.7}, {"eer": 0.4, "ap": math.nan}]):
        table.reported("key", replace(epoch(0), epoch=EpochResult(number, 0.5, 0.9, 0.5, 0.9, means, 1.0)))
    assert [cells(table)[name] for name in ("best EER", "best mAP")] == [".200", ".700"]
    table.reported("key", Report(0.6, 1))
    assert "mAP so far 0.600" in capsys.readouterr().out


def test_pretraining_is_told_apart(study: StudyRecord) -> None:
    table = start(study)
    pretraining = Report(0.5, 0, 0, 0, pretraining=PretrainingEpoch(4, 0.1, 1.0))
    table.reported("key", pretraining)
    assert cells(table)["epoch"] == "pre 5"
    table.reported("key", epoch(0))
    assert (cells(table)["epoch"], cells(table)["best EER"]) == ("1", ".250")
    table.reported("key", replace(pretraining, fold=1, folds_done=1))
    assert (cells(table)["fold"], cells(table)["epoch"], cells(table)["best EER"]) == ("2/2", "pre 5", "")
    table.reported("key", epoch(1, folds_done=1))
    table.reported("key", Report(0.3, 2))
    assert len(table.training_seconds) == 2


@pytest.mark.parametrize(("event", "state"), [("ended", "finished"), ("pruned", "pruned")])
def test_a_trial_ends(study: StudyRecord, event: str, state: str) -> None:
    table = start(study)
    getattr(table, event)("key", None)
    assert cells(table)[""] == state
    assert table.render().title.startswith("1 of 2 trials done")


def test_a_trial_that_has_to_wait_has_not_ended(study: StudyRecord) -> None:
    table = start(study)
    table.reported("key", epoch(1, folds_done=1))
    table.begin(slots=1)
    assert (cells(table)[""], cells(table)["fold"]) == ("waiting", "2/2")
    assert table.render().title.startswith("0 of 2 trials done")
    table.started("key", CONFIG)
    assert (cells(table)[""], cells(table)["fold"]) == ("running", "2/2")


def test_running_trials_come_before_those_that_have_ended(study: StudyRecord) -> None:
    table = start(study)
    table.ended("key", None)
    for number in range(SHOWN_ROWS):
        assert table.render().row_count == number + 1
        table.started(str(number), CONFIG)
    assert table.render().row_count == SHOWN_ROWS


def test_lines_name_the_trial(study: StudyRecord, capsys: pytest.CaptureFixture[str]) -> None:
    table = start(study, width=None)
    table.reported("key", epoch(0))
    table.reported("key", epoch(1, folds_done=1))
    assert capsys.readouterr().out.startswith("cgrnn, imd: 1 of 2 folds, mean EER so far 0.300")


def test_with_repeats_the_seed_is_shown_and_every_training_counts(
    study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("study.reporting.live_table.time.monotonic", lambda: now)
    table = start(replace(study, trials=1, seed=7, repeats=2))
    left = ["at most 36 s left", "about 3 min left", "about 2 min left", "about 61 s left"]
    for number, (fold, seed) in enumerate([(0, 7), (0, 8), (1, 7), (1, 8)]):
        now = 60.0 * number + 1.0
        table.reported("key", epoch(fold, folds_done=fold, seed=seed))
        shown = cells(table)
        assert (shown["fold"], shown["seed"], shown["epoch"]) == (f"{fold + 1}/2", str(seed), "1")
        assert table.time_left() == left[number]
    table.reported("key", Report(0.3, 2))
    assert table.time_left() == "nearly done"


def test_folds_of_all_partitions_count_and_those_of_trials_that_go_on_are_not_ahead(
    study: StudyRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trials of two folds, each trained on the corpus's own before this session."""
    now = 0.0
    monkeypatch.setattr("study.reporting.live_table.time.monotonic", lambda: now)
    grown = replace(study, drawn=(DrawnPartition(1, ""),))
    folds = {"key": 2, "other": 2}
    table = LiveTable(Console(width=120, height=100), grown, done=0, slots=1, max_epochs=9, folds=folds)
    table.started("key", CONFIG)
    table.reported("key", Report(0.3, 2))
    for fold in (0, 1):
        now = 60.0 * fold + 1.0
        table.reported("key", replace(epoch(fold, folds_done=2 + fold), partition=2))
        assert cells(table)["fold"] == f"{3 + fold}/4"
    assert table.time_left() == "about 3 min left"  # one of this trial, two of the other
    assert "3 of 4 folds, mean EER so far" in capsys.readouterr().out
