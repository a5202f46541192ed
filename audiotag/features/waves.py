"""Waveforms of the clips that are trained on, for what mixes them before the front end.

Shapes: D development clips of a corpus, S samples of a clip, B batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.corpus.audio_scan import Progress
from audiotag.corpus.corpus import Corpus
from audiotag.features.load import CACHE_VERSION, clip_audio, refuse
from audiotag.features.log_mel import LogMel
from audiotag.features.store import cached_features


@dataclass(frozen=True, eq=False)
class Waves:
    """The waveforms of clips as a front end takes them.

    Attributes:
        values: (D, S) float32, or (D, 2, S) in stereo.
        clips: (D,) the clips of the corpus that they are of, ascending.
        front_end: Which takes them.
    """

    values: np.ndarray
    clips: np.ndarray
    front_end: LogMel

    def cut(self, clips: np.ndarray, starts: np.ndarray, frames: int) -> np.ndarray:
        """Cut what some frames are computed from: clips (B,) and first frames (B,) to (B, samples), or (B, 2, samples).

        Each cut has the samples of `frames` frames, or what the clip has of them.
        """
        hop, length = self.front_end.hop_length, self.front_end.n_fft
        samples = min((frames - 1) * hop + length, self.values.shape[-1])
        places = zip(np.searchsorted(self.clips, clips), starts * hop, strict=True)
        return np.stack([self.values[row, ..., first : first + samples] for row, first in places])


def load_waves(corpus: Corpus, front_end: LogMel, cache: Path, progress: Progress | None = None) -> Waves:
    """Load the waveforms of the clips that a corpus trains on, mapped from the cache; those that it lacks are read.

    Args:
        corpus: The corpus.
        front_end: For its sample rate, and whether it takes stereo.
        cache: The folder of the cache.
        progress: Called with (clips done, clips in all).

    Raises:
        CorpusError: For clips that cannot be read, as `load_features`.
        CacheError: If the cache cannot be written.
    """
    audio, clips = clip_audio(corpus, front_end), corpus.trained
    shape = (2, audio.samples) if front_end.imd else (audio.samples,)
    problems: dict[Path, str] = {}

    def read(rows: Sequence[int]) -> np.ndarray:
        waves = np.empty((len(rows), *shape), np.float32)
        audio.read_all(clips[list(rows)].tolist(), waves, problems)
        return waves

    key = {"version": CACHE_VERSION, "waveforms at": front_end.sample_rate, "shape": list(shape)}
    values = cached_features(cache, key, [audio.digests[clip] for clip in clips], shape, read, progress)
    refuse(problems)
    return Waves(values, clips, front_end)
