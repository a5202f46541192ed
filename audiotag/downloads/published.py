"""What is known of a data set as its authors publish it: licence, files, checksums."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

JUNK = ("__MACOSX", ".DS_Store")  # what macOS puts into archives, besides files `._*`


def place_as_packed(member: str) -> str | None:
    """Leave each file where its archive has it; what macOS adds is not needed."""
    parts = PurePosixPath(member).parts
    return None if any(part in JUNK or part.startswith("._") for part in parts) else member


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set."""

    address: str  # http:// or https://
    checksum: str  # MD5 or SHA-256, in hexadecimal digits
    size: int | None = None  # bytes; None where no source tells it

    @property
    def name(self) -> str:
        """The file's own name."""
        return PurePosixPath(unquote(urlsplit(self.address).path)).name


@dataclass(frozen=True)
class Published:
    """A data set as it is published."""

    title: str
    authors: str  # with the year, as they are cited
    licence: str
    page: str  # the address at which people read about it
    files: tuple[RemoteFile, ...]
    tables: tuple[str, ...]  # files of its folder: each shows that the folder is of this set
    about_size: int | None = None  # bytes of all files, for sets of which not every file's size is known
    unpacked: int | None = None  # bytes on the disk, rounded up; None where no source tells
    place: Callable[[str], str | None] = place_as_packed  # where a member of an archive comes to lie; None: left out
    problems: Callable[[Path], list[str]] | None = None  # what a folder lacks; by default what its layout tells

    @property
    def source(self) -> str:
        """Title, authors and licence, as in a sentence."""
        return f"{self.title} ({self.authors}; {self.licence})"

    @property
    def size(self) -> int | None:
        """The size of all files in bytes, if known."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else self.about_size
