"""What an audio file holds: duration, rate, channels, peak, and hashes of its samples and of its bytes."""

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.audio.read import AudioError, decode, open_sound
from audiotag.audio.resample import LOOK_AHEAD

FULL_SCALE = 0.999
MARGIN = 0.02  # s that are checked for damage beyond the part that is described: a resampling filter reaches there


@dataclass(frozen=True)
class AudioInfo:
    """An audio file's form and level; the figures are those of the part that was decoded."""

    seconds: float  # of the whole file
    sample_rate: int  # Hz
    channels: int
    kind: str  # container and coding, such as "WAV PCM_16"
    peak: float  # the largest absolute value, 1 is full scale
    clipped: float  # the share of samples at full scale
    mix: float  # the level of the mean of the channels, as a share of theirs: 0 where they cancel each other
    digest: str  # hash of the decoded samples: the same for the same sound in another container
    file_digest: str  # hash of the file's bytes, 32 hex digits
    doubt: str | None = None  # what may be wrong with a file that can be used


def inspect_audio(path: str | Path, seconds: float) -> AudioInfo:
    """Decode and describe the first `seconds` of an audio file; what resampling needs beyond them is decoded, too.

    Raises:
        AudioError: As `read_audio`.
    """
    with open_sound(path) as sound:
        frames = math.ceil(seconds * sound.sample_rate)
        beyond = max(LOOK_AHEAD, math.ceil(MARGIN * sound.sample_rate))
        channels = decode(path, sound, frames + beyond)[:frames]
        size = np.abs(channels)
        return AudioInfo(
            seconds=sound.count() / sound.sample_rate,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
            kind=sound.kind,
            peak=float(size.max()),
            clipped=float((size >= FULL_SCALE).mean()),
            mix=_level_of_mix(channels),
            digest=hashlib.blake2b(channels.tobytes(), digest_size=16).hexdigest(),
            file_digest=file_digest(path),
            doubt=sound.doubt,
        )


def _level_of_mix(channels: np.ndarray) -> float:
    """RMS of the mean of some channels (S, C), divided by the RMS of all of them; 1 for silence."""
    if channels.shape[1] == 1 or not (level := float(np.sqrt(np.square(channels).mean()))):
        return 1.0
    return float(np.sqrt(np.square(channels.mean(axis=1)).mean())) / level


def audio_seconds(path: str | Path) -> float:
    """Return the duration of an audio file in seconds, without decoding all of it.

    Raises:
        AudioError: If the file is missing, unreadable, damaged or has no samples.
    """
    with open_sound(path) as sound:
        if not (frames := sound.count()):
            raise AudioError(path, "it has no samples")
        return frames / sound.sample_rate


def audio_doubt(path: str | Path) -> str | None:
    """Return what may be wrong with an audio file that can be used, in a few words.

    Raises:
        AudioError: As `audio_seconds`.
    """
    with open_sound(path) as sound:
        sound.count()
        return sound.doubt


def audio_format(path: str | Path) -> tuple[int, int]:
    """Return the sample rate (Hz) and the number of channels of an audio file.

    Raises:
        AudioError: If the file is missing, unreadable or damaged.
    """
    with open_sound(path) as sound:
        return sound.sample_rate, sound.channels


def file_digest(path: str | Path) -> str:
    """Return a hash of the bytes of a file, 32 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def file_digests(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a hash of the bytes of each file, 32 hex digits."""
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(file_digest, paths))
