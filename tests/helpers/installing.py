"""Helpers of the tests that fetch CHiME-Home: a small archive of its form, and the folder that must come of it."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from audiotag.corpus.layouts.chime_home import problems_of, published, read
from audiotag.downloads import install as installing
from audiotag.downloads.published import RemoteFile
from audiotag.downloads.transfer import FetchError
from helpers.archives import LATER, NAMES, RAW, Manners, contents, md5, packed, serving

ARCHIVE = packed(contents())
MONO = sorted(f"{name}.{kind}" for name in [*NAMES, LATER, RAW] for kind in ("16kHz.wav", "csv"))
LISTS = sorted(name.split("/")[1] for name in contents() if name.count("/") == 1 and name.endswith("csv"))


def install(target: Path, source: str | None = None, *, md5: str = "", stereo: bool = False, **options) -> bool:
    """Install CHiME-Home, or an archive with another checksum in its place."""
    data_set = published(stereo)
    if md5:
        data_set = replace(data_set, files=(RemoteFile(data_set.files[0].address, md5),), unpacked=None)
    return installing.install(target, data_set, lambda folder: problems_of(folder, stereo), source=source, **options)


def get(target: Path, manners: Manners, **options) -> bool:
    with serving(manners) as address:
        return install(target, address, **{"md5": md5(ARCHIVE), "wait": 0.001, **options})


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Work in a process that ends at once at its `step`th touch of disk or network; whether it came so far."""
    process = os.fork()
    if process == 0:
        steps = iter(range(step, 0, -1))

        def touch(event: str, arguments: tuple) -> None:
            if event in TOUCHES and next(steps, 0) == 0:
                os._exit(9)

        signal.alarm(60)
        sys.addaudithook(touch)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "socket.connect")


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
