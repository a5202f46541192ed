"""A table's file to cells: its encoding, what separates its cells, and the names of its columns."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audiotag.corpus.errors import CorpusError
from audiotag.files import reason_of

CELL_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
TAG_SEPARATORS = ";,|/+&"  # that the name of the column of tags may end in
SYNONYMS = {  # names that other programs and data sets give to columns, without case, spaces and underscores
    "filename": ("file", "fname", "path", "filepath", "audio", "audiofile", "wav", "clip", "recording"),
    "tags": ("tag", "label", "labels", "class", "classes", "category", "categories"),
    "fold": ("folds",),
    "group": ("groups",),
    "split": ("subset",),
}


@dataclass(frozen=True)
class Cells:
    """A table as text."""

    header: list[str]
    lines: list[str]  # behind the header
    before: int  # lines of the file before those
    separator: str  # of cells
    tag_separator: str | None = None  # that the header names
    notes: list[str] = field(default_factory=list)  # what is read otherwise than it is written


def read_text(path: Path) -> str:
    """Read a file in UTF-8, or in UTF-16 with a byte order mark (Excel's "Unicode text").

    Raises:
        CorpusError: If the file is missing, is not a file or is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"The file `{path}` cannot be read ({reason_of(error)}): put it back.") from error
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        name = "UTF-16" if is_utf16 else "UTF-8"
        raise CorpusError(f"The file `{path}` is not {name} (byte {error.start}): save it as CSV in UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_cells(path: Path, required: Sequence[str], known: Sequence[str] | None) -> Cells:
    """Read a table with a header; of the separators of cells, the one with which the header has the most columns.

    Raises:
        CorpusError: As `read_text`, and for a header that is wrong.
    """
    lines = list(io.StringIO(read_text(path)))
    told = re.fullmatch(r"sep=([,;\t|])\n?", lines[0]) if lines else None  # Excel's own way to say it
    first = 1 if told else 0
    line = lines[first] if len(lines) > first else ""

    def header_with(separator: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=separator), [])
        except csv.Error as error:
            raise CorpusError(f"Line {first + 1} of `{path}` is not CSV ({error}): save it as CSV.") from error

    def columns_with(separator: str) -> int:
        return len(set(required) & set(_name_columns(header_with(separator), known)[0]))

    separator = told[1] if told else max(CELL_SEPARATORS, key=columns_with)  # of equal ones the first
    written = [cell.strip() for cell in header_with(separator)]
    header, tag_separator = _name_columns(written, known)
    _check_header(header, required, known or header, path)
    names = zip(written, header, strict=True)
    renamed = [f"`{old}` as `{new}`" for old, new in names if old.rstrip(TAG_SEPARATORS) != new]
    notes = [f"the columns {', '.join(renamed)}"] * bool(renamed)
    if separator != ",":
        notes.append(f"cells separated by {CELL_SEPARATORS[separator]}")
    said = [f"`{path.name}` is read with {' and '.join(notes)}"] if notes else []
    return Cells(header, lines[first + 1 :], first + 1, separator, tag_separator, said)


def _name_columns(written: Sequence[str], known: Sequence[str] | None) -> tuple[list[str], str | None]:
    """The columns by our own names, as far as `known` has them, and the separator that the column of tags names."""
    header, separator = [cell.strip() for cell in written], None
    for name in known or ():
        for names in ((name,), SYNONYMS.get(name, ())):  # a synonym beside the name itself is another column
            found = [place for place, cell in enumerate(header) if _plain(cell) in names]
            if name not in header and len(found) == 1:
                end = header[found[0]][-1]
                separator = end if name == "tags" and end in TAG_SEPARATORS else separator
                header[found[0]] = name
    return header, separator


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.casefold().rstrip(TAG_SEPARATORS))


def _check_header(header: list[str], required: Sequence[str], known: Sequence[str], path: Path) -> None:
    for column in filter(None, header):
        if header.count(column) > 1:
            raise CorpusError(f"The column `{column}` is in `{path}` twice: take one out.")
        if column not in known:
            raise CorpusError(
                f"Unknown column {column!r} in `{path}`: take it out; the columns are {', '.join(known)}."
            )
    for column in required:
        if column not in header:
            raise CorpusError(f"The column `{column}` is missing in the first line of `{path}`: add it.")
