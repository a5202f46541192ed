"""The paper's own figures, and when they stand beside measured ones."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audiotag.config import TrialConfig
from search_spaces import load_space
from study.ledger.paper import DOUBTFUL, ROWS, published_row
from study.ledger.schema import PublishedRow, write_record
from study.search.space import scan_space

TABLE1 = Path(__file__).parents[1] / "reference" / "table1.csv"


def of(**values: Any) -> PublishedRow | None:
    return published_row(TrialConfig.from_dict(values).to_dict())


# reference


def test_every_row_is_the_papers() -> None:
    with TABLE1.open() as file:
        printed = list(csv.DictReader(file))
    assert len(printed) == len(ROWS) == 13
    for (settings, eers, mean, variance), row in zip(ROWS, printed, strict=True):
        assert list(eers) == [float(row[tag]) for tag in "cmfvpbo"]
        assert (mean, variance) == (float(row["avg"]), float(row["var"]))
        name = row["augmentation"].lower().replace("samplepairing", "sample_pairing").split()
        if row["model"] == "CRNN":
            assert settings["augmentation"] == name[0]
            assert settings.get("alpha", 0.0) == (float(name[1]) if len(name) > 1 else 0.0)
        else:
            assert settings["model"] == row["model"].lower().replace("-", "_")
            assert settings.get("imd", False) == (row["augmentation"] == "IMD")


def test_the_doubtful_rows_are_those_whose_cells_say_otherwise() -> None:
    doubtful = []
    for place, (_, eers, mean, variance) in enumerate(ROWS):
        by_cells = 1e3 * np.var(eers, ddof=1)
        if abs(by_cells - variance) > 0.011 or abs(np.mean(eers) - mean) > 0.0075:
            doubtful.append(place)
            assert f"variance of {by_cells:.2f}" in DOUBTFUL[place]
    assert doubtful == list(DOUBTFUL)
    cells = list(ROWS[3][1])
    cells[1] = 0.20  # what the footnote says
    assert (round(np.mean(cells), 2), round(1e3 * np.var(cells, ddof=1), 2)) == ROWS[3][2:]


def test_studies_of_earlier_versions_have_the_papers_rows_too() -> None:
    config = TrialConfig.from_dict({"augmentation": "mixup", "alpha": 1.5}).to_dict()
    assert published_row(config | {"sampling": "balanced"}) is None
    row = published_row(config)
    assert row is not None
    del config["sampling"], config["loss"]
    assert published_row(config) == row


def test_the_space_table1_has_the_papers_rows_in_order() -> None:
    rows = [of(**values) for values in scan_space(load_space("table1")).parameters]
    found = [list(row.eer.values()) for row in rows if row is not None]
    assert found == [list(eers) for _, eers, _, _ in ROWS]
    assert rows.index(None) == 11  # SamplePairing with its schedule, right after the one without
    assert len(rows) == 14


# property


def test_a_row_by_hand() -> None:
    row = of(model="att_loc", imd=True)
    assert row is not None
    assert write_record(row) == {
        "eer": {"c": 0.09, "m": 0.14, "f": 0.17, "v": 0.03, "p": 0.12, "b": 0.01, "o": 0.24},
        "eer_mean": 0.11,
        "eer_var_classes": pytest.approx(6.36e-3),
    }


def test_no_augmentation_is_the_mixup_of_0() -> None:
    assert of() == of(augmentation="mixup", alpha=0.0)
    row = of()
    assert row is not None
    assert row.footnote is not None


def test_how_long_it_was_trained_does_not_matter_and_the_rest_does() -> None:
    assert of(model="dae_dnn", max_epochs=3, pretrain_epochs=3) == of(model="dae_dnn")
    for other in (
        {"model": "cgrnn"},
        {"augmentation": "mixup", "alpha": 1.2},
        {"dropout": 0.5},
        {"augmentation": "sample_pairing", "schedule": "intermittent"},
        {"model": "dae_dnn", "augmentation": "mixup", "alpha": 1.5},
    ):
        assert of(**other) is None
