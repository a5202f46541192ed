"""Audio files in, waveforms out, mono or stereo."""

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from audiotag.audio.decode import open_decoder
from audiotag.audio.resample import look_ahead, resample, resample_pieces
from audiotag.audio.sound import SUFFIXES, DecodeError, Sound
from audiotag.files import reason_of

AUDIO_SUFFIXES = set().union(*SUFFIXES.values())
LOUDEST = 1e15  # above it the energy of a window overflows float32
PIECE = 1 << 20  # frames decoded at a time where a whole file is read


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
    """Read the beginning of an audio file as a mono waveform, (S,) float32.

    Channels are averaged, the rate is converted to `sample_rate` (Hz), the end is cut or padded with zeros to `samples`
    (S). Only the frames that this needs are decoded.

    Raises:
        AudioError: If the file is missing, unreadable, damaged, empty, or holds a NaN, an infinity or absurdly large
            values in the part that is read.
    """
    channels, rate = _read_beginning(path, sample_rate, samples)
    return _fit(resample(_to_mono(channels), rate, sample_rate), samples)


def read_stereo(path: str | Path, sample_rate: int, samples: int) -> np.ndarray:
    """Read the beginning of a stereo file as `read_audio` does, (2, S) float32, left first.

    Raises:
        AudioError: As `read_audio`, and for a file that has not two channels.
    """
    channels, rate = _read_beginning(path, sample_rate, samples)
    _require_two_channels(path, channels.shape[1])
    return np.ascontiguousarray(_fit(resample(channels, rate, sample_rate), samples).T)


def stream_audio(path: str | Path, sample_rate: int, stereo: bool = False) -> Iterator[np.ndarray]:
    """Yield a whole audio file at `sample_rate` (Hz) in pieces that join without a seam, mono, (s,) float32 each.

    With `stereo` both channels, (2, s), left first. Memory does not grow with the length of the file.

    Raises:
        AudioError: As `read_audio` and `read_stereo`, when the damaged part is reached.
    """
    with open_sound(path) as sound:
        if stereo:
            _require_two_channels(path, sound.channels)
        pieces = _decode_pieces(path, sound)
        waves = pieces if stereo else map(_to_mono, pieces)
        for wave in resample_pieces(waves, sound.sample_rate, sample_rate):
            yield np.ascontiguousarray(wave.T)


@contextmanager
def open_sound(path: str | Path) -> Iterator[Sound]:
    """Open an audio file whose container is whole.

    Raises:
        AudioError: If the file is missing, unreadable, damaged or of another format; and where the body cannot decode
            it.
    """
    _require_file(path)
    try:
        with open_decoder(path) as sound:
            yield sound
    except DecodeError as error:
        raise AudioError(path, str(error)) from error
    except OSError as error:
        raise AudioError(path, reason_of(error)) from error


def decode(path: str | Path, sound: Sound, frames: int) -> np.ndarray:
    """Decode the first `frames` samples of all channels, (S, C) float32; fewer where the file is shorter.

    Raises:
        AudioError: If there are none, or they hold what no waveform holds.
        DecodeError: If they cannot all be decoded.
    """
    channels = sound.read(frames)
    _require_usable(path, channels)
    return channels


def _require_file(path: str | Path) -> None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the name
        raise AudioError(path, "there is no such file") from error
    except OSError as error:
        raise AudioError(path, reason_of(error)) from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(path, "it is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
        raise AudioError(path, "it is not a regular file")
    if not status.st_size:
        raise AudioError(path, "it is empty")


def _read_beginning(path: str | Path, sample_rate: int, samples: int) -> tuple[np.ndarray, int]:
    """The frames (S, C) of a file that `samples` at `sample_rate` need, and the file's own rate (Hz)."""
    with open_sound(path) as sound:
        rate = sound.sample_rate
        return decode(path, sound, math.ceil(samples * rate / sample_rate) + look_ahead(rate, sample_rate)), rate


def _to_mono(channels: np.ndarray) -> np.ndarray:
    """(S, C) to the mean over channels, (S,)."""
    return channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)


def _decode_pieces(path: str | Path, sound: Sound) -> Iterator[np.ndarray]:
    """All samples of all channels in pieces, (s, C) float32."""
    piece = decode(path, sound, PIECE)
    while len(piece):
        yield piece
        if len(piece := sound.read(PIECE)):
            _require_usable(path, piece)


def _require_usable(path: str | Path, channels: np.ndarray) -> None:
    if not len(channels):
        raise AudioError(path, "it has no samples")
    loudest = max(-channels.min(), channels.max())  # NaN where there is one
    if not np.isfinite(loudest):
        raise AudioError(path, "it holds a NaN or an infinity")
    if loudest > LOUDEST:
        raise AudioError(path, "it is too loud for float32, scale it down")


def _require_two_channels(path: str | Path, channels: int) -> None:
    if channels != 2:
        raise AudioError(path, f"the number of its channels is {channels}, not 2")


def _fit(wave: np.ndarray, samples: int) -> np.ndarray:
    """(S, ...), cut or padded with zeros to `samples`."""
    if len(wave) == samples:
        return wave
    fitted = np.zeros((samples, *wave.shape[1:]), dtype=np.float32)
    fitted[: len(wave)] = wave[:samples]
    return fitted
