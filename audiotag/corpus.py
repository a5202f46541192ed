"""A corpus: clips, their tags, folds and groups. Opens CHiME-Home and a folder of a user's own."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from audiotag import chime_home
from audiotag.audio import AudioError, audio_seconds, file_digests
from audiotag.chime_home import EVALUATION, CorpusError, read_text

MAX_CLIP_SECONDS = 10.0  # longer clips of a folder are cut
SPLITS = ("development", "evaluation")
REQUIRED = ("filename", "fold", "tags")
COLUMNS = (*REQUIRED, "group", "split")
FORMS = (
    f"the CHiME-Home layout ({chime_home.DEVELOPMENT_LIST} and chunks/), or clips.csv (columns {', '.join(REQUIRED)}; "
    "optional group, split) with audio/"
)
REMEDIES = {  # of missing audio, by kind
    "folder": "add the files to audio/, or take their rows out of clips.csv",
    "chime_home": "unpack the audio of chime_home.tar.gz into chunks/",
    "synthetic": "delete the folder and write the synthetic corpus again",
}


@dataclass(frozen=True, eq=False)
class Corpus:
    """Clips with their targets, folds and groups. N clips, K tags.

    Attributes:
        name: The name of the root folder.
        kind: "chime_home", "synthetic" or "folder".
        root: The folder that holds the lists.
        tags: (K,).
        clips: (N,) names, unique.
        paths: (N,) audio files.
        targets: (N, K) float32, 0 or 1.
        folds: (N,) int64, `EVALUATION` for the evaluation split.
        groups: (N,) the recording each clip was cut from.
        clip_seconds: The length to which every clip is cut or padded (s).
        stereo_paths: (N,) where each clip's stereo recording would be; not checked, see stereo.py.
    """

    name: str
    kind: str
    root: Path
    tags: tuple[str, ...]
    clips: tuple[str, ...]
    paths: tuple[Path, ...]
    targets: np.ndarray
    folds: np.ndarray
    groups: np.ndarray
    clip_seconds: float
    stereo_paths: tuple[Path, ...] = ()

    @property
    def fold_numbers(self) -> tuple[int, ...]:
        """The folds of the development split, sorted."""
        return tuple(int(fold) for fold in np.unique(self.folds) if fold != EVALUATION)

    @property
    def development(self) -> np.ndarray:
        """Indices of the development clips, int64."""
        return np.flatnonzero(self.folds != EVALUATION)

    @property
    def evaluation(self) -> np.ndarray:
        """Indices of the evaluation clips, int64; empty if there is no such split."""
        return np.flatnonzero(self.folds == EVALUATION)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """(N,) hash of the bytes of each audio file, 32 hex digits; reads every file once."""
        return file_digests(self.paths)

    @cached_property
    def stereo_digests(self) -> tuple[str, ...]:
        """(N,) as `digests`, of the stereo recordings; the same where they are the same files."""
        return self.digests if self.stereo_paths == self.paths else file_digests(self.stereo_paths)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with the content of the corpus, but not with the place where it lies."""
        content = {
            "tags": self.tags,
            "clips": self.clips,
            "targets": self.targets.astype(int).tolist(),
            "folds": self.folds.tolist(),
            "groups": self.groups.tolist(),
            "clip_seconds": float(self.clip_seconds),
            "digests": self.digests,
        }
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()

    def unscored_cells(self) -> list[tuple[str, int]]:
        """The (tag, fold) pairs without both a positive and a negative clip: their EER is undefined."""
        scored = self._scored()
        return [
            (tag, fold)
            for k, tag in enumerate(self.tags)
            for row, fold in enumerate(self.fold_numbers)
            if not scored[row, k]
        ]

    def _scored(self) -> np.ndarray:
        """(folds, K) bool: the fold has both classes of the tag."""
        parts = [self.targets[self.folds == fold] for fold in self.fold_numbers]
        return np.array([(part.min(axis=0) < part.max(axis=0)) for part in parts])


def open_corpus(path: str | Path) -> Corpus:
    """Open a corpus on disk, and check everything that can be checked without decoding audio.

    Args:
        path: A folder in the CHiME-Home layout, the parent of such a `chime_home/`, or a folder with `clips.csv` and
            `audio/`.

    Raises:
        CorpusError: if the folder is in neither form, a table is malformed, an audio file is missing or unreadable, or
            the folds cannot be scored.
    """
    root = Path(os.path.abspath(path))  # "." has a name then; symbolic links keep theirs
    if not root.exists():
        raise CorpusError(f"The corpus `{path}` does not exist: give a folder that holds {FORMS}.")
    if (root / "clips.csv").is_file():
        corpus = _read_folder(root)
    elif chime_home.is_chime_home(root):
        corpus = _read_chime_home(root)
    else:
        raise CorpusError(f"The corpus `{path}` is in neither form: give a folder that holds {FORMS}.")
    _require_scorable(corpus)
    _require_files(corpus)
    seconds = _durations(corpus.paths)
    if corpus.kind == "folder":
        corpus = replace(corpus, clip_seconds=_clip_seconds(seconds))
    return corpus


def _clip_seconds(seconds: list[float]) -> float:
    """The length to which a folder's clips are cut or padded: that of the longest, a few (5 %) outliers aside."""
    return min(MAX_CLIP_SECONDS, float(np.quantile(seconds, 0.95, method="higher")))


def _read_chime_home(root: Path) -> Corpus:
    lists = chime_home.read_lists(root)
    return Corpus(
        name=lists.root.name,
        kind=lists.kind,
        root=lists.root,
        tags=chime_home.TAGS,
        clips=lists.clips,
        paths=lists.paths,
        targets=lists.targets,
        folds=lists.folds,
        groups=lists.groups,
        clip_seconds=chime_home.CLIP_SECONDS,
        stereo_paths=lists.stereo_paths,
    )


def _read_folder(root: Path) -> Corpus:
    rows = _read_rows(root / "clips.csv")
    tags = tuple(sorted({tag for row in rows for tag in row.tags}))
    targets = np.array([[tag in row.tags for tag in tags] for row in rows], dtype=np.float32)
    paths = tuple(root / "audio" / row.filename for row in rows)
    return Corpus(
        name=root.name,
        kind="folder",
        root=root,
        tags=tags,
        clips=tuple(row.filename for row in rows),
        paths=paths,
        targets=targets.reshape(len(rows), len(tags)),
        folds=np.array([row.fold for row in rows], dtype=np.int64),
        groups=np.array([row.group for row in rows], dtype=np.str_),
        clip_seconds=MAX_CLIP_SECONDS,
        stereo_paths=paths,
    )


@dataclass(frozen=True)
class _Row:
    filename: str
    fold: int
    tags: frozenset[str]
    group: str


def _read_rows(path: Path) -> list[_Row]:
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    rows: list[_Row] = []
    seen: set[str] = set()
    try:
        header = _read_header(next(reader, []), path)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"Line {reader.line_num} of `{path}`"
            if len(cells) != len(header):
                raise CorpusError(f"{where} has {len(cells)} cells, but the header has {len(header)}: correct it.")
            row = _read_row(dict(zip(header, (cell.strip() for cell in cells), strict=True)), where)
            if row.filename in seen:
                raise CorpusError(f"{where} has the filename `{row.filename}` again: take one of the two rows out.")
            seen.add(row.filename)
            rows.append(row)
    except csv.Error as error:
        raise CorpusError(f"Line {reader.line_num} of `{path}` is not CSV ({error}): correct the quotes.") from error
    return rows


def _read_header(cells: list[str], path: Path) -> list[str]:
    header = [cell.strip() for cell in cells]
    for column in header:
        if column not in COLUMNS:
            raise CorpusError(f"Unknown column {column!r} in `{path}`: the columns are {', '.join(COLUMNS)}.")
        if header.count(column) > 1:
            raise CorpusError(f"The column `{column}` is in `{path}` twice: take one out.")
    for column in REQUIRED:
        if column not in header:
            raise CorpusError(f"The column `{column}` is missing in the first line of `{path}`: add it.")
    return header


def _read_row(cells: dict[str, str], where: str) -> _Row:
    filename = PurePosixPath(cells["filename"])
    if not filename.name or filename.is_absolute() or ".." in filename.parts:
        raise CorpusError(f"{where} has filename {cells['filename']!r}, but it must name a file inside audio/.")
    split = cells.get("split", SPLITS[0])
    if split not in SPLITS:
        raise CorpusError(f"{where} has split {split!r}, but it must be {' or '.join(SPLITS)}.")
    fold = str(EVALUATION) if split == "evaluation" else cells["fold"]
    if split == "development" and not re.fullmatch("[0-9]{1,9}", fold):
        raise CorpusError(f"{where} has fold {fold!r}, but it must be a whole number of at least 0.")
    tags = frozenset(tag.strip() for tag in cells["tags"].split(";")) - {""}
    return _Row(filename.as_posix(), int(fold), tags, cells.get("group") or filename.as_posix())


def _require_scorable(corpus: Corpus) -> None:
    where = f"the corpus `{corpus.root}`"
    if not corpus.clips:
        raise CorpusError(f"There are no clips in {where}: list at least one clip a fold and tag.")
    if not corpus.tags:
        raise CorpusError(f"There are no tags in {where}: write the tags of each clip into the column `tags`.")
    folds = corpus.fold_numbers
    if len(folds) < 2:
        raise CorpusError(f"The number of development folds is {len(folds)} in {where}, but must be at least 2.")
    scored = corpus._scored()
    for fold, row in zip(folds, scored, strict=True):
        if not row.any():
            raise CorpusError(
                f"Fold {fold} has one class only in {where} (no tag has a clip with it and one without it), so its EER "
                "is undefined: merge it with another fold."
            )
    for tag, column in zip(corpus.tags, scored.T, strict=True):
        if not column.any():
            raise CorpusError(
                f"Tag `{tag}` cannot be scored in any fold of {where} (none has a clip with it and a clip without it): "
                "take the tag out, or add clips."
            )


def _require_files(corpus: Corpus) -> None:
    missing = [path for path in corpus.paths if not os.path.isfile(path)]  # Path's own raises for impossible names
    if missing:
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CorpusError(f"Missing audio: `{missing[0]}`{rest} of {len(corpus.paths)} files: {REMEDIES[corpus.kind]}.")


def _durations(paths: Sequence[Path]) -> list[float]:
    """Seconds of every file, from the headers."""
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(_seconds_or_error, paths))
    errors = [result for result in results if isinstance(result, AudioError)]
    if errors:
        shown = ", ".join(f"`{error.path}` ({error.reason})" for error in errors[:3])
        rest = f" and {len(errors) - 3} more" if len(errors) > 3 else ""
        raise CorpusError(
            f"Unusable audio, {len(errors)} of {len(paths)} files: {shown}{rest}: replace them, or take them out."
        )
    return [result for result in results if not isinstance(result, AudioError)]


def _seconds_or_error(path: Path) -> float | AudioError:
    try:
        return audio_seconds(path)
    except AudioError as error:
        return error
