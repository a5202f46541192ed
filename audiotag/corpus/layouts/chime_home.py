"""CHiME-Home (DCASE 2016 task 4) as it is published: refined lists, official folds, one small CSV per chunk."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from audiotag.audio.probe import audio_format
from audiotag.audio.read import AudioError
from audiotag.corpus.cells import read_text
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import EVALUATION, Listing, Row
from audiotag.downloads.published import Published, RemoteFile

TAG_NAMES = {
    "c": "child speech",
    "m": "adult male speech",
    "f": "adult female speech",
    "v": "video game / TV",
    "p": "percussive sounds",
    "b": "broadband noise",
    "o": "other identifiable sounds",
}
TAGS = tuple(TAG_NAMES)
NO_TAGS = ("S", "U")  # silence and unidentifiable: letters of the annotators that are not tags
CLIP_SECONDS = 4.0

DEVELOPMENT_LIST = "development_chunks_refined.csv"
FOLD_LIST = "development_chunks_refined_crossval_dcase2016.csv"
EVALUATION_LIST = "evaluation_chunks_refined.csv"
RAW_LISTS = ("development_chunks_raw.csv", "evaluation_chunks_raw.csv")
LISTS = (DEVELOPMENT_LIST, FOLD_LIST, EVALUATION_LIST, *RAW_LISTS)
MONO, STEREO = ".16kHz.wav", ".48kHz.wav"  # endings of a chunk's recordings


def list_folder(root: Path) -> Path | None:
    """Return the folder, `root` or `chime_home/` in it, that holds a development list of CHiME-Home."""
    for folder in (root, root / "chime_home"):
        if any((folder / name).is_file() for name in (DEVELOPMENT_LIST, FOLD_LIST)):
            return folder
    return None


def read(root: Path) -> Listing:
    """Read the refined lists and the chunk CSVs: development chunks in the order of their list, then evaluation chunks.

    The group is the 5-minute recording segment that a chunk was cut from.

    Args:
        root: The folder that holds the lists, or its parent that holds `chime_home/`.

    Raises:
        CorpusError: If a list is missing, malformed or contradicts another.
    """
    folder = list_folder(root)
    if folder is None:
        raise CorpusError(f"The folder `{root}` has no {DEVELOPMENT_LIST}: unpack chime_home.tar.gz there.")
    development, folds = _read_folds(folder)
    evaluation = _read_list(folder / EVALUATION_LIST, 2) if (folder / EVALUATION_LIST).exists() else []
    clips = development + [name for _, name in evaluation]
    twice = [clip for clip, times in Counter(clips).items() if times > 1]
    if twice:
        raise CorpusError(f"The chunk `{twice[0]}` is twice in the refined lists of `{folder}`: unpack them again.")
    folds += [EVALUATION] * len(evaluation)
    with ThreadPoolExecutor() as pool:  # thousands of small files: the latency of a cold or remote disk counts
        found = list(pool.map(_row_or_problem, [folder / "chunks"] * len(clips), clips, folds))
    rows = tuple(row for row in found if isinstance(row, Row))
    return Listing(folder, rows, tuple(problem for problem in found if isinstance(problem, str)), TAGS)


def read_names(folder: Path) -> list[str]:
    """Read the names of all chunks in the lists of a folder, the raw ones too, each once and sorted."""
    lists = [folder / name for name in (DEVELOPMENT_LIST, EVALUATION_LIST, *RAW_LISTS) if (folder / name).exists()]
    return sorted({name for path in lists for _, name in _read_list(path, 2)})


def _read_folds(folder: Path) -> tuple[list[str], list[int]]:
    """Names and folds of the development chunks."""
    names = [name for _, name in _read_list(folder / DEVELOPMENT_LIST, 2)]
    rows = _read_list(folder / FOLD_LIST, 3)
    if [name for _, name, _ in rows] != names:
        raise CorpusError(f"`{folder / FOLD_LIST}` has other chunks than {DEVELOPMENT_LIST}: unpack both again.")
    for line, _, fold in rows:
        if not re.fullmatch("[0-9]{1,9}", fold):
            raise CorpusError(
                f"Line {line} of `{folder / FOLD_LIST}` has fold {fold!r}, but it must be a whole number."
            )
    return names, [int(fold) for _, _, fold in rows]


def _read_list(path: Path, columns: int) -> list[tuple[Any, ...]]:
    """Rows of a list without header, as (line number, all cells but the id)."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != columns or not all(cells):
            form = ("id,chunkname", "id,chunkname,fold")[columns - 2]
            raise CorpusError(f"Line {number} of `{path}` is {line!r}, but must be `{form}`: unpack the list again.")
        rows.append((number, *cells[1:]))
    return rows


def _row_or_problem(folder: Path, clip: str, fold: int) -> Row | str:
    try:
        group, letters = _read_chunk(folder / f"{clip}.csv")
    except CorpusError as error:
        return str(error)
    tags = frozenset(letters) - frozenset(NO_TAGS)
    return Row(clip, folder / f"{clip}{MONO}", fold, tags, group, folder / f"{clip}{STEREO}")


def _read_chunk(path: Path) -> tuple[str, str]:
    """The segment a chunk was cut from, and the letters of its majority vote."""
    values = {}
    for line in read_text(path).splitlines():
        key, _, value = line.partition(",")
        values[key.strip()] = value.strip()
    for key in ("segmentname", "majorityvote", "chunkname"):
        if not values.get(key):
            raise CorpusError(f"The chunk file `{path}` has no value for `{key}`: unpack it again.")
    if values["chunkname"] != path.name.removesuffix(".csv"):
        raise CorpusError(f"The chunk file `{path}` is about chunk `{values['chunkname']}`: unpack it again.")
    unknown = set(values["majorityvote"]).difference(TAGS, NO_TAGS)
    if unknown:
        raise CorpusError(
            f"The chunk file `{path}` has the letter {min(unknown)!r} in `majorityvote`: unpack it again."
        )
    return values["segmentname"], values["majorityvote"]


def place(member: str, stereo: bool = False) -> str | None:
    """Leave the files of the archive that are needed where they are: lists, and each chunk's table and recording."""
    folder, _, file = member.rpartition("/")
    suffixes = (".csv", MONO, STEREO) if stereo else (".csv", MONO)
    is_chunk = folder == "chime_home/chunks" and file.endswith(suffixes) and not file.startswith(".")  # macOS adds ._*
    return member if is_chunk or (folder == "chime_home" and file in LISTS) else None


def problems_of(folder: Path, stereo: bool = False) -> list[str]:
    """List what a folder lacks according to its lists, one per line; every recording's header is read."""
    absent = [f"`{folder / name}` is missing" for name in LISTS if not (folder / name).is_file()]
    if absent:  # without the evaluation list a corpus can be read, but is not all of it
        return absent
    try:
        listing, names = read(folder), read_names(folder)
    except CorpusError as error:
        return list(error.problems)
    tables = [folder / "chunks" / f"{name}.csv" for name in names]
    recordings = [table.with_name(f"{table.stem}{end}") for table in tables for end in (MONO, STEREO)[: 1 + stereo]]
    with ThreadPoolExecutor() as pool:
        wrong = [problem for problem in pool.map(_recording_problem, recordings) if problem]
    return [*listing.problems, *(f"`{table}` is missing" for table in tables if not table.is_file()), *wrong]


def _recording_problem(path: Path) -> str | None:
    try:
        rate, channels = audio_format(path)
    except AudioError as error:
        return f"`{path}`: {error.reason}"
    wanted = (16_000, 1) if path.name.endswith(MONO) else (48_000, 2)
    return None if (rate, channels) == wanted else f"`{path}` has {channels} channels at {rate} Hz"


def published(stereo: bool = False) -> Published:
    """Return where the data set is downloaded from, without or with its stereo recordings at 48 kHz."""
    return Published(
        title="CHiME-Home",
        authors="Foster et al. 2015",
        licence="CC BY-NC-SA 3.0",
        page="https://archive.org/details/chime-home",
        files=(
            RemoteFile(
                "https://archive.org/download/chime-home/chime_home.tar.gz",
                "9ce9d584e229b465b3aa08db2d7fee67",
                4_162_513_717,
            ),
        ),
        tables=LISTS,
        unpacked=6 << 30 if stereo else 900 << 20,
        place=partial(place, stereo=stereo),
        problems=partial(problems_of, stereo=stereo),
    )


PUBLISHED = published()
LAYOUT = Layout(
    name="chime_home",
    files=f"the CHiME-Home layout ({DEVELOPMENT_LIST} and chunks/)",
    detect=lambda root: list_folder(root) is not None,
    read=read,
    fixed_seconds=CLIP_SECONDS,
    audio_folders=(),  # recordings of the raw lists are not used
    fixed_folds=True,
    tag_names=TAG_NAMES,
    missing_audio="unpack the audio of chime_home.tar.gz into chunks/ (python -m audiotag.chime_home does it)",
    missing_stereo="Unpack them (python -m audiotag.chime_home --stereo)",
    terms=f"These are recordings of {PUBLISHED.source}, made in people's homes for research: do not publish them or "
    "pass them on.",
    published=PUBLISHED,
)
