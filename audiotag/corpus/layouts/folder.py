"""A folder of a user's own recordings: `audio/` and the table `clips.csv`."""

from dataclasses import replace
from pathlib import Path

from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import EVALUATION, NO_FOLD, Listing, Row, find_file, read_fold, read_listing, read_tags

TABLE = Path("clips.csv")
SPLITS = ("development", "evaluation")
REQUIRED = ("filename", "tags")
COLUMNS = ("filename", "fold", "tags", "group", "split")


def read(root: Path) -> Listing:
    """Read `clips.csv`. Without a column `fold`, or with an empty one, clips have no fold."""
    listing = read_listing(root, TABLE, REQUIRED, lambda cells: _read_row(root, cells), COLUMNS)
    development = [row for row in listing.rows if row.fold != EVALUATION]
    unfolded = [row for row in development if row.fold == NO_FOLD]
    if len(unfolded) == len(development):
        return listing
    missing = tuple(f"The clip `{row.clip}` of `{root / TABLE}` has no fold: give it one." for row in unfolded)
    return replace(listing, problems=listing.problems + missing)


def _read_row(root: Path, cells: dict[str, str]) -> Row:
    clip, path = find_file(root / "audio", cells["filename"])
    split = cells.get("split", SPLITS[0])
    if split not in SPLITS:
        raise ValueError(f"has split {split!r}, but it must be {' or '.join(SPLITS)}")
    fold = EVALUATION
    if split != SPLITS[1]:
        fold = read_fold(cells["fold"]) if cells.get("fold") else NO_FOLD
    return Row(clip, path, fold, read_tags(*cells["tags"].split(";")), cells.get("group") or clip)


LAYOUT = Layout(
    name="folder",
    files=f"{TABLE} (columns {', '.join(COLUMNS)}; fold, group and split are optional) with audio/",
    detect=lambda root: (root / TABLE).is_file(),
    read=read,
)
