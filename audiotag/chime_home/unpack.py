"""A .tar.gz unpacked while it is read, once and from front to back, as if its maker meant harm."""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

BLOCK = 1 << 18  # bytes
LARGEST_FILE = 64 << 20  # bytes; of a file that is unpacked
MOST_BYTES = 64 << 30  # of all files of the archive, unpacked or not
MOST_MEMBERS = 200_000
LARGEST_HEADER = 1 << 20  # bytes between two files; tarfile holds them in memory


class ArchiveError(ValueError):
    """An archive that is damaged, or holds what no archive of recordings holds; in a few words."""


@dataclass(frozen=True)
class Unpacked:
    """What was read: bytes and MD5 of the archive, and the number of files that were unpacked."""

    size: int
    md5: str
    files: int


class PieceReader:
    """Pieces of bytes as something to read from; counts and hashes them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest, self._at = b"", 0  # the piece in hand, and what of it is read
        self._md5 = hashlib.md5(usedforsecurity=False)  # the checksum that was published
        self.size = 0

    def read(self, size: int = BLOCK) -> bytes:
        """So many bytes; fewer only at the end, as gzip takes for granted."""
        while len(self._rest) - self._at < size and (piece := next(self._pieces, None)) is not None:
            self._md5.update(piece)
            self.size += len(piece)
            self._rest, self._at = self._rest[self._at :] + piece, 0
        taken = self._rest[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def finish(self, files: int) -> Unpacked:
        """Reads what is left."""
        while self.read():
            pass
        return Unpacked(self.size, self._md5.hexdigest(), files)


class Meter:
    """Reads on behalf of tarfile, no more than `allowed` bytes."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.allowed = 0

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self.allowed -= len(data)
        if self.allowed < 0:
            raise ArchiveError(f"it has a header of more than {LARGEST_HEADER} bytes")
        return data


def unpack(pieces: Iterator[bytes], folder: Path, wanted: Callable[[str], bool]) -> Unpacked:
    """Unpacks the files of an archive whose names are wanted into a folder; nothing is ever written outside of it.

    Args:
        pieces: The bytes of the archive.
        folder: An empty folder.
        wanted: Takes a plain relative name such as "chime_home/chunks/a.csv".

    Raises:
        ArchiveError: for a damaged archive, a name that leaves the folder, a link, a device, a file twice, or too much
            of anything.
        OSError: if the disk takes no more.
    """
    reader = PieceReader(pieces)
    try:
        files = _unpack_members(gzip.GzipFile(fileobj=cast(Any, reader)), folder, wanted)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(f"it is no whole .tar.gz archive ({error})") from error
    return reader.finish(files)


def _unpack_members(stream: gzip.GzipFile, folder: Path, wanted: Callable[[str], bool]) -> int:
    meter = Meter(cast(IO[bytes], stream))
    meter.allowed = LARGEST_HEADER
    names: set[str] = set()
    size = members = 0
    with tarfile.open(fileobj=cast(Any, meter), mode="r|", bufsize=BLOCK) as archive:
        for member in archive:
            members += 1
            size += member.size
            if members > MOST_MEMBERS or size > MOST_BYTES:
                raise ArchiveError(f"it holds more than {MOST_MEMBERS} files or {MOST_BYTES} bytes")
            name = _plain_name(member)
            meter.allowed = member.size + LARGEST_HEADER + BLOCK
            if member.isdir() or not wanted(name):
                continue
            if name in names:
                raise ArchiveError(f"it holds {name!r} twice")
            if member.size > LARGEST_FILE:
                raise ArchiveError(f"its file {name!r} has {member.size} bytes, which is too many")
            names.add(name)
            _write_member(archive, member, folder / name)
    while stream.read(BLOCK):  # the checksum of the compression comes last
        pass
    return len(names)


def _plain_name(member: tarfile.TarInfo) -> str:
    place = PurePosixPath(member.name)
    if place.is_absolute() or ".." in place.parts or "\\" in member.name or "\0" in member.name:
        raise ArchiveError(f"its name {member.name!r} leaves the folder")
    if not (member.isreg() or member.isdir()):
        raise ArchiveError(f"its entry {member.name!r} is a link or a device, not a file")
    return place.as_posix()


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = archive.extractfile(member)
    assert source is not None, "a regular file has content"
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    with open(path, "xb") as file:
        while block := source.read(BLOCK):
            left -= len(block)
            file.write(block)
    if left:
        raise ArchiveError(f"its file {member.name!r} is cut short")
