"""A corpus validated: errors that stop a study, warnings about what spoils its results, and whether it is in stereo."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.audio.find import find_audio
from audiotag.audio.probe import AudioInfo, audio_format
from audiotag.audio.read import AudioError
from audiotag.audio.sound import SUFFIXES
from audiotag.corpus.audio_scan import NEARLY_SILENT, Progress
from audiotag.corpus.corpus import Corpus, Examination, examine, scoring_problems, usable_part
from audiotag.corpus.errors import count, name_first
from audiotag.corpus.labels import as_lists
from audiotag.corpus.tables import EVALUATION, TEST
from audiotag.corpus.tag_names import odd_tags

SEVERAL_PARTS = "several of train, validation and test"
CLIPPED_SHARE = 1e-3  # of the samples at full scale, above which a clip counts as clipped


@dataclass(frozen=True, eq=False)
class Validation:
    """Everything that is known of a corpus; errors and warnings in a line each."""

    examination: Examination
    usable: Corpus  # the clips whose audio can be used
    errors: tuple[str, ...]  # stop a study
    warnings: tuple[str, ...]  # may spoil its results


def validate(
    path: str | Path,
    progress: Progress | None = None,
    tag_separator: str | None = None,
    clip_seconds: float | None = None,
) -> Validation:
    """Read and decode all of a corpus, and collect errors and warnings; CorpusError where its tables are unreadable.

    The arguments are those of `open_corpus`.
    """
    examination = examine(path, progress=progress, tag_separator=tag_separator, clip_seconds=clip_seconds)
    usable = usable_part(examination)
    errors = [*examination.problems, *(f"`{error.path}`: {error.reason}" for error in examination.errors)]
    if not examination.problems:  # which leave rows out
        errors += scoring_problems(usable)
    warnings = fold_warnings(usable) + audio_warnings(usable, examination.infos)
    warnings += table_warnings(examination.corpus, all_rows=not examination.problems)
    return Validation(examination, usable, tuple(errors), tuple(warnings))


def stereo_problem(corpus: Corpus) -> str | None:
    """Return why not every clip has a stereo recording, from the files' headers; None where each has."""
    if not corpus.stereo_paths:
        return "it has none"
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(_why_not_stereo, corpus.stereo_paths))
    found = [f"`{path}`: {why}" for path, why in zip(corpus.stereo_paths, reasons, strict=True) if why is not None]
    return f"{found[0]} (so for {len(found)} of {len(corpus.clips)} clips)" if found else None


def _why_not_stereo(path: Path) -> str | None:
    try:
        _, channels = audio_format(path)
    except AudioError as error:
        return error.reason
    return None if channels == 2 else f"the number of its channels is {channels}, not 2"


def torn_groups(corpus: Corpus) -> list[str]:
    """List the groups that lie in several folds, or in several parts of a fixed split."""
    return [group for group, folds in _folds_by_group(corpus).items() if len(folds - {EVALUATION}) > 1]


def _folds_by_group(corpus: Corpus) -> dict[str, set[int]]:
    folds_of = defaultdict(set)
    for group, fold in zip(corpus.groups.tolist(), corpus.folds.tolist(), strict=True):
        folds_of[group].add(fold)
    return folds_of


def fold_warnings(corpus: Corpus) -> list[str]:
    """Warn of groups in several folds, and of tags that a fold cannot score."""
    folds_of, straddling = _folds_by_group(corpus), torn_groups(corpus)
    shared = [group for group, folds in folds_of.items() if EVALUATION in folds and len(folds) > 1]
    several = SEVERAL_PARTS if corpus.has_fixed_split else "several folds"
    warnings = []
    spoilt = "scored on recordings that it was trained on, the EER is too low"
    if corpus.has_fixed_split and not any(TEST in folds_of[group] for group in straddling):
        spoilt = "stopped by recordings that it was trained on, and may be trained for too long"
    if straddling:
        clips = int(np.isin(corpus.groups[corpus.development], straddling).sum())
        warnings.append(
            f"{count(len(straddling), 'group')} of {len(folds_of)} with {count(clips, 'clip')} in {several}: "
            f"{name_first(straddling)}; the network is {spoilt}"
        )
    if shared:
        warnings.append(f"{count(len(shared), 'group')} in development and evaluation: {name_first(shared)}")
    development = corpus.development
    for tag, positive in zip(corpus.tags, corpus.targets[development].T > 0, strict=True):
        groups = Counter(corpus.groups[development][positive].tolist())
        leaking = {group: clips for group, clips in groups.items() if group in straddling}
        if sum(leaking.values()) > positive.sum() / 2:
            warnings.append(
                f"tag `{tag}`: {sum(leaking.values())} of its {int(positive.sum())} development clips come from "
                f"{count(len(leaking), 'group')} in {several}: {name_first(leaking)}; its EER is too low"
            )
    return warnings + cell_warnings(corpus)


def cell_warnings(corpus: Corpus) -> list[str]:
    """Warn of tags that a fold cannot score, and of those that no clip of a fixed split's training has."""
    warnings = []
    if corpus.has_fixed_split:
        learnt = (corpus.targets[corpus.trained] > 0).any(axis=0)
        warnings += [
            f"tag `{tag}` has no positives in training" for tag, has in zip(corpus.tags, learnt, strict=True) if not has
        ]
    for tag, fold in corpus.unscored_cells():
        has = corpus.targets[corpus.folds == fold, corpus.tags.index(tag)] > 0
        lacks = "negatives" if has.any() else "positives"
        warnings.append(f"tag `{tag}` has no {lacks} in {corpus.name_fold(fold)}: left out there")
    return warnings


def audio_warnings(corpus: Corpus, infos: Sequence[AudioInfo]) -> list[str]:
    """Warn of doubtful, clipped, cut and duplicate clips, low rates and wrong suffixes; `infos` has one per clip."""

    def clips(applies: Callable[[AudioInfo], bool]) -> list[str]:
        return [clip for clip, info in zip(corpus.clips, infos, strict=True) if applies(info)]

    files = [(path, SUFFIXES[info.kind.split()[0]]) for path, info in zip(corpus.paths, infos, strict=True)]
    longest, shortest = 1.01 * corpus.clip_seconds, 0.5 * corpus.clip_seconds
    full = f"of more than {CLIPPED_SHARE:.1%} of its samples at full scale"
    cut = f"longer than the clip length of {corpus.clip_seconds:.2f} s and cut (--clip-seconds keeps more)"
    kinds = {
        f"clipped ({full})": clips(lambda info: info.clipped > CLIPPED_SHARE),
        cut: clips(lambda info: info.seconds > longest),
        "shorter than half the clip length, padded with silence": clips(lambda info: info.seconds < shortest),
        "named otherwise than its content": [path.name for path, own in files if path.suffix.lower() not in own],
    }
    found = {what: list(clips) for what, clips in corpus.doubts.items()} | kinds
    warnings = [f"{count(len(names), 'clip')} {what}: {name_first(names)}" for what, names in found.items() if names]
    rates = {info.sample_rate for info in infos}
    low = clips(lambda info: info.sample_rate < 16_000)
    if 0 < len(low) < len(infos):
        warnings.append(
            f"{count(len(low), 'clip')} below 16000 Hz among others above ({min(rates)} to {max(rates)} Hz): "
            f"{name_first(low)}; their upper bands are empty, which a network can mistake for a tag"
        )
    return warnings + _duplicates(corpus, infos)


def _duplicates(corpus: Corpus, infos: Sequence[AudioInfo]) -> list[str]:
    indices = defaultdict(list)
    for index, info in enumerate(infos):
        if info.peak >= NEARLY_SILENT:  # silent clips are alike without being copies
            indices[info.digest].append(index)
    sets = [same for same in indices.values() if len(same) > 1]
    if not sets:
        return []
    apart = [same for same in sets if len(set(corpus.folds[same].tolist())) > 1]
    other = [same for same in sets if len({tuple(row) for row in as_lists(corpus.targets[same])}) > 1]
    shown = name_first(" = ".join(corpus.clips[index] for index in same) for same in (apart or sets))
    several = SEVERAL_PARTS if corpus.has_fixed_split else "several folds"
    warnings = [
        f"{count(sum(map(len, sets)), 'clip')} with the same audio as another, {len(apart)} of {len(sets)} "
        f"such sets in {several}: {shown}"
    ]
    if other:
        names = name_first(" = ".join(corpus.clips[index] for index in same) for same in other)
        warnings.append(f"{count(len(other), 'set')} of clips with the same audio and different tags: {names}")
    return warnings


def table_warnings(corpus: Corpus, all_rows: bool = True) -> list[str]:
    """Warn of tags that look like a mistake, and, where all rows could be read, of recordings that none names."""
    warnings = tag_warnings(corpus)
    if not all_rows:
        return warnings
    listed = {str(path) for path in corpus.paths}
    places = [corpus.root / folder for folder in corpus.layout.audio_folders]
    if places and not any(place.is_dir() for place in places):
        places = [corpus.root]
    extra = [path for place in places for path in find_audio(place) if str(path) not in listed]
    if extra:
        names = name_first(str(path.relative_to(corpus.root)) for path in extra)
        warnings.append(f"{count(len(extra), 'recording')} that the table does not name: {names}")
    return warnings


def tag_warnings(corpus: Corpus) -> list[str]:
    """Warn of tags that look like a mistake."""
    return [*corpus.warnings, *odd_tags(corpus.tags)]
