"""All the audio of a corpus looked at, and what is wrong with it told in one report."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from audiotag.audio.read import AudioError, AudioFacts, inspect_audio
from audiotag.corpus.known_audio import Stamp, is_settled, recall, remember, stamp_of
from audiotag.corpus.tables import CorpusError

MAX_CLIP_SECONDS = 10.0  # longer clips of a folder are cut
REMEDIES = {  # of missing audio, by kind of the corpus
    "chime_home": "unpack the audio of chime_home.tar.gz into chunks/ (python -m audiotag.chime_home does it)",
    "synthetic": "delete the folder and write the synthetic corpus again",
}
REMEDY = "add the files to audio/, or take their rows out of the table"

Progress = Callable[[int, int], None]  # (files done, files in all)


def inspect_files(
    paths: Sequence[Path], progress: Progress | None = None, memory: Path | None = None
) -> list[AudioFacts | AudioError]:
    """What each file is, or why it cannot be used; one thread a core, the part that a clip can have is decoded.

    With a file for a memory, those that were good at an earlier look and have not changed since are not read again:
    0.05 ms of CPU a clip of 4 s instead of 1.3 ms.
    """
    known, results = recall(memory), []
    stamps = [stamp_of(path) for path in paths]  # before the files are read: what changes meanwhile counts as changed

    def look(path: Path, stamp: Stamp | None) -> AudioFacts | AudioError:
        before = known.get(str(path))
        return before[1] if before is not None and before[0] == stamp else _facts_or_error(path)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(look, paths, stamps):
            results.append(result)
            if progress:
                progress(len(results), len(paths))
    good = {
        str(path): (stamp, what)
        for path, stamp, what in zip(paths, stamps, results, strict=True)
        if isinstance(what, AudioFacts) and stamp is not None and is_settled(stamp)
    }
    seen = set(map(str, paths))
    kept = {path: entry for path, entry in known.items() if path not in seen} | good
    if memory is not None and kept != known:
        remember(memory, kept)
    return results


def inspect_clips(
    paths: Sequence[Path], beside: Sequence[Path], progress: Progress | None = None, memory: Path | None = None
) -> list[AudioFacts | AudioError]:
    """As `inspect_files`, of clips with other recordings beside them: what is wrong there is wrong with the clip.

    What lies beside is looked at where it is there for every clip.
    """
    beside = beside if all(map(os.path.exists, beside)) else ()
    found = inspect_files([*paths, *beside], progress, memory)
    clips, others = found[: len(paths)], found[len(paths) :] or found
    pairs = zip(clips, others, strict=True)
    return [other if isinstance(other, AudioError) and isinstance(clip, AudioFacts) else clip for clip, other in pairs]


def _facts_or_error(path: Path) -> AudioFacts | AudioError:
    try:
        return inspect_audio(path, MAX_CLIP_SECONDS)
    except AudioError as error:
        return error


def common_seconds(facts: Sequence[AudioFacts]) -> float:
    """The length to which clips are cut or padded: that of the longest, a few (5 %) outliers aside, 10 s at most."""
    seconds = [what.seconds for what in facts]
    return min(MAX_CLIP_SECONDS, float(np.quantile(seconds, 0.95, method="higher"))) if seconds else MAX_CLIP_SECONDS


def bad_audio_error(bad: Sequence[AudioError], files: int, kind: str) -> CorpusError:
    """One error for all unusable files, at least one: three of them in its line, every one in its problems.

    Args:
        files: Files in all.
        kind: Of the corpus.
    """
    problems = [f"`{error.path}`: {error.reason}" for error in bad]
    rest = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    if not any(os.path.lexists(error.path) for error in bad):
        return CorpusError(
            f"Missing audio: `{bad[0].path}`{rest} of {files} files: {REMEDIES.get(kind, REMEDY)}.", problems
        )
    shown = ", ".join(f"`{error.path}` ({error.reason})" for error in bad[:3])
    rest = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    remedy = "replace them, take them out, or leave them out with --skip-bad"
    return CorpusError(f"Unusable audio, {len(bad)} of {files} files: {shown}{rest}: {remedy}.", problems)
