"""The files of a study: written in one piece, and what is said of damaged ones."""

import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from audiotag.files import look, write_whole
from study.cloud import shown
from study.ledger.mirror import Mirror, mirror_of
from study.ledger.store import StoreError

R = TypeVar("R")


class LedgerError(ValueError):
    """A study folder that cannot be used as asked; the message is one line for the user."""


class WriteError(LedgerError):
    """A file that cannot be written, say because the disk is full; there is no use in going on with the study."""

    def __init__(self, path: Path, error: OSError | StoreError) -> None:
        is_there = isinstance(error, StoreError)
        why = error.reason if isinstance(error, StoreError) else error.strerror or error
        remedy = "mend that" if is_there else "make room (or mend the folder)"
        super().__init__(
            f"{shown(path) if is_there else path} cannot be written ({why}). What was written before is kept: "
            f"{remedy}, then continue with --resume."
        )


class LedgerWarning(UserWarning):
    """A file that cannot be used; the message is one line for the user."""


def read_json(path: Path, build: Callable[[Any], R], keep: bool = False) -> R | None:
    """Read a JSON file; None where it is missing, torn or foreign.

    A torn or foreign file is reported in one warning and set aside: no writer leaves one, so it is no work in progress.

    Args:
        path: The file.
        build: Makes a record of its content, and raises ValueError where it is none.
        keep: Leave such a file where it is.
    """
    try:
        return build(json.loads(look(path.read_bytes)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        warn(path, f"cannot be read ({type(error).__name__}) and counts as missing")
        with suppress(OSError):
            if not keep:
                set_aside(path)
        return None


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file. NaN is refused: JSON has none.

    Raises:
        WriteError: As `write_file`.
    """
    text = json.dumps(content, indent=1, allow_nan=False).encode()
    write_file(path, lambda file: file.write(text), durable=True)


def write_text(path: Path, text: str) -> None:
    """Replace a text file.

    Raises:
        WriteError: As `write_file`.
    """
    write_file(path, lambda file: file.write(text.encode()))


def write_file(path: Path, write: Callable[[IO[bytes]], Any], durable: bool = False) -> int:
    """Replace a file of a study in one piece (`audiotag.files.write_whole`); return its size in bytes.

    Raises:
        WriteError: If the disk, or the object store, does not take it; the old content is still there.
    """
    try:
        if (mirror := mirror_of(path)) is not None:
            return mirror.write(path, write)
        return write_whole(path, write, durable=durable)
    except (OSError, StoreError) as error:
        raise WriteError(path, error) from error


def write_bytes(path: Path, content: bytes, durable: bool = False) -> int:
    """Replace a file by such bytes; return how many.

    Raises:
        WriteError: As `write_file`.
    """
    return write_file(path, lambda file: file.write(content), durable)


def make_folder(path: Path) -> None:
    """Make a folder, unless it exists.

    Raises:
        WriteError: If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(path, error) from error


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        WriteError: If it cannot be removed.
    """
    try:
        if (mirror := mirror_of(path)) is not None:
            mirror.remove(path)
        else:
            path.unlink(missing_ok=True)
    except (OSError, StoreError) as error:
        raise WriteError(path, error) from error


def set_aside(path: Path) -> None:
    """Rename a damaged file, if it is there, so that a person may still look at it.

    Raises:
        WriteError: If its object store does not do it.
    """
    with suppress(FileNotFoundError):
        if (mirror := mirror_of(path)) is not None:
            _rename(mirror, path, f"{path.name}.damaged")
        else:
            path.replace(path.with_name(f"{path.name}.damaged"))


def _rename(mirror: Mirror, path: Path, name: str) -> None:
    try:
        mirror.rename(path, name)
    except StoreError as error:
        raise WriteError(path, error) from error


def warn(path: Path, what: str) -> None:
    """Report in one line what is wrong with a file."""
    warnings.warn(f"{shown(path)} {what}", LedgerWarning, stacklevel=3)
