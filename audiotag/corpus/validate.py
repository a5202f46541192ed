"""What the project sees in a corpus: figures, errors that stop a study, warnings about what spoils its results."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.audio.read import SOUNDS, SUFFIXES, AudioError, AudioFacts
from audiotag.corpus.audio_scan import Progress
from audiotag.corpus.corpus import NEARLY_SILENT, Corpus, examine, scoring_problems, usable_part
from audiotag.corpus.tables import EVALUATION

CLIPPED_SHARE = 1e-3  # of the samples at full scale, above which a clip is said to be clipped
NAMED = 5  # clips that a warning names


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that is known of a corpus.

    Attributes:
        corpus: All its clips.
        usable: Those whose audio can be used, with their length.
        audio: (N,) of all clips.
        errors: What stops a study, a line each.
        warnings: What a study survives but its results may not, a line each.
    """

    corpus: Corpus
    usable: Corpus
    audio: tuple[AudioFacts | AudioError, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def facts(self) -> list[AudioFacts]:
        """What the usable files are."""
        return [what for what in self.audio if isinstance(what, AudioFacts)]


def check_corpus(path: str | Path, progress: Progress | None = None) -> Report:
    """Reads and decodes all of a corpus.

    Raises:
        CorpusError: if the folder is in no known form, or a table cannot be read at all.
    """
    examination = examine(path, progress=progress)
    corpus, audio = examination.corpus, examination.audio
    errors = list(examination.problems)
    errors += [f"`{what.path}`: {what.reason}" for what in audio if isinstance(what, AudioError)]
    usable = usable_part(corpus, audio)
    errors += scoring_problems(usable)
    facts = [what for what in audio if isinstance(what, AudioFacts)]
    warnings = [*fold_warnings(usable), *sound_warnings(usable, facts), *table_warnings(corpus)]
    return Report(corpus, usable, audio, tuple(errors), tuple(warnings))


def fold_warnings(corpus: Corpus) -> list[str]:
    """Groups in several folds, and tags that a fold cannot score."""
    folds_of = defaultdict(set)
    for group, fold in zip(corpus.groups.tolist(), corpus.folds.tolist(), strict=True):
        folds_of[group].add(fold)
    straddling = [group for group, folds in folds_of.items() if len(folds - {EVALUATION}) > 1]
    shared = [group for group, folds in folds_of.items() if EVALUATION in folds and len(folds) > 1]
    warnings = []
    if straddling:
        clips = int(np.isin(corpus.groups[corpus.development], straddling).sum())
        warnings.append(
            f"{_count(len(straddling), 'group')} of {len(folds_of)} with {_count(clips, 'clip')} in several folds: "
            f"{_named(straddling)}; the network is scored on recordings that it was trained on, the EER is too low"
        )
    if shared:
        warnings.append(f"{_count(len(shared), 'group')} in development and evaluation: {_named(shared)}")
    development = corpus.development
    for tag, positive in zip(corpus.tags, corpus.targets[development].T > 0, strict=True):
        groups = Counter(corpus.groups[development][positive].tolist())
        leaking = {group: count for group, count in groups.items() if group in straddling}
        if sum(leaking.values()) > positive.sum() / 2:
            warnings.append(
                f"tag `{tag}`: {sum(leaking.values())} of its {int(positive.sum())} development clips come from "
                f"{_count(len(leaking), 'group')} in several folds: {_named(leaking)}; its EER is too low"
            )
    for tag, fold in corpus.unscored_cells() if len(corpus.fold_numbers) else []:
        has = corpus.targets[corpus.folds == fold, corpus.tags.index(tag)].any()
        warnings.append(f"tag `{tag}` has no {'negatives' if has else 'positives'} in fold {fold}: left out there")
    return warnings


def sound_warnings(corpus: Corpus, facts: Sequence[AudioFacts]) -> list[str]:
    """Silent, clipped, cut and doubled clips, low rates, false suffixes. `facts` are those of the clips."""
    heard = list(zip(corpus.clips, facts, strict=True))
    full = f"of more than {CLIPPED_SHARE:.1%} of its samples at full scale"
    kinds: list[tuple[str, list[str]]] = [
        (f"nearly silent (peak below {NEARLY_SILENT:g})", [c for c, what in heard if what.peak < NEARLY_SILENT]),
        (f"clipped ({full})", [c for c, what in heard if what.clipped > CLIPPED_SHARE]),
        (
            f"longer than the clip length of {corpus.clip_seconds:.2f} s and cut",
            [c for c, what in heard if what.seconds > 1.01 * corpus.clip_seconds],
        ),
        (
            "shorter than half the clip length, padded with silence",
            [c for c, what in heard if what.seconds < 0.5 * corpus.clip_seconds],
        ),
        (
            "named otherwise than its content",
            [path.name for path, what in zip(corpus.paths, facts, strict=True) if _is_misnamed(path, what)],
        ),
    ]
    warnings = [f"{_count(len(clips), 'clip')} {what}: {_named(clips)}" for what, clips in kinds if clips]
    rates = Counter(what.sample_rate for what in facts)
    low = [clip for clip, what in heard if what.sample_rate < 16_000]
    if low and len(low) < len(heard):
        warnings.append(
            f"{_count(len(low), 'clip')} below 16000 Hz among others above ({min(rates)} to {max(rates)} Hz): "
            f"{_named(low)}; their upper bands are empty, which a network can mistake for a tag"
        )
    return warnings + _doubles(corpus, facts)


def _is_misnamed(path: Path, what: AudioFacts) -> bool:
    suffixes = SUFFIXES.get(what.kind.split()[0])
    return suffixes is not None and path.suffix.lower() not in suffixes


def _doubles(corpus: Corpus, facts: Sequence[AudioFacts]) -> list[str]:
    places = defaultdict(list)
    for place, what in enumerate(facts):
        if what.peak >= NEARLY_SILENT:  # silence is like silence
            places[what.digest].append(place)
    doubles = [same for same in places.values() if len(same) > 1]
    if not doubles:
        return []
    apart = [same for same in doubles if len(set(corpus.folds[same].tolist())) > 1]
    other = [same for same in doubles if len({tuple(row) for row in corpus.targets[same].tolist()}) > 1]
    shown = _named([" = ".join(corpus.clips[place] for place in same) for same in (apart or doubles)])
    warnings = [
        f"{_count(sum(map(len, doubles)), 'clip')} with the same audio as another, {len(apart)} of {len(doubles)} "
        f"such sets in several folds: {shown}"
    ]
    if other:
        names = _named([" = ".join(corpus.clips[place] for place in same) for same in other])
        warnings.append(f"{_count(len(other), 'set')} of clips with the same audio and different tags: {names}")
    return warnings


def table_warnings(corpus: Corpus) -> list[str]:
    """Tags that look like a slip of the pen, and recordings that no table names."""
    warnings = []
    alike = defaultdict(list)
    for tag in corpus.tags:
        alike["".join(c for c in unicodedata.normalize("NFKC", tag).casefold() if c.isalnum())].append(tag)
    warnings += [f"tags that differ little: {_named(tags)}" for tags in alike.values() if len(tags) > 1]
    commas = [tag for tag in corpus.tags if "," in tag]
    if commas and corpus.kind == "folder":
        warnings.append(f"{_count(len(commas), 'tag')} with a comma: {_named(commas)}; tags are separated by `;`")
    if corpus.kind not in ("chime_home", "synthetic"):
        listed = {str(path) for path in corpus.paths}
        there = [path for path in (corpus.root / "audio").rglob("*") if path.suffix.lower() in SOUNDS]
        extra = [str(path.relative_to(corpus.root)) for path in sorted(there) if str(path) not in listed]
        if extra:
            warnings.append(f"{_count(len(extra), 'recording')} that the table does not name: {_named(extra)}")
    return warnings


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _named(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:NAMED]) + rest
