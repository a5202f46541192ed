"""A corpus: clips, their tags, folds and groups."""

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from audiotag.audio.probe import AudioInfo, file_digests
from audiotag.audio.read import AudioError
from audiotag.corpus.audio_scan import (
    MAX_CLIP_SECONDS,
    Progress,
    audio_doubts,
    common_seconds,
    scan_clips,
    unusable_audio,
)
from audiotag.corpus.errors import CorpusError, count, list_first
from audiotag.corpus.labels import as_json
from audiotag.corpus.layouts import LAYOUTS
from audiotag.corpus.layouts.layout import Layout
from audiotag.corpus.tables import EVALUATION, FIXED_SPLIT, NO_FOLD, TRAIN, Listing
from audiotag.corpus.tag_names import separate_tags

PROPOSE = "python -m audiotag.corpus folds PATH proposes some"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Clips with their targets, folds and groups. N clips, K tags."""

    name: str  # of the root folder
    kind: str  # the name of its layout
    root: Path  # the folder that holds the tables
    tags: tuple[str, ...]  # (K,)
    clips: tuple[str, ...]  # (N,) names, unique
    paths: tuple[Path, ...]  # (N,) audio files
    targets: np.ndarray  # (N, K) float32, 0 or 1; NaN where it is unknown
    folds: np.ndarray  # (N,) int64, EVALUATION for the evaluation split; of a fixed split those of FIXED_SPLIT
    groups: np.ndarray  # (N,) the recording each clip was cut from
    clip_seconds: float  # the length to which every clip is cut or padded
    stereo_paths: tuple[Path, ...] = ()  # (N,) the stereo recording of each clip, checked on request
    skipped: dict[str, str] = field(default_factory=dict)  # clips left out because of their audio, with the reason
    doubts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # what may be wrong with clips that are used
    known_digests: tuple[str, ...] = ()  # (N,) `digests`, where the files have been read already
    tag_separator: str | None = None  # that the user asked for
    notes: tuple[str, ...] = ()  # what was read otherwise than the tables have it, one line each
    warnings: tuple[str, ...] = ()  # what the tables may mean otherwise
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (N,) of each recording, where they are known
    asked_seconds: float | None = None  # the longest clip that the user asked for

    def __repr__(self) -> str:
        parts = [count(len(self.clips), "clip"), f"{self.clip_seconds:g} s each"]
        parts += [f"{len(self.evaluation)} of them for evaluation"] * bool(len(self.evaluation))
        parts.append("one fixed split" if self.has_fixed_split else count(len(self.fold_numbers), "fold"))
        parts += [f"{count(len(self.tags), 'tag')} ({list_first(self.tags)})"]
        return f"<Corpus {self.name} ({self.kind}): {', '.join(parts)}>"

    @property
    def layout(self) -> Layout:
        """The layout in which it lies on disk."""
        return LAYOUTS[self.kind]

    @property
    def fold_numbers(self) -> tuple[int, ...]:
        """The folds of the development split, sorted; clips that have no fold yet (`NO_FOLD`) are in none."""
        return tuple(int(fold) for fold in np.unique(self.folds) if fold >= 0)

    @property
    def has_fixed_split(self) -> bool:
        """Whether train, validation and test clips are given, in place of folds."""
        return bool((self.folds == TRAIN).any())

    @property
    def split_sizes(self) -> dict[str, int]:
        """How many clips each part of a fixed split has, those that are not empty."""
        sizes = {name: int((self.folds == number).sum()) for name, number in FIXED_SPLIT.items()}
        return {name: size for name, size in sizes.items() if size}

    def name_fold(self, fold: int) -> str:
        """A fold in words: "fold 3"; of a fixed split "the test set"."""
        return "the test set" if self.has_fixed_split else f"fold {fold}"

    @property
    def development(self) -> np.ndarray:
        """Indices of the development clips, int64."""
        return np.flatnonzero(self.folds != EVALUATION)

    @property
    def trained(self) -> np.ndarray:
        """Indices of the clips that are trained on, in some fold, int64."""
        return np.flatnonzero(self.folds == TRAIN) if self.has_fixed_split else self.development

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
        """(N,) as `digests`, for the stereo recordings."""
        return self.digests if self.stereo_paths == self.paths else file_digests(self.stereo_paths)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with the content of the corpus, but not with its location."""
        content = {
            "clip_seconds": float(self.clip_seconds),
            "clips": self.clips,
            "digests": self.digests,
            "folds": self.folds.tolist(),
            "groups": self.groups.tolist(),
            "tags": self.tags,
        }
        text = f'{json.dumps(content)[:-1]}, "targets": {as_json(self.targets)}}}'  # names in order
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def unscored_cells(self) -> list[tuple[str, int]]:
        """Return the (tag, fold) pairs without both a positive and a negative clip: their EER is undefined."""
        return [(self.tags[k], self.fold_numbers[row]) for k, row in np.argwhere(~self.scored_cells().T)]

    def scored_cells(self) -> np.ndarray:
        """Return (folds, K) bool: whether the fold has both a positive and a negative clip of the tag."""
        parts = [self.targets[self.folds == fold] for fold in self.fold_numbers]
        scored = [(part == 0).any(axis=0) & (part == 1).any(axis=0) for part in parts]
        return np.array(scored, bool).reshape(len(parts), len(self.tags))


@dataclass(frozen=True, eq=False)
class Examination:
    """A corpus according to its tables, and the outcome of inspecting all its audio."""

    corpus: Corpus  # every clip of the tables, whether its audio can be used or not
    audio: tuple[AudioInfo | AudioError, ...]  # (N,) the form of each file, or why it cannot be used
    problems: tuple[str, ...]  # mistakes in the tables

    @property
    def errors(self) -> list[AudioError]:
        """The files that cannot be used."""
        return [info for info in self.audio if isinstance(info, AudioError)]

    @property
    def infos(self) -> list[AudioInfo]:
        """The files that can be used."""
        return [info for info in self.audio if isinstance(info, AudioInfo)]


def open_corpus(
    path: str | Path,
    *,
    skip_bad: bool = False,
    stereo: bool = False,
    progress: Progress | None = None,
    scan_cache: Path | None = None,
    tag_separator: str | None = None,
    clip_seconds: float | None = None,
) -> Corpus:
    """Open a corpus on disk and check all of it: tables, folds and, by decoding it, the audio.

    Args:
        path: A folder in one of the LAYOUTS, or the parent of a `chime_home/`.
        skip_bad: Leave out clips whose audio is missing or cannot be used, instead of refusing the corpus.
        stereo: Check the stereo recordings, too, where each clip has one.
        progress: Called with (files checked, files in all).
        scan_cache: A file with what earlier checks found: unchanged files are not decoded again.
        tag_separator: What separates tags within a cell, beside `;`; by default what the tables tell.
        clip_seconds: Of the longest clip, beyond which clips are cut; shorter ones are padded. By default the length
            of all clips is chosen from the recordings, 10 s at most.

    Raises:
        CorpusError: If the folder is in no known layout, a table is malformed, audio is missing or unusable, or the
            folds cannot be scored; its `problems` are all there are.
    """
    examination = examine(path, stereo, progress, scan_cache, tag_separator, clip_seconds)
    corpus, bad = examination.corpus, examination.errors
    errors = [CorpusError(problem) for problem in examination.problems]
    if bad and not skip_bad:
        errors.append(unusable_audio(bad, len(examination.audio), corpus.layout.missing_audio))
    usable = usable_part(examination) if skip_bad or not bad else corpus
    if not examination.problems:  # which leave rows out
        errors += map(CorpusError, scoring_problems(usable))
    if errors:
        problems = [problem for error in errors for problem in error.problems]
        rest = f" (and {count(len(errors) - 1, 'more problem')})" if len(errors) > 1 else ""
        raise CorpusError(f"{errors[0]}{rest}", problems)
    return usable


def examine(
    path: str | Path,
    stereo: bool = False,
    progress: Progress | None = None,
    scan_cache: Path | None = None,
    tag_separator: str | None = None,
    clip_seconds: float | None = None,
) -> Examination:
    """Read the tables of a corpus and inspect all of its audio; mistakes are collected, not raised."""
    corpus, problems = read_tables(path, tag_separator)
    corpus = replace(corpus, asked_seconds=clip_seconds)
    stereo_paths = corpus.stereo_paths if stereo and corpus.stereo_paths != corpus.paths else ()
    decoded = max(MAX_CLIP_SECONDS, clip_seconds or 0.0)
    infos = scan_clips(corpus.paths, stereo_paths, progress, scan_cache, decoded)
    return Examination(corpus, tuple(infos), problems)


def read_tables(path: str | Path, tag_separator: str | None = None) -> tuple[Corpus, tuple[str, ...]]:
    """Read a corpus without its audio, and the mistakes in its tables; the clip length is the longest allowed.

    Raises:
        CorpusError: If the folder is in no known layout, or a table cannot be read at all.
    """
    root = Path(os.path.abspath(path))  # "." has a name then; symbolic links keep theirs
    layout = find_layout(root)
    if layout is None:
        wrong = "is in no known layout" if root.exists() else "does not exist"
        known = ", or ".join(dict.fromkeys(layout.files for layout in LAYOUTS.values()))
        raise CorpusError(f"The corpus `{path}` {wrong}: give a folder that holds {known}.")
    listing = separate_tags(layout.read(root), tag_separator)
    return replace(to_corpus(layout, listing), tag_separator=tag_separator), listing.problems


def find_layout(root: Path) -> Layout | None:
    """Return the layout in which a folder is a corpus; None where it is none."""
    return next((layout for layout in LAYOUTS.values() if layout.detect(root)), None)


def to_corpus(layout: Layout, listing: Listing) -> Corpus:
    """Make the corpus of the clips that a listing names; the clip length is the longest allowed."""
    rows, tags = listing.rows, listing.tags
    if tags is None:
        tags = tuple(sorted({tag for row in rows for tag in row.tags | row.unknown}))
    places = {tag: place for place, tag in enumerate(tags)}
    targets = np.zeros((len(rows), len(tags)), np.float32)
    for own, row in zip(targets, rows, strict=True):
        own[[places[tag] for tag in row.tags if tag in places]] = 1
        own[[places[tag] for tag in row.unknown]] = np.nan
    return Corpus(
        name=listing.root.name,
        kind=layout.name,
        root=listing.root,
        tags=tags,
        clips=tuple(row.clip for row in rows),
        paths=tuple(row.path for row in rows),
        targets=targets,
        folds=np.array([row.fold for row in rows], dtype=np.int64),
        groups=np.array([row.group for row in rows], dtype=np.str_),
        clip_seconds=layout.fixed_seconds or MAX_CLIP_SECONDS,
        stereo_paths=tuple(row.stereo_path or row.path for row in rows),
        notes=listing.notes,
        warnings=listing.warnings,
    )


def usable_part(examination: Examination) -> Corpus:
    """Return the corpus of the clips whose audio can be used, with what the inspection found out."""
    corpus, audio, infos = examination.corpus, examination.audio, examination.infos
    kept = [index for index, info in enumerate(audio) if isinstance(info, AudioInfo)]
    clips = tuple(corpus.clips[index] for index in kept)
    return replace(
        corpus,
        clips=clips,
        paths=tuple(corpus.paths[index] for index in kept),
        stereo_paths=tuple(corpus.stereo_paths[index] for index in kept),
        targets=corpus.targets[kept],
        folds=corpus.folds[kept],
        groups=corpus.groups[kept],
        clip_seconds=common_seconds(infos, corpus.asked_seconds, corpus.layout.fixed_seconds),
        seconds=np.array([info.seconds for info in infos]),
        skipped={c: info.reason for c, info in zip(corpus.clips, audio, strict=True) if isinstance(info, AudioError)},
        doubts=audio_doubts(clips, infos),
        known_digests=tuple(info.file_digest for info in infos),
    )


def scoring_problems(corpus: Corpus) -> list[str]:
    """List the reasons why the folds of a corpus cannot be scored, one per line; empty if they can."""
    where = f"the corpus `{corpus.root}`"
    if not corpus.clips:
        return [f"There are no clips in {where}: list at least one clip per fold and tag."]
    if not corpus.tags:
        return [f"There are no tags in {where}: write the tags of each clip into the column `tags`."]
    if (corpus.folds == NO_FOLD).any():
        return [f"There are no folds in {where}: write them into the column `fold`; {PROPOSE}."]
    folds = corpus.fold_numbers
    if corpus.has_fixed_split and not folds:
        return [f"There are no test clips in {where}: write `test` into the column `split` of some."]
    if len(folds) < 2 and not corpus.has_fixed_split:
        return [f"The number of development folds is {len(folds)} in {where}, but must be at least 2: {PROPOSE}."]
    scored = corpus.scored_cells()
    problems = [
        f"{_capital(corpus.name_fold(fold))} has one class only in {where} (no tag has a clip with it and one without "
        f"it), so its EER is undefined: {'add clips' if corpus.has_fixed_split else 'merge it with another fold'}."
        for fold, row in zip(folds, scored, strict=True)
        if not row.any()
    ]
    problems += [
        f"Tag `{tag}` cannot be scored in {'the test set' if corpus.has_fixed_split else 'any fold'} of {where} (none "
        "has a clip with it and a clip without it): take the tag out, or add clips."
        for tag, column in zip(corpus.tags, scored.T, strict=True)
        if not column.any()
    ]
    return problems


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
