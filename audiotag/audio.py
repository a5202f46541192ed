"""Audio files in, mono waveforms of a fixed length out. The only module that decodes audio."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

FILTER_WIDTH = 6  # zero crossings of the resampling filter on each side, torchaudio's default
ROLLOFF = 0.99  # cutoff as a fraction of the lower Nyquist frequency, torchaudio's default
MAX_FILTER_TAPS = 20_000_000  # torchaudio's filter bank for 44,099 -> 16,000 Hz would take 11 GB and a minute


class AudioError(ValueError):
    """An audio file that cannot be used.

    Attributes:
        path: The file.
        reason: Why, in a few words.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)  # both in args: the error survives pickling between processes
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"The audio file `{self.path}` cannot be used: {self.reason}. Replace it, or take it out of the corpus."


def read_audio(path: str | Path, sample_rate: int, samples: int) -> np.ndarray:
    """The beginning of an audio file as a mono waveform, (S,) float32.

    Channels are averaged, the rate is converted to `sample_rate` (Hz), the end is cut or padded with zeros to `samples`
    (S). Only the frames needed for that are decoded.

    Raises:
        AudioError: if the file is missing, unreadable, empty or holds a NaN or an infinity in the part that is read, or
            its rate has no small ratio to `sample_rate`.
    """
    for name, value in (("sample_rate", sample_rate), ("samples", samples)):
        if value < 1:
            raise ValueError(f"The value of `{name}` is {value!r}, but must be at least 1.")
    with _opened(path) as file:
        rate = file.samplerate
        frames = math.ceil(samples * rate / sample_rate)
        if rate != sample_rate:  # what the filter sees beyond the last output sample
            frames += math.ceil(FILTER_WIDTH * max(1, rate / sample_rate) / ROLLOFF) + 1
        channels = file.read(frames=min(frames, file.frames), dtype="float32", always_2d=True)  # (frames, channels)
    if not len(channels):
        raise AudioError(path, "it has no samples")
    if not np.isfinite(channels).all():
        raise AudioError(path, "it holds a NaN or an infinity")
    mono = _resample(path, channels.mean(axis=1), rate, sample_rate)[:samples]
    waveform = np.zeros(samples, dtype=np.float32)
    waveform[: len(mono)] = mono
    return waveform


def audio_seconds(path: str | Path) -> float:
    """The duration of an audio file in seconds, from its header.

    Raises:
        AudioError: if the file is missing, unreadable or has no samples.
    """
    with _opened(path) as file:
        if file.frames < 1:
            raise AudioError(path, "it has no samples")
        return file.frames / file.samplerate


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    if not Path(path).is_file():
        raise AudioError(path, "there is no such file")
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise AudioError(path, error.error_string.rstrip(".").strip().lower()) from error
    except TypeError as error:  # soundfile asks for the rate of a headerless file (.raw)
        raise AudioError(path, "it has no header") from error


def _resample(path: str | Path, mono: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    if rate == sample_rate:
        return mono
    if rate * sample_rate / math.gcd(rate, sample_rate) ** 2 > MAX_FILTER_TAPS:
        raise AudioError(path, f"its rate of {rate} Hz has no small ratio to {sample_rate} Hz")
    import torch  # seconds to import, and a corpus can be opened without it
    from torchaudio.functional import resample

    waveform = torch.from_numpy(mono)
    return resample(waveform, rate, sample_rate, lowpass_filter_width=FILTER_WIDTH, rolloff=ROLLOFF).numpy()
