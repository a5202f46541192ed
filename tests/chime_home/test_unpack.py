"""Archives that mean harm: nothing may be written outside of the folder, and nothing endless be read."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.archives import contents, md5, packed

from audiotag.chime_home import unpack as archive
from audiotag.chime_home.fetch import is_wanted
from audiotag.chime_home.unpack import ArchiveError, unpack


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def everything(name: str) -> bool:
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "folder"
    path.mkdir(parents=True)
    return path


# --- reference ---


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_what_is_wanted_is_unpacked_and_all_is_hashed(folder: Path, size: int) -> None:
    data = contents() if size > 1 else {"chime_home/chunks/a.csv": b"a,b\n"}
    found = unpack(pieces(packed(data), size), folder, lambda name: name.endswith(".csv"))
    expected = {name: content for name, content in data.items() if name.endswith(".csv")}
    there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}
    assert there == expected
    assert (found.files, found.md5, found.size) == (len(expected), md5(packed(data)), len(packed(data)))


@pytest.mark.parametrize(
    ("name", "stereo", "wanted"),
    [
        ("chime_home/development_chunks_raw.csv", False, True),
        ("chime_home/chunks/a.s0_chunk1.csv", False, True),
        ("chime_home/chunks/a.s0_chunk1.16kHz.wav", False, True),
        ("chime_home/chunks/a.s0_chunk1.48kHz.wav", False, False),
        ("chime_home/chunks/a.s0_chunk1.48kHz.wav", True, True),
        ("chime_home/chunks/deeper/a.csv", True, False),
        ("chime_home/._development_chunks_raw.csv", True, False),
        ("chime_home/README", True, False),
        ("chime_home/chunks/._a.s0_chunk1.16kHz.wav", True, False),
        ("elsewhere/chunks/a.csv", True, False),
        ("development_chunks_raw.csv", True, False),
    ],
)
def test_what_is_needed(name: str, stereo: bool, wanted: bool) -> None:
    assert is_wanted(name, stereo) is wanted


# --- malformed ---

HOSTILE = {
    "parent": (member("../evil.csv"), "leaves the folder"),
    "parent inside": (member("chime_home/../../evil.csv"), "leaves the folder"),
    "absolute": (member("/tmp/evil.csv"), "leaves the folder"),
    "backslash": (member("..\\evil.csv"), "leaves the folder"),
    "symbolic link": (member("chime_home/chunks", tarfile.SYMTYPE, "/tmp"), "is a link or a device"),
    "link to a list": (member("chime_home/a.csv", tarfile.SYMTYPE, "../../../etc/passwd"), "is a link or a device"),
    "hard link": (member("chime_home/a.csv", tarfile.LNKTYPE, "/etc/passwd"), "is a link or a device"),
    "pipe": (member("chime_home/a.csv", tarfile.FIFOTYPE), "is a link or a device"),
    "device": (member("chime_home/a.csv", tarfile.CHRTYPE), "is a link or a device"),
    "disk": (member("chime_home/a.csv", tarfile.BLKTYPE), "is a link or a device"),
}


@pytest.mark.parametrize(("hostile", "message"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("wanted", [everything, lambda name: False])
def test_hostile_members_are_refused(folder: Path, hostile: tarfile.TarInfo, message: str, wanted) -> None:
    with pytest.raises(ArchiveError, match=message):
        unpack(pieces(packed({}, [hostile])), folder, wanted)
    assert list(folder.parents[1].rglob("*")) == [folder.parent, folder]


def test_a_file_twice_is_refused(folder: Path) -> None:
    buffer = io.BytesIO(gzip.decompress(packed({"a.csv": b"first"}))[:1024] + gzip.decompress(packed({"a.csv": b"2"})))
    with pytest.raises(ArchiveError, match=r"it holds 'a\.csv' twice"):
        unpack(pieces(gzip.compress(buffer.getvalue())), folder, everything)
    assert (folder / "a.csv").read_bytes() == b"first"


def test_a_file_in_place_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises((ArchiveError, OSError)):
        unpack(pieces(packed({"a": b"file", "a/b": b"below"})), folder, everything)


def test_a_bomb_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_FILE", 1 << 16)
    with pytest.raises(ArchiveError, match=r"its file 'a\.csv' has 1048576 bytes, which is too many"):
        unpack(pieces(packed({"a.csv": bytes(1 << 20)})), folder, everything)
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 19)
    with pytest.raises(ArchiveError, match="it holds more than"):
        unpack(pieces(packed({"a.csv": bytes(1 << 20)})), folder, lambda name: False)


def test_too_many_members_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 10)
    with pytest.raises(ArchiveError, match="it holds more than 10 files"):
        unpack(pieces(packed({f"{n}.csv": b"" for n in range(11)})), folder, lambda name: False)


def test_a_header_without_end_is_refused_before_it_is_in_memory(folder: Path) -> None:
    header = member("x", tarfile.XHDTYPE)
    header.size = 1 << 30
    block = header.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ArchiveError, match=r"a header of more than \d+ bytes"):
        unpack(pieces(gzip.compress(block + bytes(8 << 20)), 1 << 16), folder, everything)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_torn_archive_is_refused(folder: Path, share: float) -> None:
    data = packed(contents())
    with pytest.raises(ArchiveError, match=r"it is no whole \.tar\.gz archive"):
        unpack(pieces(data[: int(len(data) * share)]), folder, everything)


def test_each_damaged_byte_is_noticed(folder: Path) -> None:
    data = packed({f"{n}.csv": bytes(range(256)) for n in range(9)})
    whole = unpack(pieces(data), folder, everything).md5
    for place in range(0, len(data), 7):
        spoilt = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with suppress(ArchiveError):
            assert unpack(pieces(spoilt), folder, lambda name: False).md5 != whole
