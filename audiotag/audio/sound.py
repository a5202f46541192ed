"""What an open audio file is, whichever decoder reads it."""

from typing import Protocol

import numpy as np

SUFFIXES = {  # of each form that can be checked
    "WAV": (".wav", ".wave", ".rf64"),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".ogv", ".opus"),
    "MP3": (".mp3", ".mp2", ".mpa"),
    "AAC": (".aac",),
    "MP4": (".m4a", ".m4b", ".m4v", ".mp4", ".mov", ".3gp"),
    "MATROSKA": (".mka", ".mkv", ".webm"),
    "AVI": (".avi",),
}
FORMATS = "WAV, AIFF, FLAC, Ogg, MP3, AAC, MP4 (M4A), Matroska (WebM) or AVI"
FULL_SCALE = {"u1": 2.0**-7, "i2": 2.0**-15, "i4": 2.0**-31}  # of integer samples
RATES = (100, 1_000_000)  # Hz; what is outside is a damaged header


class DecodeError(ValueError):
    """Why a file cannot be decoded, in a few words."""


class Sound(Protocol):
    """An open audio file, decoded from its beginning onwards."""

    sample_rate: int  # Hz
    channels: int
    kind: str  # its form and coding, such as "WAV PCM_16"
    doubt: str | None  # what may be wrong with it; complete when it was read to its end, or counted

    def read(self, frames: int) -> np.ndarray:
        """Decode the next frames of all channels, (s, C) float32; fewer at the end.

        Raises:
            DecodeError: Where they are damaged.
        """

    def count(self) -> int:
        """Count the frames of the whole file; do not read on.

        Those that have not been read are not decoded: there the figure is that of the packets, which may hold a few
        thousand more or fewer than they give.
        """


def as_float(values: np.ndarray) -> np.ndarray:
    """Samples as fractions of full scale, float32."""
    code = values.dtype.str[1:]
    if code[0] == "f":
        return values.astype(np.float32, copy=False)
    signed = values.astype(np.int16) - 128 if code == "u1" else values
    return np.multiply(signed, np.float32(FULL_SCALE[code]), dtype=np.float32)


def require_same(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Compare sample rates (Hz) and numbers of channels.

    Raises:
        DecodeError: If they differ.
    """
    if one != other:
        forms = " and then ".join(f"{rate} Hz with {channels} channels" for rate, channels in (one, other))
        raise DecodeError(f"it holds {forms}: keep one of them")


def require_rate(rate: int) -> None:
    """Check a sample rate (Hz).

    Raises:
        DecodeError: If it is outside RATES.
    """
    lowest, highest = RATES
    if not lowest <= rate <= highest:
        raise DecodeError(f"its sample rate is {rate} Hz, but must be {lowest} to {highest}")
