"""A first table for a folder of recordings: tags from the folders of classes or from a pattern of file names."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from audiotag.audio.find import find_audio
from audiotag.audio.read import AUDIO_SUFFIXES
from audiotag.corpus.corpus import Corpus, find_layout, to_corpus
from audiotag.corpus.errors import CorpusError, count, list_first
from audiotag.corpus.layouts import class_folders, folder
from audiotag.corpus.tables import NO_FOLD, Listing, Row, is_control, read_fold, read_tags
from audiotag.corpus.tag_names import SEPARATOR, separate_tags

FIELDS = ("tag", "group", "fold")
FORM = "{tag}, {group} and {fold} stand for text, * for any other, the rest for itself"

Fields = dict[str, list[str]]  # what a file's name tells: values by field


def new_corpus(root: Path, pattern: str | None = None, tag_separator: str | None = None) -> Corpus:
    """Make a corpus of all recordings in a folder, or in its `audio/`, whose table is yet to be written.

    Args:
        root: The folder.
        pattern: What the names of files tell; by default each tag is the name of a folder of recordings, where there
            are two or more.
        tag_separator: What separates tags within the name of a folder or a field, beside `;`.

    Raises:
        CorpusError: If the folder is a corpus already, has no recordings or names that no table can hold, or the
            pattern is wrong or does not fit all names.
    """
    if not root.is_dir():
        raise CorpusError(f"The folder `{root}` does not exist: name the folder of your recordings.")
    if (root / folder.TABLE).exists():
        raise CorpusError(f"The file `{root / folder.TABLE}` exists: take it away, or go on with it.")
    if (layout := find_layout(root)) not in (None, class_folders.LAYOUT):
        kind = layout.name.replace("_", "-")
        raise CorpusError(f"The folder `{root}` is a corpus in the layout {kind} already: no table is needed.")
    place = root / folder.AUDIO if (root / folder.AUDIO).is_dir() else root
    paths = find_audio(place)
    if not paths:
        kinds = ", ".join(sorted(suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES))
        raise CorpusError(f"There are no recordings in `{place}` ({kinds}): put some there.")
    names = [path.relative_to(place).as_posix() for path in paths]
    _check_names(names, place)
    told = _fields_of_names(names, pattern) if pattern is not None else _fields_of_folders(names)
    rows = [_row(name, path, fields) for name, path, fields in zip(names, paths, told, strict=True)]
    listing = separate_tags(Listing(root, tuple(rows)), tag_separator)
    if listing.problems:
        raise CorpusError(listing.problems[0], listing.problems)
    return to_corpus(folder.LAYOUT, listing)


def _check_names(names: Sequence[str], place: Path) -> None:
    wrong = [name for name in names if name != name.strip() or any(map(is_control, name))]
    if wrong:
        shown = list_first(map(repr, wrong))
        raise CorpusError(
            f"{count(len(wrong), 'file')} in `{place}` with a control character, or a space at an end, in the name, "
            f"which a table cannot hold: {shown}: rename."
        )


def _row(name: str, path: Path, fields: Fields) -> Row:
    group = "-".join(fields.get("group", ())) or name
    fold = read_fold(fields["fold"][0]) if "fold" in fields else NO_FOLD
    tags = read_tags(*(part for tag in fields.get("tag", ()) for part in tag.split(SEPARATOR)))
    return Row(name, path, fold, tags, group)


def _fields_of_folders(names: Sequence[str]) -> list[Fields]:
    """Take the first folder of each name as its tag, where recordings lie in two folders or more."""
    folders = [name.partition("/")[0] if "/" in name else None for name in names]
    if len(set(folders) - {None}) < 2:
        return [{} for _ in names]
    return [{} if tag is None else {"tag": [tag]} for tag in folders]


def _fields_of_names(names: Sequence[str], pattern: str) -> list[Fields]:
    read = read_pattern(pattern)
    found = [read(name) for name in names]
    if unfit := [f"`{name}`" for name, fields in zip(names, found, strict=True) if fields is None]:
        shown = list_first(unfit)
        raise CorpusError(
            f"--pattern {pattern} does not fit {len(unfit)} of {len(names)} names: {shown}. In a pattern {FORM}."
        )
    return [fields for fields in found if fields is not None]


def read_pattern(pattern: str) -> Callable[[str], Fields | None]:
    """Make a function from a pattern that takes a file's name apart; None where the name does not fit.

    A field, or `*`, stands for one character or more, as few as possible, and for no `/`. Without a `/` the pattern is
    one of the file's own name, else of the whole path; of the suffix only if it has one itself.

    Raises:
        CorpusError: For a pattern without a meaning.
    """
    parts = re.split(r"(\{[^{}]*\}|\*)", pattern)
    fields, between = parts[1::2], parts[2:-1:2]
    wrong = next((part for part in fields if part != "*" and part[1:-1] not in FIELDS), None)
    if wrong or re.search("[{}]", "".join(parts[::2])):
        raise CorpusError(f"--pattern is {pattern!r}, in which {wrong or 'a brace'} means nothing: {FORM}.")
    if not all(between):
        raise CorpusError(f"--pattern is {pattern!r}, where nothing separates two fields: write what stands between.")
    if fields.count("{fold}") > 1:
        raise CorpusError(f"--pattern is {pattern!r}, but a clip has one fold: write {{fold}} once.")
    wanted = [field.strip("{}") for field in fields]
    form = re.compile("".join("([^/]+?)" if place % 2 else re.escape(part) for place, part in enumerate(parts)))
    with_suffix = Path(pattern).suffix.lower() in AUDIO_SUFFIXES

    def read(name: str) -> Fields | None:
        path = Path(name if with_suffix else name.removesuffix(Path(name).suffix))
        found = form.fullmatch(path.as_posix() if "/" in pattern else path.name)
        if found is None:
            return None
        values: Fields = {}
        for field, value in zip(wanted, found.groups(), strict=True):
            values.setdefault(field, []).append(value)
        if "fold" in values and not values["fold"][0].isdecimal():
            return None
        return values

    return read
