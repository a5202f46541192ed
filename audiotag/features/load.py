"""Features of all clips of a corpus, computed once and kept on disk."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.audio.read import AudioError, read_audio, read_stereo
from audiotag.corpus.audio_scan import Progress
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError, list_first
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.features.store import CLIPS_PER_TASK, cached_features, is_cached

CACHE_VERSION = 6  # raised when the numbers of a front end change


def default_cache() -> Path:
    """Return the folder of the cache: `$XDG_CACHE_HOME/audiotag`, or `~/.cache/audiotag`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "audiotag"


def load_features(corpus: Corpus, settings: LogMel, cache: Path, progress: Progress | None = None) -> np.ndarray:
    """Load the features of every clip of a corpus, (N, T, columns) float32, read-only, mapped from the cache.

    Those that the cache lacks are computed, one thread per core, and added to it.

    Args:
        corpus: Its stereo recordings are read where the front end needs them.
        settings: The front end.
        cache: The folder of the cache.
        progress: Called with (clips done, clips in all).

    Raises:
        CorpusError: For clips that are too short or cannot be decoded; the first three are named in its line, all in
            its problems.
        CacheError: If the cache cannot be written.
    """
    audio = clip_audio(corpus, settings)
    samples, files, digests = audio.samples, audio.files, audio.digests
    try:
        shape = (settings.frames(samples), settings.columns)
    except ValueError as error:
        raise CorpusError(str(error)) from error
    buffer = _Waveforms(CLIPS_PER_TASK, 2, samples) if settings.imd else _Waveforms(CLIPS_PER_TASK, samples)
    readers = threading.Semaphore(max(1, (os.cpu_count() or 1) // 2))  # more contend for Python's lock: 7 % slower
    problems: dict[Path, str] = {}

    def compute(clips: Sequence[int]) -> np.ndarray:
        with readers:
            audio.read_all(clips, buffer.waves, problems)
        values = log_mel(buffer.waves[: len(clips)], settings)
        for row in np.flatnonzero(~np.isfinite(values).all(axis=(1, 2))):
            path = files[clips[int(row)]]
            problems.setdefault(path, f"The audio file `{path}` is too loud for float32: scale it down.")
        return values

    key = {"version": CACHE_VERSION, "settings": settings.to_dict(), "samples": samples}
    with nullcontext() if is_cached(cache, key, digests, shape) else one_torch_thread():  # torch takes 3 s to import
        features = cached_features(cache, key, digests, shape, compute, progress)
    refuse(problems)
    return features


def refuse(problems: dict[Path, str]) -> None:
    """Refuse recordings with problems, if there are any.

    Raises:
        CorpusError: With the first three in its line, and all of them as its problems.
    """
    if problems:
        lines = [problems[path] for path in sorted(problems)]
        raise CorpusError(list_first(lines, 3, separator="; "), lines)


@dataclass(frozen=True, eq=False)
class ClipAudio:
    """The clips of a corpus as a front end takes them.

    Attributes:
        files: (N,) their recordings.
        digests: (N,) hashes of these.
        samples: Of each clip, S.
        read: Reads a clip: (S,), in stereo (2, S); raises AudioError.
    """

    files: tuple[Path, ...]
    digests: tuple[str, ...]
    samples: int
    read: Callable[[int], np.ndarray]

    def read_all(self, clips: Sequence[int], waves: np.ndarray, problems: dict[Path, str]) -> None:
        """Read some clips into the first rows of `waves`; one that cannot be read is NaN, and among the problems."""
        for clip, wave in zip(clips, waves, strict=False):
            try:
                wave[:] = self.read(clip)
            except AudioError as error:
                problems[self.files[clip]] = str(error)
                wave[:] = np.nan  # what is not finite is not kept in the cache


def clip_audio(corpus: Corpus, settings: LogMel) -> ClipAudio:
    """Give the clips of a corpus as a front end takes them: mono, or stereo for the inter-channel difference."""
    samples, read_file, files, digests = settings.samples(corpus.clip_seconds), read_audio, corpus.paths, corpus.digests
    if settings.imd:
        read_file, files, digests = read_stereo, corpus.stereo_paths, corpus.stereo_digests
    return ClipAudio(files, digests, samples, lambda clip: read_file(files[clip], settings.sample_rate, samples))


class _Waveforms(threading.local):
    """A buffer for the waveforms of a task, one per thread: allocating it for each task takes an eighth of all time."""

    def __init__(self, *shape: int) -> None:
        self.waves = np.empty(shape, np.float32)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Give torch one thread per operation: the pool has one thread per core already."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
