"""Files that are whole or absent.

A file is written under a temporary name in its own folder and then renamed: a reader sees the old content or all of the
new, whenever the writer is killed. The temporary names match `.*.tmp`.
"""

import errno
import io
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


def write_whole(path: Path, write: Callable[[IO[bytes]], Any], *, durable: bool = False) -> None:
    """Write a file in one piece; an old one of that name is replaced.

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
    try:
        with temporary.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
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
