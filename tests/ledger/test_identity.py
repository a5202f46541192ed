"""A folder that was copied is a study of its own; one that was renamed or moved stays the same."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.small_study import STUDY

from study.ledger.files import LedgerWarning
from study.ledger.ledger import Ledger


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Ledger.create(tmp_path / "base", replace(STUDY, name="base")).root


def settle(root: Path) -> list[str]:
    """Hold a study once; return what was said of its folder."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with Ledger.open(root).locked():
            pass
    return [str(warning.message) for warning in said if warning.category is LedgerWarning]


def identity(root: Path) -> tuple[str, str]:
    study = Ledger.open(root).study
    return study.name, study.id


@pytest.mark.parametrize("place", ["copied", "elsewhere/base"])
@pytest.mark.parametrize("with_folder", [True, False], ids=["", "of an earlier version"])
def test_a_copy_is_a_study_of_its_own(place: str, with_folder: bool, base: Path, tmp_path: Path) -> None:
    if not with_folder:
        content = json.loads((base / "study.json").read_text())
        (base / "study.json").write_text(json.dumps({**content, "folder": ""}))
    if not with_folder and place != "copied":
        settle(base)  # nothing else tells where the original is
    before = identity(base)
    copy = Path(shutil.copytree(base, tmp_path / place))
    (line,) = settle(copy)
    assert str(base) in line
    name, own = identity(copy)
    assert name == copy.name
    assert own != before[1]
    assert settle(copy) == settle(base) == []
    assert (identity(copy), identity(base)) == ((name, own), before)
    shutil.rmtree(base)
    assert identity(copy) == (name, own)


@pytest.mark.parametrize(("place", "lines"), [("renamed", 1), ("elsewhere/base", 0)])
def test_a_renamed_or_moved_study_stays_the_same(place: str, lines: int, base: Path, tmp_path: Path) -> None:
    _, before = identity(base)
    (tmp_path / "elsewhere").mkdir()
    moved = base.rename(tmp_path / place)
    assert len(settle(moved)) == lines
    assert identity(moved) == (moved.name, before)
    copy = Path(shutil.copytree(moved, tmp_path / "copy"))
    assert len(settle(copy)) == 1
    assert identity(copy)[1] != before
    assert identity(moved) == (moved.name, before)


def test_a_link_to_a_study_is_the_same_study(base: Path, tmp_path: Path) -> None:
    before = identity(base)
    (tmp_path / "disk").symlink_to(tmp_path)
    assert settle(tmp_path / "disk" / "base") == []
    assert identity(tmp_path / "disk" / "base") == before


def test_an_earlier_versions_password_is_not_shown(base: Path) -> None:
    content = json.loads((base / "study.json").read_text())
    command = "python study/run.py --tracking-uri http://me:hush@there"
    (base / "study.json").write_text(json.dumps({**content, "command": command}))
    assert "hush" not in Ledger.open(base).study.command
    settle(base)
    assert "hush" not in (base / "study.json").read_text()
