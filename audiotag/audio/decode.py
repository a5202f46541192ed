"""Decoders: libsndfile for plain samples (WAV, AIFF) and Vorbis, FFmpeg for everything else that is coded.

FFmpeg comes with PyAV's wheels. libsndfile guesses the length of an MP3 without a Xing header, takes the rate of Opus
from a field that says something else, and refuses whole files (FLAC of unknown length, FLAC in Ogg, AAC). FFmpeg gives
short Vorbis files samples behind their end.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from audiotag.audio.file_part import FilePart
from audiotag.audio.integrity import examine_container
from audiotag.audio.sound import DecodeError, Sound, as_float, require_rate, require_same

PLAIN = {"WAVEX": "WAV", "RF64": "WAV"}  # libsndfile's names, where they are not ours


Source = str | Path | BufferedReader


@contextmanager
def open_decoder(path: str | Path) -> Iterator[Sound]:
    """Open an audio file whose container is whole.

    Raises:
        DecodeError: If it is damaged, cut off, or in none of the forms.
        OSError: If it cannot be read.
    """
    with ExitStack() as stack:
        yield _open(path, Path(path).suffix.lower(), stack)


def _open(source: Source, suffix: str, stack: ExitStack) -> Sound:
    """Open a file, or a part of one; what must be closed goes on the stack."""
    with ExitStack() as examined:
        file = source if isinstance(source, BufferedReader) else examined.enter_context(open(source, "rb"))
        container = examine_container(file)
        file.seek(0)
    if container.damage is not None:
        raise DecodeError(container.damage)
    if container.links and not isinstance(source, BufferedReader):  # FFmpeg 8.0 may lose samples of the second
        links = _open_links(source, container.links, suffix)
        stack.callback(links.close)
        return JoinedSound(links, container.doubt)
    if container.exact and (plain := _open_plain(source)) is not None:
        return PlainSound(stack.enter_context(plain), container.doubt)
    from audiotag.audio.coded_sound import open_coded  # imports PyAV

    return open_coded(_readable(source, stack), suffix, bool(container.form), container.doubt, stack)


def _open_links(path: str | Path, links: Sequence[tuple[int, int]], suffix: str) -> Generator[Sound, None, None]:
    """The streams of an Ogg that lie one after another; each is closed before the next is opened."""
    for begin, end in links:
        with ExitStack() as stack:
            part: Any = stack.enter_context(BufferedReader(FilePart(path, begin, end)))
            yield _open(part, suffix, stack)


def _open_plain(source: Source) -> soundfile.SoundFile | None:
    """A file that libsndfile reads; None where it cannot."""
    try:
        return soundfile.SoundFile(source if isinstance(source, BufferedReader) else os.fspath(source))
    except soundfile.LibsndfileError:
        return None


def _readable(source: Source, stack: ExitStack) -> str | BinaryIO:
    """The file's name, by which FFmpeg reads without Python; the open file where the name is not UTF-8."""
    if isinstance(source, BufferedReader):
        return source
    name = f"file:{os.path.abspath(source)}"  # with the prefix a colon in a name does not make it a protocol
    try:
        name.encode()
    except UnicodeEncodeError:
        return stack.enter_context(open(source, "rb"))
    return name


class PlainSound:
    """A file that libsndfile reads to the sample."""

    def __init__(self, file: soundfile.SoundFile, doubt: str | None) -> None:
        self._file, self._done, self.doubt = file, 0, doubt
        self.sample_rate, self.channels = file.samplerate, file.channels
        self.kind = f"{PLAIN.get(file.format, file.format)} {file.subtype}"
        require_rate(self.sample_rate)

    def read(self, frames: int) -> np.ndarray:
        """As `Sound.read`; for 16 bits NumPy takes half of libsndfile's time."""
        wanted = min(frames, self._file.frames - self._done)
        if self._file.subtype != "PCM_16":
            values = self._file.read(frames=wanted, dtype="float32", always_2d=True)
        else:
            values = as_float(self._file.read(frames=wanted, dtype="int16", always_2d=True))
        self._done += len(values)
        if len(values) < wanted:
            raise DecodeError(f"it is damaged: {self._done} of {self._file.frames} samples can be decoded")
        return values

    def count(self) -> int:
        """As `Sound.count`, from the header."""
        return self._file.frames


class JoinedSound:
    """Streams that lie one after another in an Ogg file; they must have one rate and number of channels."""

    def __init__(self, sounds: Iterator[Sound], doubt: str | None) -> None:
        first = next(sounds)
        self._sounds, self._now = sounds, first
        self._before, self._ended = 0, False  # frames of the streams that have ended
        self.sample_rate, self.channels, self.kind = first.sample_rate, first.channels, first.kind
        self.doubt = doubt or first.doubt

    def read(self, frames: int) -> np.ndarray:
        """As `Sound.read`."""
        parts = [np.zeros((0, self.channels), np.float32)]
        while not self._ended and (missing := frames - sum(map(len, parts))):
            parts.append(self._now.read(missing))
            if len(parts[-1]) < missing:
                self._go_on()
        return np.concatenate(parts)

    def count(self) -> int:
        """As `Sound.count`."""
        while not self._ended:
            self._go_on()
        return self._before

    def _go_on(self) -> None:
        """Go on to the next stream, if there is one; the one before is closed then."""
        self._before += self._now.count()
        following = next(self._sounds, None)
        if following is None:
            self._ended = True
            return
        require_same((self.sample_rate, self.channels), (following.sample_rate, following.channels))
        self._now, self.doubt = following, self.doubt or following.doubt
