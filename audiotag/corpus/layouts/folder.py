"""A folder of a user's own recordings: `audio/` and the table `clips.csv`."""

from pathlib import Path

from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import (
    EVALUATION,
    NO_FOLD,
    Listing,
    Row,
    find_file,
    read_fold,
    read_listing,
    read_tag,
    require_columns,
)

TABLE = Path("clips.csv")
SPLITS = ("development", "evaluation")
REQUIRED = ("filename", "tags")
COLUMNS = ("filename", "fold", "tags", "group", "split")


def read(root: Path) -> Listing:
    """Read `clips.csv`. Without a column `fold`, or with an empty one, clips have no fold.

    Raises:
        CorpusError: If the table cannot be read or has a wrong header.
    """
    path = root / TABLE
    folded = True

    def check_header(header: list[str]) -> None:
        nonlocal folded
        require_columns(header, REQUIRED, path)
        for column in header:
            if column not in COLUMNS:
                raise CorpusError(f"Unknown column {column!r} in `{path}`: the columns are {', '.join(COLUMNS)}.")
        folded = "fold" in header

    listing = read_listing(root, path, check_header, lambda cells: _read_row(root, cells))
    development = [row for row in listing.rows if row.fold != EVALUATION]
    unfolded = [row for row in development if row.fold == NO_FOLD]
    if not folded or len(unfolded) == len(development):
        return listing
    missing = tuple(f"The clip `{row.clip}` of `{path}` has no fold: give it one." for row in unfolded)
    return Listing(root, listing.rows, listing.problems + missing)


def _read_row(root: Path, cells: dict[str, str]) -> Row:
    clip, path = find_file(root / "audio", cells["filename"])
    split = cells.get("split", SPLITS[0])
    if split not in SPLITS:
        raise ValueError(f"has split {split!r}, but it must be {' or '.join(SPLITS)}")
    fold = EVALUATION
    if split != "evaluation":
        fold = read_fold(cells["fold"]) if cells.get("fold") else NO_FOLD
    tags = frozenset(read_tag(tag) for tag in cells["tags"].split(";")) - {""}
    return Row(clip, path, fold, tags, cells.get("group") or clip)


LAYOUT = Layout(
    name="folder",
    files=f"{TABLE} (columns {', '.join(COLUMNS)}; fold, group and split are optional) with audio/",
    detect=lambda root: (root / TABLE).is_file(),
    read=read,
)
