"""The published rows: they follow from their own cells, but for the two that the footnote names."""

import numpy as np
import pytest

from study.published import FOOTNOTE, ROWS, TAGS, PublishedRow, published_rows

MISFITS = ("mixup 0.0", "mixup_lp 1.5")  # of model CRNN; the footnote names them


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model} {row.augmentation}")
def test_a_row_follows_from_its_cells(row: PublishedRow) -> None:
    assert len(row.eer) == len(TAGS)
    variance = 1e3 * np.var(row.eer, ddof=1)
    if row.augmentation in MISFITS:
        assert abs(variance - row.variance) > 0.1
        assert f"{variance:.2f}" in FOOTNOTE
    else:
        assert variance == pytest.approx(row.variance, abs=0.011)
        assert np.mean(row.eer) == pytest.approx(row.average, abs=0.01)  # both were rounded, by .005 at most


def test_thirteen_rows_of_four_models() -> None:
    assert len(ROWS) == 13
    assert [row.model for row in ROWS].count("CRNN") == 10


def test_rows_are_for_chime_home_alone() -> None:
    assert published_rows({"kind": "chime_home", "tags": list(TAGS)}) == ROWS
    assert published_rows({"kind": "synthetic", "tags": list(TAGS)}) == ()
    assert published_rows({"tags": ["x"]}) == ()
