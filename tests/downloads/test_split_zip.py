"""Split zip archives, read as one file."""

import io
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.split_zips import split, zipped

from audiotag.downloads.split_zip import join

RNG = np.random.default_rng(0)
FILES = {f"audio/{number}.wav": RNG.bytes(3000 + 100 * number) for number in range(8)} | {"ä.txt": b"text " * 5000}


def read(parts: list[bytes]) -> dict[str, bytes]:
    with zipfile.ZipFile(join([io.BytesIO(part) for part in parts])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("size", [700, 4096, 10_000, 10**6])
def test_every_member_is_read(size: int, long: bool) -> None:
    parts = split(zipped(FILES), size, long)
    assert (len(parts) > 30, len(parts) == 1) == (size == 700, size == 10**6)
    assert read(parts) == FILES


def test_a_member_has_its_place_once() -> None:
    parts = split(zipped(FILES), 10_000, long=True)
    with zipfile.ZipFile(join([io.BytesIO(part) for part in parts])) as archive:
        assert {len(member.extra) for member in archive.infolist()} == {4 + 3 * 8}


@pytest.mark.skipif(shutil.which("zip") is None, reason="the program zip is not installed")
@pytest.mark.parametrize("options", [[], ["-fz"]], ids=["places of 32 bits", "of 64 bits"])
def test_archives_of_the_program_zip(tmp_path: Path, options: list[str]) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(RNG.bytes(50_000))
    subprocess.run(["zip", "-q", "-s", "64k", *options, "all.zip", "a", "b", "c"], cwd=tmp_path, check=True)
    parts = [tmp_path / name for name in ("all.z01", "all.z02", "all.zip")]
    assert sorted(tmp_path.glob("all.*")) == parts
    assert read([part.read_bytes() for part in parts]) == {name: (tmp_path / name).read_bytes() for name in "abc"}


def test_places_beyond_four_gibibytes(tmp_path: Path) -> None:
    """Holes in the parts take no room on the disk."""
    gap = 3 << 30
    parts = [tmp_path / name for name in ("a.z01", "a.z02", "a.zip")]
    for part in parts[:2]:
        with part.open("wb") as file:
            file.truncate(gap)
    whole = zipped({"end.txt": b"at the end"})
    place = struct.unpack("<L", whole[-6:-2])[0]
    member = bytearray(whole[place:])
    struct.pack_into("<H", member, 34, 2)  # in the third part
    struct.pack_into("<2H", member, len(member) - 18, 2, 2)
    parts[2].write_bytes(whole[:place] + bytes(member))
    files = [part.open("rb") for part in parts]
    with zipfile.ZipFile(join(files)) as archive:
        assert archive.getinfo("end.txt").header_offset == 2 * gap
        assert archive.read("end.txt") == b"at the end"
    for file in files:
        file.close()


PARTS = split(zipped(FILES), 10_000)
BROKEN = {
    "the last part is missing": PARTS[:-1],
    "a part is missing": [PARTS[0], *PARTS[2:]],
    "an empty part": [*PARTS[:-1], b""],
    "the list is cut off": [*PARTS[:-1], PARTS[-1][-40:]],
    "another order": [PARTS[1], PARTS[0], *PARTS[2:]],
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_broken_archives_are_refused(parts: list[bytes]) -> None:
    with pytest.raises((zipfile.BadZipFile, EOFError)):
        assert read(parts) != FILES
