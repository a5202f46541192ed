"""Files that are whole or absent.

A file is written under a temporary name in its own folder and then renamed: a reader sees the old content or all of the
new, whenever the writer is killed. The temporary names match `.*.tmp`.

On shared and caching disks, and rarely on local ones, a name that is being replaced seems missing for an instant. So a
file that is read, or looked at, counts as missing only after several looks.
"""

import errno
import io
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

R = TypeVar("R")
LOOKS = 3


def look(at: Callable[[], R]) -> R:
    """What a function of a file's name returns, at the first of some looks at which the name is there.

    Raises:
        FileNotFoundError: If it is at none.
    """
    for _ in range(LOOKS - 1):
        with suppress(FileNotFoundError):
            return at()
    return at()


def stat_of(path: Path) -> os.stat_result | None:
    """Size and times of a file; None where there is none, say because it went after its folder was listed."""
    try:
        return look(path.stat)
    except (FileNotFoundError, NotADirectoryError):
        return None


def size_of(path: Path) -> int | None:
    """The size of a file in bytes; None where there is none."""
    found = stat_of(path)
    return None if found is None else found.st_size


def write_whole(path: Path, write: Callable[[IO[bytes]], Any], *, durable: bool = False) -> int:
    """Write a file in one piece, in the place of an old one of that name; return its size in bytes.

    Args:
        path: Its folder exists.
        write: Takes a binary file, in memory, and writes the content.
        durable: Also force the content to the disk before the name changes, for files that must survive a power
            failure.

    Raises:
        OSError: If the disk does not take it; the old content is still there, and no temporary file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    buffer = io.BytesIO()
    write(buffer)

    def put() -> int:
        with temporary.open("wb") as file:
            size = file.write(buffer.getbuffer())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        return size

    try:
        return look(put)  # another process may have cleared the temporary file away
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_new(path: Path, text: str) -> None:
    """Write a text file in one piece, in UTF-8, that takes no other file's place.

    Raises:
        OSError: As `write_whole`; FileExistsError if the file exists.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}-new.tmp")
    write_text(temporary, text)
    try:
        os.link(temporary, path)  # unlike a rename, it never takes another file's place
    except FileExistsError:
        raise
    except OSError:  # exFAT has no links; there, another process may be first by a hair's breadth
        os.rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text file in one piece, in UTF-8.

    Raises:
        OSError: As `write_whole`.
    """
    write_whole(path, lambda file: file.write(text.encode()), durable=durable)


def reason_of(error: OSError) -> str:
    """Why a file could not be read or written, in a few words: "no space left on device"."""
    return (error.strerror or str(error)).lower()
