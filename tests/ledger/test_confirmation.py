"""A confirmation in the ledger: whose it is, and seeds that the study had not."""

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_study import STUDY

import study.ledger.confirmation
from audiotag.corpus.partitions import partition_seed
from study.ledger.confirmation import NUMBER, confirmation_folder, find_confirmation, fresh_seed
from study.ledger.ledger import Ledger
from study.ledger.schema import ConfirmedTrial, Confirms, DrawnPartition

OF = Confirms(
    "s", STUDY.id, ConfirmedTrial("w", {"alpha": 1.0}), ConfirmedTrial("b", {"alpha": 0.0}), DrawnPartition(5, "1 2 -1")
)


def test_the_seed_depends_on_that_of_the_study_alone() -> None:
    assert fresh_seed(STUDY) == partition_seed(3, NUMBER)
    grown = replace(STUDY, trials=9, drawn=(DrawnPartition(1, "1 2"),), id="1" * 32)
    assert fresh_seed(grown) == fresh_seed(STUDY) != fresh_seed(replace(STUDY, seed=4))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (9, 9),
        (1, 6),  # 1, 2 and 3: the study has 3, 4 and 5
        (5, 6),
    ],
)
def test_no_seed_is_one_that_a_training_had(first: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.ledger.confirmation, "partition_seed", lambda seed, n: seed if n == 1 else first)
    assert fresh_seed(replace(STUDY, repeats=3)) == expected


def test_the_confirmation_of_a_study_is_found_beside_it(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", STUDY)
    root = confirmation_folder(ledger.root)
    assert (root, find_confirmation(ledger)) == (tmp_path / "s-confirmed", None)
    Ledger.create(root, replace(STUDY, name="s-confirmed", id="1" * 32, confirms=OF))
    found = find_confirmation(ledger)
    assert found is not None
    assert found.study.confirms == OF
    assert found.study.confirms.partition.clip_folds.tolist() == [1, 2, -1]


@pytest.mark.parametrize("confirms", [None, replace(OF, id="2" * 32)])
def test_another_study_of_that_name_is_none(confirms: Confirms | None, tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path / "s", STUDY)
    Ledger.create(tmp_path / "s-confirmed", replace(STUDY, id="1" * 32, confirms=confirms))
    assert find_confirmation(ledger) is None
