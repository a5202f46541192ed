"""A folder of a user's own recordings: `audio/` and the table `clips.csv`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from audiotag.corpus.errors import count, list_first
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import (
    EVALUATION,
    FIXED_SPLIT,
    NO_FOLD,
    TRAIN,
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
SPLITS = ("development", "evaluation")  # of a corpus with folds
SHORT = {"val": "validation", "valid": "validation", "training": "train"}  # as other tables have it
REQUIRED = ("filename", "tags")
COLUMNS = ("filename", "fold", "tags", "group", "split")
FINDER = "._"  # what names of files begin with that macOS writes beside others


def read(root: Path) -> Listing:
    """Read `clips.csv`. Without a column `fold`, or with an empty one, clips have no fold."""
    elsewhere = () if (root / AUDIO).is_dir() else (root,)
    finders, fixed = 0, set[str]()  # clips in a part of a fixed split

    def read_row(cells: dict[str, str]) -> Row | None:
        nonlocal finders
        if PurePosixPath(cells["filename"].replace("\\", "/")).name.startswith(FINDER):
            finders += 1
            return None
        row = _read_row(root, cells, elsewhere)
        if row.fold == FIXED_SPLIT.get(_split(cells)):
            fixed.add(row.clip)
        return row

    listing = read_listing(root, TABLE, REQUIRED, read_row, COLUMNS)
    notes = listing.notes
    if finders:
        notes += (f"{count(finders, 'row')} passed over with a file `{FINDER}*`, which macOS writes beside others",)
    development = [row for row in listing.rows if row.fold != EVALUATION]
    unfolded = [f"`{row.clip}`" for row in development if row.fold == NO_FOLD]
    problems = list(listing.problems)
    if fixed:
        others = [f"`{row.clip}`" for row in listing.rows if row.clip not in fixed]
        problems += _split_problems(root / TABLE, others, any(row.fold == TRAIN for row in listing.rows))
    elif 0 < len(unfolded) < len(development):
        shown = list_first(unfolded)
        problems.append(f"{count(len(unfolded), 'clip')} of `{root / TABLE}` without a fold: {shown}; give each one.")
    return replace(listing, problems=tuple(problems), notes=notes, tag_separator=listing.tag_separator or None)


def _split_problems(table: Path, others: list[str], has_training: bool) -> Iterator[str]:
    """What is wrong with a fixed split of which some clips (`others`) are no part."""
    parts = ", ".join(FIXED_SPLIT)
    if others:
        yield (
            f"{count(len(others), 'clip')} of `{table}` in none of {parts}, in which others are: {list_first(others)}; "
            "give each clip one of these."
        )
    if not has_training:
        yield f"No clip of `{table}` is in `train`, though others are in a part of a fixed split ({parts}): add some."


def _split(cells: dict[str, str]) -> str:
    """The part of the corpus that a row names; development clips where it has no such column."""
    split = cells.get("split", SPLITS[0])
    return SHORT.get(split, split)


def _read_row(root: Path, cells: dict[str, str], elsewhere: tuple[Path, ...]) -> Row:
    clip, path = find_file(root / AUDIO, cells["filename"], *elsewhere)
    split = _split(cells)
    if split not in (*SPLITS, *FIXED_SPLIT):
        text = f"has split {{!r}}, but it must be {' or '.join(SPLITS)}, or one of {', '.join(FIXED_SPLIT)}"
        raise RowError(text, split)
    if split in FIXED_SPLIT and cells.get("fold"):
        raise RowError(
            "has fold {!r} and split {!r}, but a fixed split has no folds: take one out", cells["fold"], split
        )
    fold = FIXED_SPLIT.get(split, EVALUATION)
    if split == SPLITS[0]:
        fold = read_fold(cells["fold"]) if cells.get("fold") else NO_FOLD
    return Row(clip, path, fold, read_tags(*cells["tags"].split(";")), cells.get("group") or clip)


LAYOUT = Layout(
    name="folder",
    files=f"{TABLE} (columns {', '.join(COLUMNS)}; fold, group and split are optional) with {AUDIO}/",
    detect=lambda root: (root / TABLE).is_file(),
    read=read,
)
