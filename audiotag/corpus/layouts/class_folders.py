"""Recordings in folders of classes, without a table: `dog/*.wav`, or `train/dog/*.wav` and `test/dog/*.wav`."""

from pathlib import Path

from audiotag.audio.find import find_audio
from audiotag.audio.read import AUDIO_SUFFIXES
from audiotag.corpus.errors import CorpusError, count, list_first
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import FIXED_SPLIT, NO_FOLD, Listing, Row

PARTS = {"train": ("train", "training"), "validation": ("validation", "valid", "val"), "test": ("test", "testing")}
LEAST = 2  # folders with recordings that look like classes


def detect(root: Path) -> bool:
    """Tell whether there are training and test folders of classes, or else several folders with recordings in them."""
    parts = _find_parts(root)
    if "train" in parts and "test" in parts:
        return bool(_classes(parts["train"]))
    return not parts and len(_classes(root)) >= LEAST


def read(root: Path) -> Listing:
    """Read the folders: the tag is the class. Without training and test folders clips have no fold.

    Raises:
        CorpusError: Where another part has a class that training lacks.
    """
    if not (parts := _find_parts(root)):
        return Listing(root, tuple(row for name in _classes(root) for row in _rows(root, root / name, NO_FOLD)))
    known = _classes(parts["train"])
    for part, folder in parts.items():
        if strange := [f"`{name}`" for name in _classes(folder) if name not in known]:
            raise CorpusError(
                f"{count(len(strange), 'folder')} of `{folder}` without one in {parts['train'].name}/ ({part} clips of "
                f"a class that nothing is trained on): {list_first(strange)}; take them out, or rename."
            )
    rows = [
        row for part, folder in parts.items() for name in known for row in _rows(root, folder / name, FIXED_SPLIT[part])
    ]
    return Listing(root, tuple(rows), tags=tuple(known))


def _rows(root: Path, folder: Path, fold: int) -> list[Row]:
    names = {path: path.relative_to(root).as_posix() for path in find_audio(folder)}
    return [Row(name, path, fold, frozenset([folder.name]), name) for path, name in names.items()]


def _find_parts(root: Path) -> dict[str, Path]:
    """The folders of a fixed split that are there."""
    found = {
        part: next((root / name for name in names if (root / name).is_dir()), None) for part, names in PARTS.items()
    }
    return {part: folder for part, folder in found.items() if folder is not None}


def _classes(folder: Path) -> list[str]:
    """The names of the folders that hold recordings, sorted; names with a dot or an underscore in front are none."""
    try:
        own = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
        return [path.name for path in own if any(file.suffix.lower() in AUDIO_SUFFIXES for file in path.iterdir())]
    except OSError:
        return []


LAYOUT = Layout(
    name="class_folders",
    files="a folder per class, in train/ and test/ or not",
    detect=detect,
    read=read,
    audio_folders=(),  # all of them are read
)
