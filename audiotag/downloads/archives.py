"""Archives unpacked: .tar.gz, .zip, split .zip, and plain files; nothing outside the folder is ever written."""

import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from audiotag.downloads.split_zip import join
from audiotag.downloads.transfer import BLOCK, FetchError, Report

PART = re.compile(r"(.+)\.z\d+")  # the name of a part of a split archive but for the last, which ends in .zip


@dataclass(frozen=True)
class Archive:
    """An archive on disk, in one part or more; under its own name, whatever those of its parts on disk."""

    name: str
    parts: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The file that stands for it in messages."""
        return self.parts[-1]


@dataclass(frozen=True)
class _Member:
    name: str
    is_file: bool  # a regular one
    open: Callable[[], IO[bytes] | None]
    done: int  # bytes of the archive that are read


def gather(paths: Mapping[str, Path]) -> list[Archive]:
    """List the archives of which these are the files, by their own names: `a.z01`, `a.z02` and `a.zip` are one."""
    archives = []
    for name, path in paths.items():
        if not PART.fullmatch(name):
            own = [other for other in paths if (part := PART.fullmatch(other)) and f"{part[1]}.zip" == name]
            others = [paths[other] for other in sorted(own, key=lambda other: (len(other), other))]
            archives.append(Archive(name, (*others, path)))
    return archives


def unpack(archive: Archive, folder: Path, place: Callable[[str], str | None], report: Report) -> None:
    """Unpack what is needed.

    Args:
        archive: The archive; a file of another kind is copied under its name.
        folder: Where to; it need not exist, and holds nothing but what `unpack` wrote.
        place: The path in the folder of a member of the archive; None for one that is not needed.
        report: Called with the bytes of the archive that are read.

    Raises:
        FetchError: For a damaged archive, a member that would lie outside the folder, or a link or a device.
        OSError: If the disk does not take it.
    """
    size = sum(part.stat().st_size for part in archive.parts)
    try:
        with ExitStack() as stack:
            for member in _open_members(archive, stack):
                if (path := place(member.name)) is not None:
                    _write(member, folder, path)
                    report("unpacked", member.done, size)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, ValueError, RuntimeError) as error:
        raise FetchError(f"The archive `{archive.path}` cannot be unpacked ({error}).") from error
    report("unpacked", size, size)


def _write(member: _Member, folder: Path, path: str) -> None:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{member.name!r} would lie outside the folder")
    if not member.is_file:
        raise ValueError(f"{member.name!r} is a link or a device")
    content = member.open()
    if content is None:
        raise ValueError(f"{member.name!r} has no content")
    target = folder / parts
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file, BLOCK)


def _open_members(archive: Archive, stack: ExitStack) -> Iterator[_Member]:
    """The members of an archive but for folders, each of which must be read before the next is asked for."""
    files = [stack.enter_context(part.open("rb")) for part in archive.parts]
    if archive.name.endswith((".tar.gz", ".tgz")):
        return _tar_members(stack.enter_context(tarfile.open(fileobj=files[0], mode="r|gz", bufsize=BLOCK)), files[0])
    if archive.name.endswith(".zip"):
        content = files[0] if len(files) == 1 else stack.enter_context(join(files))
        return _zip_members(stack.enter_context(zipfile.ZipFile(content)))
    return iter([_Member(archive.name, True, lambda: archive.path.open("rb"), 0)])


def _tar_members(members: tarfile.TarFile, file: IO[bytes]) -> Iterator[_Member]:
    for member in members:
        if not member.isdir():
            yield _Member(member.name, member.isreg(), partial(members.extractfile, member), file.tell())


def _zip_members(members: zipfile.ZipFile) -> Iterator[_Member]:
    done = 0
    for member in members.infolist():
        done += member.compress_size
        if not member.is_dir():
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where another system than Unix wrote it
            yield _Member(member.filename, kind in (0, stat.S_IFREG), partial(members.open, member), done)
