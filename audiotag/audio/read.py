"""Audio files in, waveforms out, mono or stereo. The only module that decodes audio."""

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from audiotag.audio.integrity import container_damage
from audiotag.audio.resample import look_ahead, resample, resample_pieces
from audiotag.files import reason_of

FORMATS = {  # of those that libsndfile knows, all that can be checked, with the suffixes of their files
    "WAV": (".wav", ".wave"),
    "WAVEX": (".wav", ".wave"),
    "RF64": (".wav", ".rf64"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "MP3": (".mp3", ".mp2", ".mpa"),
}
AUDIO_SUFFIXES = set().union(*FORMATS.values())
LOUDEST = 1e15  # above it the energy of a window overflows float32
FULL_SCALE_16 = np.float32(2**-15)  # libsndfile's factor for samples of 16 bits, too
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
    with open_sound(path) as file:
        if stereo:
            _require_two_channels(path, file.channels)
        pieces = _decode_pieces(path, file)
        waves = pieces if stereo else map(_to_mono, pieces)
        for wave in resample_pieces(waves, file.samplerate, sample_rate):
            yield np.ascontiguousarray(wave.T)


@contextmanager
def open_sound(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """Open an audio file whose container is whole.

    Raises:
        AudioError: If the file is missing, unreadable, damaged or of another format; and where the body cannot read
            it.
    """
    try:
        _require_whole_container(path)
        with _open(path) as file:
            is_noise = file.format == "MP3" and Path(path).suffix.lower() not in FORMATS["MP3"]  # MP3 has no header
            if file.format not in FORMATS or is_noise:
                raise AudioError(path, f"it looks like {file.format}, but must be WAV, FLAC, OGG, AIFF or an .mp3 file")
            yield file
    except soundfile.LibsndfileError as error:
        raise AudioError(path, error.error_string.rstrip(".").strip().lower()) from error
    except OSError as error:
        raise AudioError(path, reason_of(error)) from error


def _open(path: str | Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(os.fspath(path))
    except (TypeError, ValueError) as error:  # soundfile asks for the rate of a headerless file (.raw)
        raise AudioError(path, "it has no header") from error


def decode(path: str | Path, file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """Decode the first `frames` samples of all channels, (S, C) float32; fewer where the file is shorter.

    Raises:
        AudioError: If they cannot all be decoded, or hold what no waveform holds.
    """
    wanted = min(frames, file.frames)
    channels = _read_frames(file, wanted)
    _require_all(path, file, len(channels), wanted)
    _require_usable(path, channels)
    return channels


def _require_whole_container(path: str | Path) -> None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the name
        raise AudioError(path, "there is no such file") from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(path, "it is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
        raise AudioError(path, "it is not a regular file")
    if not status.st_size:
        raise AudioError(path, "it is empty")
    if damage := container_damage(path):
        raise AudioError(path, damage)


def _read_beginning(path: str | Path, sample_rate: int, samples: int) -> tuple[np.ndarray, int]:
    """The frames (S, C) of a file that `samples` at `sample_rate` need, and the file's own rate (Hz)."""
    with open_sound(path) as file:
        rate = file.samplerate
        return decode(path, file, math.ceil(samples * rate / sample_rate) + look_ahead(rate, sample_rate)), rate


def _read_frames(file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """The next frames of all channels, (s, C) float32; for 16 bits NumPy takes half of libsndfile's time."""
    if file.subtype != "PCM_16":
        return file.read(frames=frames, dtype="float32", always_2d=True)
    return np.multiply(file.read(frames=frames, dtype="int16", always_2d=True), FULL_SCALE_16, dtype=np.float32)


def _to_mono(channels: np.ndarray) -> np.ndarray:
    """(S, C) to the mean over channels, (S,)."""
    return channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)


def _decode_pieces(path: str | Path, file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """All samples of all channels in pieces, (s, C) float32."""
    done = 0
    while len(channels := _read_frames(file, min(PIECE, file.frames - done))):
        done += len(channels)
        _require_usable(path, channels)
        yield channels
    _require_all(path, file, done, file.frames)


def _require_all(path: str | Path, file: soundfile.SoundFile, samples: int, wanted: int) -> None:
    if not samples:
        raise AudioError(path, "it has no samples")
    if samples < (0.9 if file.format == "MP3" else 1) * wanted:  # an MP3's length may be an estimate
        raise AudioError(path, f"it is damaged: {samples} of {wanted} samples can be decoded")


def _require_usable(path: str | Path, channels: np.ndarray) -> None:
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
