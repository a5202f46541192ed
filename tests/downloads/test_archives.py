"""Archives of each kind, and those that would write elsewhere."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.archives import packed
from helpers.split_zips import named, split, zipped

from audiotag.downloads.archives import gather, unpack
from audiotag.downloads.published import place_as_packed
from audiotag.downloads.transfer import FetchError

FILES = {"set/audio/a.wav": b"a" * 9000, "set/audio/b.wav": b"b" * 7000, "set/table.csv": b"a,b\n"}
JUNK = {"__MACOSX/set/._a.wav": b"", "set/._table.csv": b"", "set/audio/.DS_Store": b"", "._set": b""}


def unpacked(folder: Path, files: dict[str, bytes], place: Callable[[str], str | None] = place_as_packed) -> Path:
    """Unpack archives, which lie on disk as parts."""
    paths = {name: folder / f"{name}.part" for name in files}
    for name, content in files.items():
        paths[name].write_bytes(content)
    for archive in gather(paths):
        unpack(archive, folder / "out", place, lambda *_: None)
    return folder / "out"


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


KINDS = {
    "tar": {"set.tar.gz": packed(FILES | JUNK)},
    "tgz": {"set-v1.0.tgz": packed(FILES | JUNK)},
    "zip": {"set.zip": zipped(FILES | JUNK)},
    "split zip": named("set.audio", split(zipped(FILES | JUNK, zipfile.ZIP_STORED), 5000)),
    "several": {"one.zip": zipped({"set/table.csv": b"a,b\n"}), "two.tar.gz": packed(FILES)},
}


@pytest.mark.parametrize("files", KINDS.values(), ids=KINDS)
def test_every_kind(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert contents(unpacked(tmp_path, files)) == FILES


def test_a_file_that_is_no_archive_is_copied(tmp_path: Path) -> None:
    assert contents(unpacked(tmp_path, {"annotations.csv": b"a,b\n"})) == {"annotations.csv": b"a,b\n"}


def test_members_are_placed_and_left_out(tmp_path: Path) -> None:
    def place(member: str) -> str | None:
        return f"clips/{member[-5:]}" if member.endswith(".wav") else None

    expected = {"clips/a.wav": FILES["set/audio/a.wav"], "clips/b.wav": FILES["set/audio/b.wav"]}
    assert contents(unpacked(tmp_path, {"a.zip": zipped(FILES)}, place)) == expected


def test_the_parts_of_split_archives_are_gathered_in_order() -> None:
    names = ["a.zip", "a.z02", "a.z01", "a.z100", "a.z11", "a.b.z01", "a.b.zip", "c.tar.gz", "table.csv"]
    found = {archive.name: [str(part) for part in archive.parts] for archive in gather({n: Path(n) for n in names})}
    assert found == {
        "a.zip": ["a.z01", "a.z02", "a.z11", "a.z100", "a.zip"],
        "a.b.zip": ["a.b.z01", "a.b.zip"],
        "c.tar.gz": ["c.tar.gz"],
        "table.csv": ["table.csv"],
    }


def test_progress_ends_with_all_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(FILES))
    calls: list[tuple] = []
    (archive,) = gather({"a.zip": path})
    unpack(archive, tmp_path / "out", place_as_packed, lambda *call: calls.append(call))
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert len(done) == 4
    assert calls[-1] == ("unpacked", path.stat().st_size, path.stat().st_size)


def linked(name: str, to: str) -> bytes:
    """A zip with a symbolic link, as the program zip writes it with -y."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, to)
        archive.writestr(f"{name}/evil.csv", b"evil")
    return buffer.getvalue()


def tar_link(name: str, kind: bytes, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


ENCRYPTED = bytearray(zipped({"a.csv": b"secret"}, zipfile.ZIP_STORED))
ENCRYPTED[6] |= 1
ENCRYPTED[ENCRYPTED.index(b"PK\1\2") + 8] |= 1
HOSTILE = {
    "zip, parent": ("a.zip", zipped({"../evil.csv": b"evil"}), "'../evil.csv' would lie outside the folder"),
    "zip, parent within": ("a.zip", zipped({"a/../../evil.csv": b"evil"}), "would lie outside the folder"),
    "zip, absolute": ("a.zip", zipped({"/tmp/evil.csv": b"evil"}), "would lie outside the folder"),
    "zip, link": ("a.zip", linked("a", "/tmp"), "'a' is a link or a device"),
    "zip, encrypted": ("a.zip", bytes(ENCRYPTED), "encrypted"),
    "zip, damaged": ("a.zip", zipped(FILES)[:-30], "not a zip file"),
    "zip, other content": (
        "a.zip",
        zipped({"a.csv": b"content"}, zipfile.ZIP_STORED).replace(b"content", b"context"),
        "Bad CRC-32",
    ),
    "tar, parent": ("a.tar.gz", packed({"../evil.csv": b"evil"}), "would lie outside the folder"),
    "tar, absolute": ("a.tgz", packed({"/tmp/evil.csv": b"evil"}), "would lie outside the folder"),
    "tar, link": ("a.tar.gz", packed({}, [tar_link("a", tarfile.SYMTYPE, "/tmp")]), "is a link or a device"),
    "tar, hard link": ("a.tar.gz", packed({}, [tar_link("a", tarfile.LNKTYPE, "/etc/passwd")]), "is a link"),
    "tar, cut off": ("a.tar.gz", packed({"a.wav": os.urandom(9000)})[:-500], "cannot be unpacked"),
    "no tar": ("a.tar.gz", b"<html>", "cannot be unpacked"),
}


@pytest.mark.parametrize(("name", "content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_write_nothing_outside(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(FetchError, match=message) as caught:
        unpacked(tmp_path, {name: content})
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {f"{name}.part", "out"}
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink() or "evil" in path.name]
    assert not Path("/tmp/evil.csv").exists()
