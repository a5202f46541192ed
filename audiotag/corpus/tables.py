"""The clips that a corpus lists, and CSV tables of them: text in, rows out, every mistake reported at once."""

import csv
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from audiotag.corpus.cells import CELL_SEPARATORS, read_cells
from audiotag.corpus.errors import count, list_first

EVALUATION = -1  # the fold number of clips of the evaluation split
NO_FOLD = -2  # of clips of a table without folds
TRAIN, VALIDATION, TEST = -3, -4, 1  # of a corpus with one fixed split: its one fold holds out the test clips
FIXED_SPLIT = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
LONGEST_VALUE = 40  # characters of a value that a message quotes beside the number of its line


@dataclass(frozen=True)
class Row:
    """A clip as a table names it; the audio may be absent."""

    clip: str  # its name, unique in the corpus
    path: Path  # the audio file
    fold: int  # a number, EVALUATION or NO_FOLD; of a fixed split one of FIXED_SPLIT
    tags: frozenset[str]  # may be empty
    group: str  # the recording that the clip was cut from
    stereo_path: Path | None = None  # the stereo recording, where it is another file than `path`
    unknown: frozenset[str] = frozenset()  # tags of which nobody knows whether it has them


@dataclass(frozen=True)
class Listing:
    """The content of the tables of a corpus."""

    root: Path  # the folder that holds the tables
    rows: tuple[Row, ...]  # one per clip, those with a mistake left out
    problems: tuple[str, ...] = ()  # the mistakes, one line each
    tags: tuple[str, ...] | None = None  # all tags in their order; those of the rows, sorted, when None
    notes: tuple[str, ...] = ()  # what was read otherwise than it is written, one line each
    warnings: tuple[str, ...] = ()  # what may be meant otherwise
    tag_separator: str | None = ""  # that still has to separate the tags of rows; "": none; None: to be found out


class RowError(ValueError):
    """A mistake in a row: a template with `{}`, which is the same for all rows with that mistake, and its values."""

    def __init__(self, template: str, *values: object) -> None:
        super().__init__(template.format(*values))
        self.template, self.values = template, values


def read_listing(
    root: Path,
    table: Path,
    required: Sequence[str],
    read_row: Callable[[dict[str, str]], Row | None],
    known: Sequence[str] | None = None,
) -> Listing:
    """Read the rows of a table with a header.

    Args:
        root: The folder of the corpus.
        table: The table's place in it.
        required: The columns that it must have.
        read_row: Takes a row's cells by column; returns None for a row that is passed over, and raises ValueError for
            a mistake, RowError for one that many rows may share.
        known: All columns that it may have, found under common synonyms too; any columns when None.

    Raises:
        CorpusError: If the file cannot be read or has a wrong header.
    """
    path = root / table
    cells = read_cells(path, required, known)
    reader = csv.reader(iter(cells.lines), delimiter=cells.separator, strict=True)
    rows: dict[str, Row] = {}
    mistakes: dict[str, list[tuple[int, ValueError]]] = {}
    broken = []
    try:
        for row_cells in reader:
            if not any(cell.strip() for cell in row_cells):
                continue
            try:
                row = read_row(_by_column(row_cells, cells.header, CELL_SEPARATORS[cells.separator]))
                if row is not None and row.clip in rows:
                    raise RowError("has the filename `{}` again: take one of the two rows out", row.clip)
            except ValueError as error:
                kind = error.template if isinstance(error, RowError) else str(error)
                mistakes.setdefault(kind, []).append((cells.before + reader.line_num, error))
            else:
                if row is not None:
                    rows[row.clip] = row
    except csv.Error as error:  # the cells of the rest cannot be separated
        line = cells.before + reader.line_num
        broken = [f"Line {line} of `{path}` is not CSV ({error}): correct the quotes."]
    problems = [_one_problem(found, path) for found in mistakes.values()]
    return Listing(
        root,
        tuple(rows.values()),
        (*problems, *broken),
        notes=tuple(cells.notes),
        tag_separator=cells.tag_separator or "",
    )


def _one_problem(found: Sequence[tuple[int, ValueError]], path: Path) -> str:
    """One line for all rows with the same mistake: the first in full, of the others where they are."""
    line, error = found[0]
    if len(found) == 1:
        return f"Line {line} of `{path}` {error}."
    others = [f"{number} ({value})" if (value := _value(other)) else str(number) for number, other in found[1:]]
    return f"Line {line} of `{path}` {error}; the same in {count(len(others), 'more line')}: {list_first(others)}."


def _value(error: ValueError) -> str:
    """What differs from row to row, where it is short."""
    value = repr(error.values[0]) if isinstance(error, RowError) else ""
    return value if len(value) <= LONGEST_VALUE else ""


def _by_column(cells: list[str], header: list[str], separators: str) -> dict[str, str]:
    while len(cells) > len(header) and not cells[-1].strip():  # a spreadsheet's empty columns
        cells = cells[:-1]
    if len(cells) != len(header):
        hint = f"; separate tags by `;` and quote a cell that holds {separators}" if len(cells) > len(header) else ""
        raise RowError("has {} cells, but the header has {}: correct it" + hint, len(cells), len(header))
    values = [cell.strip() for cell in cells]
    for value in values:
        for character in "" if value.isprintable() else value:
            if is_control(character):
                raise RowError("has the control character {!r} in {!r}: take it out", character, value)
    for column, value in zip(header, values, strict=True):
        if not column and value and not value.isdigit():  # but pandas writes its row numbers there
            raise RowError("has {!r} in a column without a name: name the column, or take it out", value)
    return {column: value for column, value in zip(header, values, strict=True) if column}


def is_control(character: str) -> bool:
    """Whether a character has no place in a name: control characters, line breaks, undecodable bytes."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def read_fold(text: str) -> int:
    """Parse a fold's number; ValueError if it is none. With gaps in a column, pandas writes 1 as 1.0."""
    found = re.fullmatch("([0-9]{1,9})([.,]0*)?", text)
    if not found:
        raise RowError("has fold {!r}, but it must be a whole number of at least 0", text)
    return int(found[1])


def read_tags(*texts: str) -> frozenset[str]:
    """Parse tags, without the spaces around them; empty ones are none."""
    return frozenset(text.strip() for text in texts) - {""}


def find_file(folder: Path, filename: str, *others: Path) -> tuple[str, Path]:
    """Normalise a filename of a table, and find its path inside the folder of the audio.

    Backslashes separate folders, and a leading name of the folder itself is dropped, where no file is named so. On the
    disk accents may be composed or decomposed (NFC, NFD); the table's own form is tried first.

    Args:
        folder: The folder of the audio.
        filename: As the table has it.
        others: Folders in which the file may be instead.

    Raises:
        ValueError: If it names nothing or leaves the folder.
    """
    relative = _inside(folder, filename)
    if "\\" in filename and not _exists(folder / relative):
        relative = _inside(folder, filename.replace("\\", "/"))
    if relative.parts[0] == folder.name and len(relative.parts) > 1 and not _exists(folder / folder.name):
        relative = relative.relative_to(folder.name)
    name = str(relative)
    if not others and name.isascii():  # the only place and form
        return name, folder / name
    forms = dict.fromkeys([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))])
    places = (place / form for place in (folder, *others) for form in forms)
    return name, next(filter(_exists, places), folder / name)


def _inside(folder: Path, filename: str) -> PurePosixPath:
    relative = PurePosixPath(filename)
    outside = relative.is_absolute() or ".." in relative.parts or re.match(r"[A-Za-z]:[/\\]", filename)
    if not relative.name or outside:
        raise RowError("has filename {!r}, but it must name a file inside {}/", filename, folder.name)
    try:
        os.fsencode(filename)
    except UnicodeEncodeError as error:
        advice = "has filename {!r}, but this locale names files in {}: set PYTHONUTF8=1"
        raise RowError(advice, filename, error.encoding) from error
    return relative


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False
