"""The names of tags: what separates them within a cell, and what about them looks like a mistake."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from audiotag.corpus.errors import CorpusError, count, list_first, name_first
from audiotag.corpus.tables import Listing, Row

SEPARATOR = ";"  # always separates
LIKELY = ("|", ",")  # what else may have been meant to
UNKNOWN = "?"  # before a tag of which nobody knows whether the clip has it
LONGEST = 100  # characters of a tag; MLflow's names of metrics end at 250
NO_TAG = {"nan", "none", "null", "n/a", "<na>"}  # what programs write into an empty cell


def separate_tags(listing: Listing, asked: str | None = None) -> Listing:
    """Separate the tags of rows by what a user asks for, else by what the listing says or its rows tell.

    Raises:
        CorpusError: Where one is asked for and the tags of the layout are fixed.
    """
    if listing.tags is not None:
        if asked:
            raise CorpusError(f"The tags of `{listing.root}` are those of its layout: leave --tag-separator out.")
        return listing
    separator = asked or listing.tag_separator
    if separator is None:
        separator, note = _find_separator(listing.rows)
        listing = replace(listing, notes=listing.notes + note)
        warnings = tuple(filter(None, (_undecided(listing.rows, likely) for likely in LIKELY if likely != separator)))
        listing = replace(listing, warnings=listing.warnings + warnings)
    rows = [_separated(row, separator) for row in listing.rows] if separator else listing.rows
    return _without_long_tags(_mark_unknown(replace(listing, rows=tuple(rows))))


def _separated(row: Row, separator: str) -> Row:
    tags = {part.strip() for tag in row.tags for part in tag.split(separator)} - {""}
    return row if tags == row.tags else replace(row, tags=frozenset(tags))


def _mark_unknown(listing: Listing) -> Listing:
    """Take `?` off the tags of which a table says that they are unknown; leave out rows that contradict themselves."""
    if not any(tag.startswith(UNKNOWN) for row in listing.rows for tag in row.tags):
        return listing
    rows, wrong = [], []
    for row in listing.rows:
        if not any(tag.startswith(UNKNOWN) for tag in row.tags):
            rows.append(row)
            continue
        unknown = frozenset(_bare(tag) for tag in row.tags if tag.startswith(UNKNOWN)) | row.unknown
        known = frozenset(tag for tag in row.tags if not tag.startswith(UNKNOWN))
        if "" in unknown or unknown & known:
            wrong.append(f"`{row.clip}`")
        else:
            rows.append(replace(row, tags=known, unknown=unknown))
    clips = sum(bool(row.unknown) for row in rows)
    notes = (f"`{UNKNOWN}` marks tags of which it is unknown whether a clip has them, in {count(clips, 'clip')}",)
    problems = (
        f"{count(len(wrong), 'clip')} of `{listing.root}` with a `{UNKNOWN}` that stands before no tag, or before one "
        f"that the clip has, too: {list_first(wrong)}; write `{UNKNOWN}tag` for an unknown tag, `tag` for one it has.",
    )
    return replace(
        listing,
        rows=tuple(rows),
        notes=listing.notes + notes * bool(clips),
        problems=listing.problems + problems * bool(wrong),
    )


def _bare(tag: str) -> str:
    return tag.removeprefix(UNKNOWN).strip()


def _find_separator(rows: Sequence[Row]) -> tuple[str, tuple[str, ...]]:
    """Find what separates tags where none are separated by `;` and it is plain to see, and say so.

    A vertical bar is in no name. A comma may be ("Speech, male"): it separates where each part is a tag of its own in
    another row.
    """
    if any(len(row.tags) > 1 for row in rows):
        return "", ()
    alone = {_bare(tag) for row in rows for tag in row.tags}
    for likely in LIKELY:
        joined = {tag for tag in alone if likely in tag}
        parts = {_bare(part.strip()) for tag in joined for part in tag.split(likely)} - {""}
        if joined and (likely == LIKELY[0] or parts <= alone - joined):
            clips = sum(any(likely in tag for tag in row.tags) for row in rows)
            return likely, (f"`{likely}` separates tags, in {count(clips, 'clip')}: {name_first(sorted(joined))}",)
    return "", ()


def _undecided(rows: Sequence[Row], likely: str) -> str:
    """Warn of tags that hold what may have been meant to separate them."""
    joined = sorted({tag for row in rows for tag in row.tags if likely in tag})
    if not joined:
        return ""
    clips = sum(any(likely in tag for tag in row.tags) for row in rows)
    return (
        f"{count(len(joined), 'tag')} with `{likely}` in {count(clips, 'clip')}: {name_first(joined)}; only "
        f"`{SEPARATOR}` separates tags. Give --tag-separator '{likely}', or name the column `tags{likely}`, if it does "
        f"too; '{SEPARATOR}', or `tags{SEPARATOR}`, if not"
    )


def _without_long_tags(listing: Listing) -> Listing:
    """Leave out rows with tags that are too long for a name, and say so."""
    long = [row for row in listing.rows if max(map(len, row.tags | row.unknown), default=0) > LONGEST]
    if not long:
        return listing
    longest = max(len(tag) for row in long for tag in row.tags | row.unknown)
    problem = (
        f"{count(len(long), 'clip')} of `{listing.root}` with a tag of up to {longest} characters: "
        f"{name_first(row.clip for row in long)}; {LONGEST} are the most: separate tags by `{SEPARATOR}`."
    )
    rows = tuple(row for row in listing.rows if row not in long)
    return replace(listing, rows=rows, problems=(*listing.problems, problem))


def odd_tags(tags: Iterable[str]) -> list[str]:
    """Warn of tags that are no words, and of tags that look like one and the same."""
    tags, warnings = list(tags), []
    if none := [tag for tag in tags if tag.casefold() in NO_TAG]:
        warnings.append(f"{count(len(none), 'tag')} that programs write for an empty cell: {name_first(none)}")
    alike = defaultdict(list)
    for tag in tags:
        alike["".join(c for c in unicodedata.normalize("NFKC", tag).casefold() if c.isalnum())].append(tag)
    if sets := [same for same in alike.values() if len(same) > 1]:
        shown = list_first([" = ".join(map(_with_form, same)) for same in sets])
        warnings.append(f"{count(len(sets), 'set')} of tags that differ little: {shown}")
    return warnings


def _with_form(tag: str) -> str:
    """A tag with a word on how its accents are written, if not as most programs do."""
    return f"`{tag}`{'' if unicodedata.is_normalized('NFC', tag) else ' (with decomposed accents)'}"
