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
from audiotag.downloads.published import Published, RemoteFile

TABLES = Path("FSD50K.ground_truth")
VOCABULARY = TABLES / "vocabulary.csv"
COLUMNS = ("fname", "labels")
SPLITS = {"train": "train", "val": "validation"}  # words of dev.csv
INFO = "FSD50K.metadata/{}_clips_info_FSD50K.json"  # who uploaded a clip, by its name

RECORD = "https://zenodo.org/records/4060432"
PART = 3 << 30  # bytes of all parts of an archive but the last
PUBLISHED = Published(
    title="FSD50K",
    authors="Fonseca et al. 2022",
    licence="CC BY 4.0 as a set, each clip under a licence of its own: CC0, CC BY, CC BY-NC or Sampling+",
    page=RECORD,
    files=tuple(
        RemoteFile(f"{RECORD}/files/FSD50K.{name}", checksum, size)
        for name, checksum, size in (
            ("ground_truth.zip", "ca27382c195e37d2269c4c866dd73485", 334_701),
            ("metadata.zip", "b9ea0c829a411c1d42adb9da539ed237", 6_700_838),
            ("doc.zip", "3516162b82dc2945d3e7feba0904e800", 6_984),
            ("dev_audio.z01", "faa7cf4cc076fc34a44a479a5ed862a3", PART),
            ("dev_audio.z02", "8f9b66153e68571164fb1315d00bc7bc", PART),
            ("dev_audio.z03", "1196ef47d267a993d30fa98af54b7159", PART),
            ("dev_audio.z04", "d088ac4e11ba53daf9f7574c11cccac9", PART),
            ("dev_audio.z05", "81356521aa159accd3c35de22da28c7f", PART),
            ("dev_audio.zip", "c480d119b8f7a7e32fdb58f3ea4d6c5a", 2_306_663_327),
            ("eval_audio.z01", "3090670eaeecc013ca1ff84fe4442aeb", PART),
            ("eval_audio.zip", "6fa47636c3a3ad5c7dfeba99f2637982", 3_037_675_767),
        )
    ),
    tables=tuple((TABLES / f"{part}.csv").as_posix() for part in ("dev", "eval")),
    unpacked=34_500_000_000,  # 108.3 hours at 44.1 kHz, 16 bit
)


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
    missing_audio="unpack all parts of the archives of audio (python -m audiotag.corpus get fsd50k does it)",
    terms=f"These are recordings of {PUBLISHED.source}.",
    published=PUBLISHED,
)
