"""Audio files in, waveforms of a fixed length out, mono or stereo. The only module that decodes audio."""

import hashlib
import math
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from audiotag.audio.integrity import container_damage
from audiotag.audio.resample import resample, resample_pieces, seen_beyond

FORMATS = ("WAV", "WAVEX", "RF64", "AIFF", "FLAC", "OGG", "MP3")  # of those libsndfile knows, all that can be checked
MP3_SUFFIXES = (".mp3", ".mp2", ".mpa")  # MP3 has no header to speak of: noise would be taken for it
SUFFIXES = {"WAV": (".wav", ".wave"), "WAVEX": (".wav", ".wave"), "RF64": (".wav", ".rf64"), "FLAC": (".flac",)}
SUFFIXES |= {"OGG": (".ogg", ".oga", ".opus"), "AIFF": (".aif", ".aiff", ".aifc")}
SOUNDS = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} | {".mp3"}
LOUDEST = 1e15  # above it the energy of a window overflows float32
FULL_SCALE = 0.999
FULL_SCALE_16 = np.float32(2**-15)  # what libsndfile, too, multiplies samples of 16 bits with
MARGIN = 0.01  # s that are looked at beyond the part that is told of: more than any resampling filter sees of it
PIECE = 1 << 20  # frames that are decoded at a time where a whole file is read


class AudioError(ValueError):
    """An audio file that cannot be used: `path`, and `reason`, why, in a few words."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)  # both in args: the error survives pickling between processes
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"The audio file `{self.path}` cannot be used: {self.reason}. Replace it, or take it out of the corpus."


@dataclass(frozen=True)
class AudioFacts:
    """What an audio file is and how it sounds; the figures are those of the part that was decoded.

    Attributes:
        seconds: The duration of the whole file.
        sample_rate: Hz.
        channels: How many.
        kind: Container and coding, such as "WAV PCM_16".
        peak: The largest absolute value, 1 is full scale.
        clipped: The share of samples at full scale.
        digest: Hash of the decoded samples: the same for the same sound in another container.
        file_digest: Hash of the file's bytes, 32 hex digits.
    """

    seconds: float
    sample_rate: int
    channels: int
    kind: str
    peak: float
    clipped: float
    digest: str
    file_digest: str


def read_audio(path: str | Path, sample_rate: int, samples: int) -> np.ndarray:
    """The beginning of an audio file as a mono waveform, (S,) float32.

    Channels are averaged, the rate is converted to `sample_rate` (Hz), the end is cut or padded with zeros to `samples`
    (S). Only the frames needed for that are decoded.

    Raises:
        AudioError: if the file is missing, unreadable, damaged, empty, or holds a NaN, an infinity or absurdly large
            values in the part that is read.
    """
    channels, rate = _beginning(path, sample_rate, samples)
    return _fitted(resample(_mono(channels), rate, sample_rate), samples)


def read_stereo(path: str | Path, sample_rate: int, samples: int) -> np.ndarray:
    """As `read_audio`, but both channels of a stereo file, (2, S) float32, left first.

    Raises:
        AudioError: as `read_audio`, and for a file that has not two channels.
    """
    channels, rate = _beginning(path, sample_rate, samples)
    _require_two_channels(path, channels.shape[1])
    return _fitted(resample(np.ascontiguousarray(channels.T), rate, sample_rate), samples)


def stream_audio(path: str | Path, sample_rate: int, stereo: bool = False) -> Iterator[np.ndarray]:
    """A whole audio file at `sample_rate` (Hz) in pieces that join without a seam, (s,) float32 each, mixed to mono.

    With `stereo` both channels, (2, s), left first. Memory does not grow with the length of the file.

    Raises:
        AudioError: as `read_audio` and `read_stereo`, but only when the part in question is reached.
    """
    with _opened(path) as file:
        if stereo:
            _require_two_channels(path, file.channels)
        pieces = _pieces(path, file)
        waves = (np.ascontiguousarray(piece.T) if stereo else _mono(piece) for piece in pieces)
        yield from resample_pieces(waves, file.samplerate, sample_rate)


def inspect_audio(path: str | Path, seconds: float) -> AudioFacts:
    """Decodes the first `seconds` of an audio file, and what resampling needs beyond them, and tells what they are.

    Raises:
        AudioError: as `read_audio`.
    """
    with _opened(path) as file:
        frames, beyond = (math.ceil(part * file.samplerate) for part in (seconds, MARGIN))
        channels = _decode(path, file, frames + beyond)[:frames]
        size = np.abs(channels)
        return AudioFacts(
            seconds=file.frames / file.samplerate,
            sample_rate=file.samplerate,
            channels=file.channels,
            kind=f"{file.format} {file.subtype}",
            peak=float(size.max()),
            clipped=float((size >= FULL_SCALE).mean()),
            digest=hashlib.blake2b(channels.tobytes(), digest_size=16).hexdigest(),
            file_digest=file_digest(path),
        )


def audio_seconds(path: str | Path) -> float:
    """The duration of an audio file in seconds, from its header.

    Raises:
        AudioError: if the file is missing, unreadable, damaged or has no samples.
    """
    with _opened(path) as file:
        if file.frames < 1:
            raise AudioError(path, "it has no samples")
        return file.frames / file.samplerate


def audio_channels(path: str | Path) -> int:
    """The number of channels of an audio file, from its header.

    Raises:
        AudioError: if the file is missing, unreadable or damaged.
    """
    with _opened(path) as file:
        return file.channels


def file_digest(path: str | Path) -> str:
    """A hash of the bytes of a file, 32 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def file_digests(paths: Sequence[Path]) -> tuple[str, ...]:
    """A hash of the bytes of each file, 32 hex digits."""
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(file_digest, paths))


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    try:
        _require_sound_container(path)
        with soundfile.SoundFile(os.fspath(path)) as file:
            if file.format not in FORMATS or (file.format == "MP3" and Path(path).suffix.lower() not in MP3_SUFFIXES):
                raise AudioError(path, f"it looks like {file.format}, but must be WAV, FLAC, OGG, AIFF or an .mp3 file")
            yield file
    except soundfile.LibsndfileError as error:
        raise AudioError(path, error.error_string.rstrip(".").strip().lower()) from error
    except OSError as error:
        raise AudioError(path, (error.strerror or str(error)).lower()) from error
    except (TypeError, ValueError) as error:  # soundfile asks for the rate of a headerless file (.raw)
        if isinstance(error, AudioError):
            raise
        raise AudioError(path, "it has no header") from error


def _require_sound_container(path: str | Path) -> None:
    try:
        status = os.stat(path)
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the name
        raise AudioError(path, "there is no such file") from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(path, "it is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise AudioError(path, "it is no regular file")
    if not status.st_size:
        raise AudioError(path, "it is empty")
    damage = container_damage(path)
    if damage:
        raise AudioError(path, damage)


def _beginning(path: str | Path, sample_rate: int, samples: int) -> tuple[np.ndarray, int]:
    """The frames (F, C) of a file that `samples` at `sample_rate` need, and the file's own rate (Hz)."""
    for name, value in (("sample_rate", sample_rate), ("samples", samples)):
        if value < 1:
            raise ValueError(f"The value of `{name}` is {value!r}, but must be at least 1.")
    with _opened(path) as file:
        rate = file.samplerate
        frames = math.ceil(samples * rate / sample_rate)
        if rate != sample_rate:  # what the filter sees beyond the last output sample
            frames += seen_beyond(rate, sample_rate)
        return _decode(path, file, frames), rate


def _decode(path: str | Path, file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """The first `frames` samples of all channels, (S, C) float32."""
    wanted = min(frames, file.frames)
    channels = _read(file, wanted)
    _require_all(path, file, len(channels), wanted)
    _require_usable(path, channels)
    return channels


def _read(file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """The next frames of all channels, (s, C) float32; of 16 bits NumPy makes them in half of libsndfile's time."""
    if file.subtype != "PCM_16":
        return file.read(frames=frames, dtype="float32", always_2d=True)
    return np.multiply(file.read(frames=frames, dtype="int16", always_2d=True), FULL_SCALE_16, dtype=np.float32)


def _mono(channels: np.ndarray) -> np.ndarray:
    """(S, C) to their mean (S,)."""
    return channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)


def _pieces(path: str | Path, file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """All samples of all channels in pieces, (s, C) float32."""
    done = 0
    while len(channels := _read(file, min(PIECE, file.frames - done))):
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


def _fitted(wave: np.ndarray, samples: int) -> np.ndarray:
    """The last axis cut or padded with zeros to `samples`."""
    if wave.shape[-1] == samples:
        return wave
    fitted = np.zeros((*wave.shape[:-1], samples), dtype=np.float32)
    fitted[..., : wave.shape[-1]] = wave[..., :samples]
    return fitted
