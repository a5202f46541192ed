"""Audio files in, waveforms of a fixed length out, mono or stereo. The only module that decodes audio."""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    channels, rate = _decode(path, sample_rate, samples)
    return _fitted(_resample(path, channels.mean(axis=1), rate, sample_rate), samples)


def read_stereo(path: str | Path, sample_rate: int, samples: int) -> np.ndarray:
    """As `read_audio`, but both channels of a stereo file, (2, S) float32, left first.

    Raises:
        AudioError: as `read_audio`, and for a file that has not two channels.
    """
    channels, rate = _decode(path, sample_rate, samples)
    if channels.shape[1] != 2:
        raise AudioError(path, f"the number of its channels is {channels.shape[1]}, not 2")
    both = np.ascontiguousarray(channels.T)
    return _fitted(_resample(path, both, rate, sample_rate), samples)


def _decode(path: str | Path, sample_rate: int, samples: int) -> tuple[np.ndarray, int]:
    """The frames (F, channels) of a file that `samples` at `sample_rate` need, and the file's own rate (Hz)."""
    for name, value in (("sample_rate", sample_rate), ("samples", samples)):
        if value < 1:
            raise ValueError(f"The value of `{name}` is {value!r}, but must be at least 1.")
    with _opened(path) as file:
        rate = file.samplerate
        frames = math.ceil(samples * rate / sample_rate)
        if rate != sample_rate:  # what the filter sees beyond the last output sample
            frames += math.ceil(FILTER_WIDTH * max(1, rate / sample_rate) / ROLLOFF) + 1
        channels = file.read(frames=min(frames, file.frames), dtype="float32", always_2d=True)
    if not len(channels):
        raise AudioError(path, "it has no samples")
    if not np.isfinite(channels).all():
        raise AudioError(path, "it holds a NaN or an infinity")
    return channels, rate


def _fitted(wave: np.ndarray, samples: int) -> np.ndarray:
    """The last axis cut or padded with zeros to `samples`."""
    fitted = np.zeros((*wave.shape[:-1], samples), dtype=np.float32)
    fitted[..., : wave.shape[-1]] = wave[..., :samples]
    return fitted


def audio_seconds(path: str | Path) -> float:
    """The duration of an audio file in seconds, from its header.

    Raises:
        AudioError: if the file is missing, unreadable or has no samples.
    """
    with _opened(path) as file:
        if file.frames < 1:
            raise AudioError(path, "it has no samples")
        return file.frames / file.samplerate


def audio_channels(path: str | Path) -> int:
    """The number of channels of an audio file, from its header.

    Raises:
        AudioError: if the file is missing or unreadable.
    """
    with _opened(path) as file:
        return file.channels


def file_digests(paths: Sequence[Path]) -> tuple[str, ...]:
    """A hash of the bytes of each file, 32 hex digits."""

    def digest(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(digest, paths))


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


def _resample(path: str | Path, wave: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """(..., samples at `rate`) to (..., samples at `sample_rate`)."""
    if rate == sample_rate:
        return wave
    if rate * sample_rate / math.gcd(rate, sample_rate) ** 2 > MAX_FILTER_TAPS:
        raise AudioError(path, f"its rate of {rate} Hz has no small ratio to {sample_rate} Hz")
    import torch  # seconds to import, and a corpus can be opened without it
    from torchaudio.functional import resample

    waveform = torch.from_numpy(wave)
    return resample(waveform, rate, sample_rate, lowpass_filter_width=FILTER_WIDTH, rolloff=ROLLOFF).numpy()
