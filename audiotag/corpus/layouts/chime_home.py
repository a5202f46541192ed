"""The CHiME-Home layout (DCASE 2016 task 4) on disk: the refined lists, the official folds, one small CSV a chunk."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.corpus.tables import EVALUATION, CorpusError, read_text

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
SYNTHETIC_MARK = "synthetic.json"  # the file that a made-up corpus in this layout carries


@dataclass(frozen=True, eq=False)
class Lists:
    """What the refined lists and the chunk CSVs say; the audio may be absent.

    Development clips come first, in the order of their list, then those of the evaluation list.

    Attributes:
        root: The folder that holds the lists.
        kind: "synthetic" or "chime_home".
        clips: (N,) chunk names.
        paths: (N,) the 16 kHz files, mono, not checked.
        stereo_paths: (N,) the 48 kHz files, not checked.
        targets: (N, K) float32, 0 or 1, K in the order of `TAGS`.
        folds: (N,) int64, `EVALUATION` for the evaluation split.
        groups: (N,) the 5-minute recording segment a chunk was cut from.
    """

    root: Path
    kind: str
    clips: tuple[str, ...]
    paths: tuple[Path, ...]
    stereo_paths: tuple[Path, ...]
    targets: np.ndarray
    folds: np.ndarray
    groups: np.ndarray


def is_chime_home(root: str | Path) -> bool:
    """Whether a folder, or `chime_home/` in it, holds a development list of CHiME-Home."""
    return _list_folder(Path(root)) is not None


def read_lists(root: str | Path) -> Lists:
    """Clips, folds, targets and groups of a folder in the CHiME-Home layout, without its audio.

    Args:
        root: The folder that holds the lists, or its parent that holds `chime_home/`.

    Raises:
        CorpusError: if a list or a chunk CSV is missing, malformed or contradicts another.
    """
    folder = _list_folder(Path(root))
    if folder is None:
        raise CorpusError(f"The folder `{root}` has no {DEVELOPMENT_LIST}: unpack chime_home.tar.gz there.")
    development, folds = _read_folds(folder)
    evaluation = _read_list(folder / EVALUATION_LIST, 2) if (folder / EVALUATION_LIST).exists() else []
    clips = tuple(development + [name for _, name in evaluation])
    _require_unique(clips, folder)
    with ThreadPoolExecutor() as pool:  # thousands of small files: the latency of a cold or remote disk counts
        found = list(pool.map(_chunk_or_error, (folder / "chunks" / f"{clip}.csv" for clip in clips)))
    chunks = [chunk for chunk in found if not isinstance(chunk, CorpusError)]
    problems = [str(error) for error in found if isinstance(error, CorpusError)]
    if problems:
        rest = f" ({len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise CorpusError(problems[0] + rest, problems)
    targets = np.array([[tag in letters for tag in TAGS] for _, letters in chunks], dtype=np.float32)
    return Lists(
        root=folder,
        kind="synthetic" if (folder / SYNTHETIC_MARK).exists() else "chime_home",
        clips=clips,
        paths=tuple(folder / "chunks" / f"{clip}.16kHz.wav" for clip in clips),
        stereo_paths=tuple(folder / "chunks" / f"{clip}.48kHz.wav" for clip in clips),
        targets=targets.reshape(len(clips), len(TAGS)),
        folds=np.array(folds + [EVALUATION] * len(evaluation), dtype=np.int64),
        groups=np.array([group for group, _ in chunks], dtype=np.str_),
    )


def read_names(folder: Path) -> list[str]:
    """The names of all chunks that the lists of a folder name, the raw ones too, each once and sorted.

    Raises:
        CorpusError: if a list is malformed.
    """
    lists = [folder / name for name in (DEVELOPMENT_LIST, EVALUATION_LIST, *RAW_LISTS) if (folder / name).exists()]
    return sorted({name for path in lists for _, name in _read_list(path, 2)})


def _list_folder(root: Path) -> Path | None:
    for folder in (root, root / "chime_home"):
        if any((folder / name).is_file() for name in (DEVELOPMENT_LIST, FOLD_LIST)):
            return folder
    return None


def _read_folds(folder: Path) -> tuple[list[str], list[int]]:
    """Names and folds of the development chunks; the fold list must repeat the development list, line for line."""
    names = [name for _, name in _read_list(folder / DEVELOPMENT_LIST, 2)]
    path = folder / FOLD_LIST
    rows = _read_list(path, 3)
    for number, (line, name, fold) in enumerate(rows):
        where = f"Line {line} of `{path}`"
        if number >= len(names) or name != names[number]:
            expected = f"`{names[number]}`" if number < len(names) else "no more chunks"
            raise CorpusError(f"{where} has `{name}`, but {DEVELOPMENT_LIST} has {expected}: unpack both lists again.")
        if not re.fullmatch("[0-9]{1,9}", fold):
            raise CorpusError(f"{where} has fold {fold!r}, but it must be a whole number of at least 0.")
    if len(rows) < len(names):
        raise CorpusError(
            f"The list `{path}` has {len(rows)} chunks, but {DEVELOPMENT_LIST} has {len(names)}: unpack both again."
        )
    return names, [int(fold) for _, _, fold in rows]


def _read_list(path: Path, columns: int) -> list[tuple]:
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


def _require_unique(clips: tuple[str, ...], folder: Path) -> None:
    seen: set[str] = set()
    for clip in clips:
        if clip in seen:
            raise CorpusError(f"The chunk `{clip}` is twice in the refined lists of `{folder}`: unpack them again.")
        seen.add(clip)


def _chunk_or_error(path: Path) -> tuple[str, str] | CorpusError:
    try:
        return _read_chunk(path)
    except CorpusError as error:
        return error


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
    letters = values["majorityvote"]
    for letter in letters:
        if letter not in TAGS + NO_TAGS:
            raise CorpusError(
                f"The chunk file `{path}` has the letter {letter!r} in `majorityvote`, but the letters are "
                f"{', '.join(TAGS + NO_TAGS)}: unpack it again."
            )
    return values["segmentname"], letters
