"""FSD50K as it is published: `FSD50K.dev_audio/`, `FSD50K.eval_audio/` and the tables in `FSD50K.ground_truth/`.

Source: E. Fonseca et al., "FSD50K: an open dataset of human-labeled sound events", 2022.
"""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

from audiotag.corpus.cells import read_text
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import FIXED_SPLIT, Listing, Row, RowError, find_file, read_listing, read_tags

TABLES = Path("FSD50K.ground_truth")
VOCABULARY = TABLES / "vocabulary.csv"
COLUMNS = ("fname", "labels")
SPLITS = {"train": "train", "val": "validation"}  # words of dev.csv
INFO = "FSD50K.metadata/{}_clips_info_FSD50K.json"  # who uploaded a clip, by its name


def read(root: Path) -> Listing:
    """Read the tables: tags in the order of the vocabulary, the group the uploader where the metadata are there.

    The clips of dev.csv train and validate, those of eval.csv are the test clips.
    """
    tags = _read_vocabulary(root / VOCABULARY)
    parts = [
        read_listing(
            root, TABLES / f"{part}.csv", columns, partial(_read_row, root, part, tags, _read_uploaders(root, part))
        )
        for part, columns in (("dev", (*COLUMNS, "split")), ("eval", COLUMNS))
    ]
    rows, problems = (tuple(one for part in parts for one in getattr(part, name)) for name in ("rows", "problems"))
    return Listing(root, rows, problems, tags)


def _read_row(root: Path, part: str, tags: tuple[str, ...], uploaders: dict[str, str], cells: dict[str, str]) -> Row:
    clip, audio = find_file(root / f"FSD50K.{part}_audio", f"{cells['fname']}.wav")
    own = read_tags(*cells["labels"].split(","))
    if unknown := sorted(own.difference(tags)):
        raise RowError("has the label {!r}, which " + VOCABULARY.name + " lacks: download the tables again", unknown[0])
    split = "test" if part == "eval" else SPLITS.get(cells["split"], "")
    if not split:
        raise RowError("has split {!r}, but it must be " + " or ".join(SPLITS), cells["split"])
    group = uploaders.get(cells["fname"], f"{part} {clip}")
    return Row(f"{audio.parent.name}/{clip}", audio, FIXED_SPLIT[split], own, group)


def _read_vocabulary(path: Path) -> tuple[str, ...]:
    """The names of the tags, the second cell of each line; the file has no header."""
    rows = [row for row in csv.reader(read_text(path).splitlines()) if row]
    if not rows or any(len(row) < 2 or not row[1].strip() for row in rows):
        raise CorpusError(f"The file `{path}` must have lines `number,label,mid`: download it again.")
    return tuple(row[1].strip() for row in rows)


def _read_uploaders(root: Path, part: str) -> dict[str, str]:
    """Who uploaded each clip; nothing where the metadata are not there, which a study can do without."""
    path = root / INFO.format(part)
    if not path.is_file():
        return {}
    try:
        found: dict[str, dict[str, Any]] = json.loads(read_text(path))
        return {name: str(info["uploader"]) for name, info in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"The file `{path}` does not name the uploader of each clip: download it again.") from error


LAYOUT = Layout(
    name="fsd50k",
    files=f"{TABLES}/ with FSD50K.dev_audio/ and FSD50K.eval_audio/",
    detect=lambda root: (root / TABLES).is_dir(),
    read=read,
    audio_folders=("FSD50K.dev_audio", "FSD50K.eval_audio"),
    fixed_folds=True,
    missing_audio="unpack all parts of the archives of audio",
    terms="These are recordings of FSD50K (Fonseca et al. 2022; CC BY 4.0 as a set, each clip under a licence of its "
    "own: CC0, CC BY, CC BY-NC or Sampling+).",
)
