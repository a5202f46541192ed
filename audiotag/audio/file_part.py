"""A part of a file, as a file."""

import os
from io import RawIOBase
from pathlib import Path
from typing import Any


class FilePart(RawIOBase):
    """The bytes of a file from `begin` to `end`, as a file."""

    def __init__(self, path: str | Path, begin: int, end: int) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self._begin, self._end = begin, end
        self._file.seek(begin)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, not beyond the end."""
        view = memoryview(buffer)[: max(0, self._end - self._file.tell())]
        return self._file.readinto(view) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted from the beginning of the part."""
        origin = {os.SEEK_SET: self._begin, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._begin, origin + offset)) - self._begin

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
