"""Helpers of the tests that fetch CHiME-Home: a small archive of its form, and the folder that must come of it."""

from pathlib import Path

import pytest

from audiotag.chime_home.download import FetchError
from audiotag.chime_home.install import install
from audiotag.corpus.layouts.chime_home import read
from helpers.archives import LATER, NAMES, RAW, Manners, contents, md5, packed, serving

ARCHIVE = packed(contents())
MONO = sorted(f"{name}.{kind}" for name in [*NAMES, LATER, RAW] for kind in ("16kHz.wav", "csv"))
LISTS = sorted(name.split("/")[1] for name in contents() if name.count("/") == 1 and name.endswith("csv"))


def get(target: Path, manners: Manners, **options) -> bool:
    with serving(manners) as address:
        return install(target, address, **{"md5": md5(ARCHIVE), "wait": 0.001, **options})


def assert_complete(target: Path) -> None:
    assert sorted(path.name for path in (target / "chunks").iterdir()) == MONO
    assert sorted(path.name for path in target.glob("*.*")) == LISTS
    for name, data in contents().items():
        path = target / name.removeprefix("chime_home/")
        assert not path.exists() or path.read_bytes() == data
    assert [path.name for path in target.parent.iterdir() if path != target] == [".chime_home.lock"]
    assert len(read(target).rows) == 7


def begin(target: Path, content: bytes = ARCHIVE, **options) -> None:
    """A first run that gets 9000 bytes and no more."""
    with pytest.raises(FetchError, match=r"stuck at 9000 bytes .*run the same command again later"):
        get(target, Manners(content, cut_after=9000, cuts=1, dies=True, **options))
    assert not target.exists()
    assert part_of(target).stat().st_size == 9000


def part_of(target: Path) -> Path:
    return target.with_name("chime_home.tar.gz.part")
