"""Waveforms of the clips that are trained on, for what mixes them before the front end.

Shapes: D development clips of a corpus, S samples of a clip, B batch.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from audiotag.audio.read import AudioError
from audiotag.corpus.corpus import Corpus
from audiotag.corpus.errors import CorpusError
from audiotag.features.load import clip_audio
from audiotag.features.log_mel import LogMel

Progress = Callable[[int, int], None]


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


def load_waves(corpus: Corpus, front_end: LogMel, progress: Progress | None = None) -> Waves:
    """Read the clips that a corpus trains on, several at a time.

    Args:
        corpus: The corpus.
        front_end: For its sample rate, and whether it takes stereo.
        progress: Called with (clips done, clips in all).

    Raises:
        CorpusError: For one that cannot be read.
    """
    audio, clips = clip_audio(corpus, front_end), corpus.trained
    values = np.empty((len(clips), *([2] if front_end.imd else []), audio.samples), np.float32)

    def read(row: int) -> None:
        values[row] = audio.read(int(clips[row]))

    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as pool:
        try:
            for done, _ in enumerate(pool.map(read, range(len(clips))), start=1):
                if progress:
                    progress(done, len(clips))
        except AudioError as error:
            raise CorpusError(str(error)) from error
    return Waves(values, clips, front_end)
