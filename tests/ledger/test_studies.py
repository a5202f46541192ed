"""The studies of a folder: by name, by the beginning of one, and all."""

from pathlib import Path

import pytest
from helpers.tracked import make_ledger

from study.ledger.files import LedgerError, LedgerWarning
from study.ledger.ledger import Ledger
from study.ledger.studies import find_study, open_studies, open_study, study_names

NAMES = ("alpha", "alpha-2", "dropout-1", "dropout-1-confirmed", "dropout-2", "joint-7", "joint-7-confirmed")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    for number, name in enumerate(NAMES):
        make_ledger(folder / name, f"{number:032}")
    make_ledger(folder / ".joint.1.tmp", "9" * 32)
    (folder / "joint-8").mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("alpha", "alpha"),
        ("alpha-", "alpha-2"),
        ("dropout-2", "dropout-2"),
        ("dropout-1", "dropout-1"),
        ("dropout-1-", "dropout-1-confirmed"),
        ("j", "joint-7"),
    ],
)
def test_a_name_may_be_the_beginning_of_one_study(studies: Path, name: str, found: str) -> None:
    assert find_study(studies, name) == studies / found
    assert open_study(studies, name).study.name == found


def test_a_folder_elsewhere_is_found_by_its_path(studies: Path, tmp_path: Path) -> None:
    assert find_study(tmp_path, str(studies / "alpha")) == studies / "alpha"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("drop", "begin with `drop`: dropout-1, dropout-2. Name one."),
        ("alhpa", "There is no study `alhpa` in .*: did you mean alpha or alpha-2"),
        ("zzz", "the studies there are alpha, alpha-2, dropout-1, "),
        (".joint", "There is no study `.joint`"),
    ],
)
def test_others_are_named_where_there_is_none_or_several(studies: Path, name: str, told: str) -> None:
    with pytest.raises(LedgerError, match=told):
        find_study(studies, name)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert study_names(tmp_path) == study_names(tmp_path / "none") == []
    with pytest.raises(LedgerError, match="--studies names another place"):
        find_study(tmp_path, "a")


def test_one_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        make_ledger(tmp_path / name, name * 32)
    (tmp_path / "b" / "study.json").write_text("{")
    with pytest.warns(LedgerWarning), pytest.warns(RuntimeWarning, match="The study `b`"):
        assert [ledger.study.name for ledger in open_studies(tmp_path)] == ["a", "c"]


def test_whether_a_driver_holds_it(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path / "a", "a" * 32)
    assert not ledger.is_held()
    with ledger.locked():
        assert Ledger.open(ledger.root).is_held()
        (killed := tmp_path / "a" / ".driver.json").read_text()
        text = killed.read_text()
    killed.write_text(text)  # as a killed driver leaves it
    assert not ledger.is_held()
