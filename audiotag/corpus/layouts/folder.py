"""A folder of a user's own recordings: `audio/` and the table `clips.csv`."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from audiotag.corpus.errors import count, list_first
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import (
    EVALUATION,
    NO_FOLD,
    Listing,
    Row,
    RowError,
    find_file,
    read_fold,
    read_listing,
    read_tags,
)

TABLE = Path("clips.csv")
AUDIO = "audio"
SPLITS = ("development", "evaluation")
REQUIRED = ("filename", "tags")
COLUMNS = ("filename", "fold", "tags", "group", "split")
FINDER = "._"  # what names of files begin with that macOS writes beside others


def read(root: Path) -> Listing:
    """Read `clips.csv`. Without a column `fold`, or with an empty one, clips have no fold."""
    elsewhere = () if (root / AUDIO).is_dir() else (root,)
    finders = 0

    def read_row(cells: dict[str, str]) -> Row | None:
        nonlocal finders
        if PurePosixPath(cells["filename"].replace("\\", "/")).name.startswith(FINDER):
            finders += 1
            return None
        return _read_row(root, cells, elsewhere)

    listing = read_listing(root, TABLE, REQUIRED, read_row, COLUMNS)
    notes = listing.notes
    if finders:
        notes += (f"{count(finders, 'row')} passed over with a file `{FINDER}*`, which macOS writes beside others",)
    development = [row for row in listing.rows if row.fold != EVALUATION]
    unfolded = [f"`{row.clip}`" for row in development if row.fold == NO_FOLD]
    problems = list(listing.problems)
    if 0 < len(unfolded) < len(development):
        shown = list_first(unfolded)
        problems.append(f"{count(len(unfolded), 'clip')} of `{root / TABLE}` without a fold: {shown}; give each one.")
    return replace(listing, problems=tuple(problems), notes=notes, tag_separator=listing.tag_separator or None)


def _read_row(root: Path, cells: dict[str, str], elsewhere: tuple[Path, ...]) -> Row:
    clip, path = find_file(root / AUDIO, cells["filename"], *elsewhere)
    split = cells.get("split", SPLITS[0])
    if split not in SPLITS:
        raise RowError(f"has split {{!r}}, but it must be {' or '.join(SPLITS)}", split)
    fold = EVALUATION
    if split != SPLITS[1]:
        fold = read_fold(cells["fold"]) if cells.get("fold") else NO_FOLD
    return Row(clip, path, fold, read_tags(*cells["tags"].split(";")), cells.get("group") or clip)


LAYOUT = Layout(
    name="folder",
    files=f"{TABLE} (columns {', '.join(COLUMNS)}; fold, group and split are optional) with {AUDIO}/",
    detect=lambda root: (root / TABLE).is_file(),
    read=read,
)
