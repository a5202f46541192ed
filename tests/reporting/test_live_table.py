"""What the live table says of a trial while it runs."""

from typing import Any

import pytest
from rich.console import Console

from audiotag.config import TrialConfig
from study.reporting.live_table import LiveTable

VARIED = ["model", "imd"]


@pytest.fixture
def table() -> LiveTable:
    table = LiveTable(Console(width=120), VARIED, trials=2, done=0, folds=[0, 1], slots=1, max_epochs=9)
    table.started("key", TrialConfig(model="cgrnn", imd=True).to_dict())
    return table


def cells(table: LiveTable) -> dict[str, str]:
    rendered = table.render()
    return {str(column.header): next(iter(column.cells)) for column in rendered.columns}


def epoch(fold: int, number: int, folds_done: int = 0) -> dict[str, Any]:
    result = {"epoch": number, "val_loss": 0.5, "val_eer_mean": 0.25, "seconds": 1.0}
    return {"eer_mean": 0.3, "fold": fold, "folds_done": folds_done, **result}


def test_a_row_begins_without_an_epoch(table: LiveTable) -> None:
    assert cells(table) | {"trial": ""} == {
        "trial": "",
        "model": "cgrnn",
        "imd": "yes",
        "fold": "1/2",
        "epoch": "",
        "val loss": "",
        "best EER": "",
        "mean EER": "",
        "": "running",
    }


def test_epochs_without_tags_are_told_apart(table: LiveTable) -> None:
    stage = {"eer_mean": 0.5, "fold": 0, "folds_done": 0, "unsupervised_epoch": 4, "seconds": 1.0}
    table.reported("key", stage)
    assert cells(table)["epoch"] == "pre 5"
    table.reported("key", epoch(0, 0))
    assert (cells(table)["epoch"], cells(table)["best EER"]) == ("1", ".250")
    table.reported("key", {**stage, "fold": 1, "folds_done": 1, "unsupervised_epoch": 0})
    assert (cells(table)["fold"], cells(table)["epoch"], cells(table)["best EER"]) == ("2/2", "pre 1", "")
    assert len(table.fold_seconds) == 1
    table.reported("key", epoch(1, 0, folds_done=1))
    table.reported("key", {"eer_mean": 0.3, "folds_done": 2})
    assert len(table.fold_seconds) == 2
    table.ended("key", None)
    assert cells(table)[""] == "finished"


def test_lines_name_the_trial(capsys: pytest.CaptureFixture[str]) -> None:
    table = LiveTable(Console(), VARIED, trials=2, done=0, folds=[0, 1], slots=1, max_epochs=9)
    table.started("key", TrialConfig(model="cgrnn", imd=True).to_dict())
    table.reported("key", epoch(0, 0))
    table.reported("key", epoch(1, 0, folds_done=1))
    assert capsys.readouterr().out.startswith("cgrnn, imd: 1 of 2 folds, mean EER so far 0.300")
