"""A short form of benchmarks/fuzz.py."""

from dataclasses import replace
from pathlib import Path

import pytest
from fuzz import BAD, DOUBTED, OTHER, REFUSED, SAME, WRONG, fuzz

from audiotag.audio.integrity import examine_container

pytestmark = pytest.mark.slow


def totals(folder: Path, count: int) -> dict[str, int]:
    folder.mkdir(exist_ok=True)
    counts = fuzz(count, 1, folder)
    return {
        what: sum(n for (_, _, found), n in counts.items() if found == what)
        for what in (REFUSED, DOUBTED, SAME, OTHER, *BAD)
    }


def test_damaged_inputs_are_refused_or_read_as_they_are(tmp_path: Path) -> None:
    found = totals(tmp_path, 500)
    assert sum(found.values()) == 500
    assert [found[what] for what in BAD] == [0, 0, 0]
    assert min(found[REFUSED], found[SAME], found[OTHER]) > 10
    assert found[DOUBTED] > 0


def test_the_fuzz_notices_when_containers_are_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "audiotag.audio.decode.examine_container", lambda file: replace(examine_container(file), damage=None)
    )
    assert totals(tmp_path, 150)[WRONG] > 5
