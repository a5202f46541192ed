"""The clips that a corpus lists, and CSV tables of them: text in, rows out, every mistake reported at once."""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from audiotag.corpus.errors import CorpusError
from audiotag.files import reason_of

EVALUATION = -1  # the fold number of clips of the evaluation split
NO_FOLD = -2  # of clips of a table without folds
LONGEST_TAG = 100  # characters; MLflow's names of metrics end at 250


@dataclass(frozen=True)
class Row:
    """A clip as a table names it; the audio may be absent."""

    clip: str  # its name, unique in the corpus
    path: Path  # the audio file
    fold: int  # a number, EVALUATION or NO_FOLD
    tags: frozenset[str]  # may be empty
    group: str  # the recording that the clip was cut from
    stereo_path: Path | None = None  # the stereo recording, where it is another file than `path`


@dataclass(frozen=True)
class Listing:
    """The content of the tables of a corpus."""

    root: Path  # the folder that holds the tables
    rows: tuple[Row, ...]  # one per clip, those with a mistake left out
    problems: tuple[str, ...] = ()  # the mistakes, one line each
    tags: tuple[str, ...] | None = None  # all tags in their order; those of the rows, sorted, when None


def read_text(path: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        CorpusError: If the file is missing, is no file or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"The file `{path}` is not UTF-8 (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise CorpusError(f"The file `{path}` cannot be read ({reason_of(error)}): put it back.") from error


def read_listing(
    root: Path,
    table: Path,
    required: Sequence[str],
    read_row: Callable[[dict[str, str]], Row],
    known: Sequence[str] | None = None,
) -> Listing:
    """Read the rows of a table with a header.

    Args:
        root: The folder of the corpus.
        table: The table's place in it.
        required: The columns that it must have.
        read_row: Takes a row's cells by column and raises ValueError for a mistake.
        known: All columns that it may have; any others, too, when None.

    Raises:
        CorpusError: If the file cannot be read or has a wrong header.
    """
    path = root / table
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    rows: dict[str, Row] = {}
    problems = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(header, required, known or header, path)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"Line {reader.line_num} of `{path}`"
            try:
                row = read_row(_by_column(cells, header))
                if row.clip in rows:
                    raise ValueError(f"has the filename `{row.clip}` again: take one of the two rows out")
                rows[row.clip] = row
            except ValueError as error:
                problems.append(f"{where} {error}.")
    except csv.Error as error:  # the cells of the rest cannot be separated
        problems.append(f"Line {reader.line_num} of `{path}` is not CSV ({error}): correct the quotes.")
    return Listing(root, tuple(rows.values()), tuple(problems))


def _by_column(cells: list[str], header: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        hint = "; separate tags by `;` and quote a cell that holds a comma" if len(cells) > len(header) else ""
        raise ValueError(f"has {len(cells)} cells, but the header has {len(header)}: correct it{hint}")
    values = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
    for value in values.values():
        for character in "" if value.isprintable() else value:
            if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):  # a line break too
                raise ValueError(f"has the control character {character!r} in {value!r}: take it out")
    return values


def _check_header(header: list[str], required: Sequence[str], known: Sequence[str], path: Path) -> None:
    if len(header) == 1 and (separator := re.search(r"[;\t|]", header[0])):
        raise CorpusError(
            f"The cells of `{path}` are separated by {separator[0]!r}, but must be separated by commas (tags within "
            "their cell by `;`): save it as comma-separated CSV."
        )
    for column in header:
        if header.count(column) > 1:
            raise CorpusError(f"The column `{column}` is in `{path}` twice: take one out.")
        if column not in known:
            raise CorpusError(f"Unknown column {column!r} in `{path}`: the columns are {', '.join(known)}.")
    for column in required:
        if column not in header:
            raise CorpusError(f"The column `{column}` is missing in the first line of `{path}`: add it.")


def read_fold(text: str) -> int:
    """Parse a fold's number; ValueError if it is none."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"has fold {text!r}, but it must be a whole number of at least 0")
    return int(text)


def read_tags(*texts: str) -> frozenset[str]:
    """Parse tags, without the spaces around them; empty ones are none.

    Raises:
        ValueError: If one is too long for a name.
    """
    tags = frozenset(text.strip() for text in texts) - {""}
    longest = max(map(len, tags), default=0)
    if longest > LONGEST_TAG:
        raise ValueError(f"has a tag of {longest} characters, but {LONGEST_TAG} are the most: separate tags by `;`")
    return tags


def find_file(folder: Path, filename: str) -> tuple[str, Path]:
    """Normalise a filename of a table, and find its path inside the folder of the audio.

    On the disk accents may be composed or decomposed (NFC, NFD); the table's own form is tried first.

    Raises:
        ValueError: If it names nothing or leaves the folder.
    """
    relative = PurePosixPath(filename)
    if not relative.name or relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"has filename {filename!r}, but it must name a file inside {folder.name}/")
    path = folder / relative
    if not _exists(path):
        if "\\" in filename:
            raise ValueError(f"has filename {filename!r}, but folders must be separated by /")
        for form in ("NFC", "NFD"):
            other = folder / unicodedata.normalize(form, str(relative))
            if _exists(other):
                path = other
    return relative.as_posix(), path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
        return False
