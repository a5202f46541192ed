"""A corpus: clips, their tags, folds and groups. Opens CHiME-Home, public sets and a folder of a user's own."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from audiotag.audio.read import AudioError, AudioFacts, file_digests
from audiotag.corpus.audio_scan import MAX_CLIP_SECONDS, Progress, bad_audio_error, common_seconds, inspect_clips
from audiotag.corpus.layouts import chime_home
from audiotag.corpus.layouts import folder as folder_corpus
from audiotag.corpus.layouts import public as public_layouts
from audiotag.corpus.tables import EVALUATION, NO_FOLD, CorpusError, Listing

NEARLY_SILENT = 1e-4  # peak: 3 steps of 16 bits, -80 dB
FIXED_LENGTH = ("chime_home", "synthetic")  # kinds
READERS: dict[Path, Callable[[Path], Listing]] = {
    folder_corpus.TABLE: folder_corpus.read_folder,
    public_layouts.ESC50_TABLE: public_layouts.read_esc50,
    public_layouts.URBANSOUND8K_TABLE: public_layouts.read_urbansound8k,
}
FORMS = (
    f"the CHiME-Home layout ({chime_home.DEVELOPMENT_LIST} and chunks/), or clips.csv "
    f"(columns {', '.join(folder_corpus.COLUMNS)}; fold, group and split are optional) with audio/, or "
    f"{public_layouts.ESC50_TABLE} or {public_layouts.URBANSOUND8K_TABLE} with audio/"
)
PROPOSE = "python -m audiotag.corpus folds PATH proposes some"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Clips with their targets, folds and groups. N clips, K tags.

    Attributes:
        name: The name of the root folder.
        kind: "chime_home", "synthetic", "folder", "esc50" or "urbansound8k".
        root: The folder that holds the lists.
        tags: (K,).
        clips: (N,) names, unique.
        paths: (N,) audio files.
        targets: (N, K) float32, 0 or 1.
        folds: (N,) int64, `EVALUATION` for the evaluation split.
        groups: (N,) the recording each clip was cut from.
        clip_seconds: The length to which every clip is cut or padded (s).
        stereo_paths: (N,) where each clip's stereo recording would be, checked on request.
        skipped: The clips that were left out because of their audio, each with the reason.
        silent: The clips that are as good as silent; they are used.
        known_digests: (N,) `digests`, where the files have been read already.
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
    skipped: dict[str, str] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    known_digests: tuple[str, ...] = ()

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
        """(N,) hash of the bytes of each audio file, 32 hex digits; reads every file once, unless that was done."""
        return self.known_digests or file_digests(self.paths)

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


@dataclass(frozen=True, eq=False)
class Examination:
    """A corpus as its tables say, and what came of looking at all of it.

    Attributes:
        corpus: Every clip of the tables, whether its audio can be used or not.
        audio: (N,) what each file is, or why it cannot be used.
        problems: Mistakes in the tables.
    """

    corpus: Corpus
    audio: tuple[AudioFacts | AudioError, ...]
    problems: tuple[str, ...]


def open_corpus(
    path: str | Path,
    *,
    skip_bad: bool = False,
    stereo: bool = False,
    progress: Progress | None = None,
    memory: Path | None = None,
) -> Corpus:
    """Open a corpus on disk and check all of it: tables, folds and, by decoding it, the audio.

    Args:
        path: A folder in one of the forms that `FORMS` lists, or the parent of a `chime_home/`.
        skip_bad: Leave out clips whose audio is missing or cannot be used, instead of refusing the corpus.
        stereo: Check the stereo recordings, too, where each clip has one.
        progress: Called with (files checked, files in all).
        memory: A file that keeps what is known of the audio: what has not changed since is not decoded again.

    Raises:
        CorpusError: if the folder is in no known form, a table is malformed, audio is missing or unusable, or the folds
            cannot be scored; its `problems` are all there are.
    """
    examination = examine(path, stereo, progress, memory)
    corpus, audio = examination.corpus, examination.audio
    bad = [what for what in audio if isinstance(what, AudioError)]
    errors = [CorpusError(problem) for problem in examination.problems]
    errors += [bad_audio_error(bad, len(audio), corpus.kind)] if bad and not skip_bad else []
    usable = usable_part(corpus, audio) if skip_bad or not bad else corpus
    if not examination.problems:  # the rows that they are about are missing
        errors += map(CorpusError, scoring_problems(usable))
    if errors:
        problems = [problem for error in errors for problem in error.problems]
        rest = f" (and {len(errors) - 1} more problems)" if len(errors) > 1 else ""
        raise CorpusError(f"{errors[0]}{rest}", problems)
    return usable


def examine(
    path: str | Path, stereo: bool = False, progress: Progress | None = None, memory: Path | None = None
) -> Examination:
    """Reads the tables of a corpus and looks at all of its audio; what is wrong is told, not raised.

    Raises:
        CorpusError: if the folder is in no known form, or a table cannot be read at all.
    """
    corpus, problems = read_tables(path)
    beside = corpus.stereo_paths if stereo and corpus.stereo_paths != corpus.paths else ()
    return Examination(corpus, tuple(inspect_clips(corpus.paths, beside, progress, memory)), problems)


def read_tables(path: str | Path) -> tuple[Corpus, tuple[str, ...]]:
    """A corpus as its tables say, its audio not looked at, and the mistakes in them; the clip length is the longest.

    Raises:
        CorpusError: if the folder is in no known form, or a table cannot be read at all.
    """
    root = Path(os.path.abspath(path))  # "." has a name then; symbolic links keep theirs
    if not root.exists():
        raise CorpusError(f"The corpus `{path}` does not exist: give a folder that holds {FORMS}.")
    for table, read in READERS.items():
        if (root / table).is_file():
            listing = read(root)
            return _from_listing(root, listing), listing.problems
    if chime_home.is_chime_home(root):
        return _from_lists(chime_home.read_lists(root)), ()
    raise CorpusError(f"The corpus `{path}` is in neither form: give a folder that holds {FORMS}.")


def _from_lists(lists: chime_home.Lists) -> Corpus:
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


def _from_listing(root: Path, listing: Listing) -> Corpus:
    rows = listing.rows
    tags = tuple(sorted({tag for row in rows for tag in row.tags}))
    targets = np.array([[tag in row.tags for tag in tags] for row in rows], dtype=np.float32)
    paths = tuple(row.path for row in rows)
    return Corpus(
        name=root.name,
        kind=listing.kind,
        root=root,
        tags=tags,
        clips=tuple(row.clip for row in rows),
        paths=paths,
        targets=targets.reshape(len(rows), len(tags)),
        folds=np.array([row.fold for row in rows], dtype=np.int64),
        groups=np.array([row.group for row in rows], dtype=np.str_),
        clip_seconds=MAX_CLIP_SECONDS,
        stereo_paths=paths,
    )


def usable_part(corpus: Corpus, audio: Sequence[AudioFacts | AudioError]) -> Corpus:
    """The corpus of the clips that can be used, with what their audio tells."""
    kept = [place for place, what in enumerate(audio) if isinstance(what, AudioFacts)]
    bad = {clip: what.reason for clip, what in zip(corpus.clips, audio, strict=True) if isinstance(what, AudioError)}
    facts = [what for what in audio if isinstance(what, AudioFacts)]
    clips = tuple(corpus.clips[place] for place in kept)
    return replace(
        corpus,
        clips=clips,
        paths=tuple(corpus.paths[place] for place in kept),
        stereo_paths=tuple(corpus.stereo_paths[place] for place in kept) if corpus.stereo_paths else (),
        targets=corpus.targets[kept],
        folds=corpus.folds[kept],
        groups=corpus.groups[kept],
        clip_seconds=corpus.clip_seconds if corpus.kind in FIXED_LENGTH else common_seconds(facts),
        skipped=bad,
        silent=tuple(clip for clip, what in zip(clips, facts, strict=True) if what.peak < NEARLY_SILENT),
        known_digests=tuple(what.file_digest for what in facts),
    )


def scoring_problems(corpus: Corpus) -> list[str]:
    """Why the folds of a corpus cannot be scored, a line each; empty if they can."""
    where = f"the corpus `{corpus.root}`"
    if not corpus.clips:
        return [f"There are no clips in {where}: list at least one clip a fold and tag."]
    if not corpus.tags:
        return [f"There are no tags in {where}: write the tags of each clip into the column `tags`."]
    if (corpus.folds == NO_FOLD).any():
        return [f"There are no folds in {where}: write them into the column `fold`; {PROPOSE}."]
    folds = corpus.fold_numbers
    if len(folds) < 2:
        return [f"The number of development folds is {len(folds)} in {where}, but must be at least 2: {PROPOSE}."]
    scored = corpus._scored()
    problems = [
        f"Fold {fold} has one class only in {where} (no tag has a clip with it and one without it), so its EER "
        "is undefined: merge it with another fold."
        for fold, row in zip(folds, scored, strict=True)
        if not row.any()
    ]
    problems += [
        f"Tag `{tag}` cannot be scored in any fold of {where} (none has a clip with it and a clip without it): "
        "take the tag out, or add clips."
        for tag, column in zip(corpus.tags, scored.T, strict=True)
        if not column.any()
    ]
    return problems
