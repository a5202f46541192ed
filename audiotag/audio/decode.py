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
from typing import Any, BinaryIO, Protocol

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.container import InputContainer

from audiotag.audio.file_part import FilePart
from audiotag.audio.integrity import TAGS, examine_container

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
PLAIN = {"WAVEX": "WAV", "RF64": "WAV"}  # libsndfile's names, where they are not ours
CODED = {"mov": "MP4"}  # FFmpeg's names, where they are not ours
HEADLESS = ("MP3", "AAC")  # no first bytes tell them for sure
FORMATS = "WAV, AIFF, FLAC, Ogg, MP3, AAC, MP4 (M4A), Matroska (WebM) or AVI"
FULL_SCALE = {"u1": 2.0**-7, "i2": 2.0**-15, "i4": 2.0**-31}  # of integer samples
RATES = (100, 1_000_000)  # Hz; what is outside is a damaged header
MANY = 8  # planes of a frame, from which on PyAV 18.1 crashes when it lists them
LONG = "s64"  # 64-bit integers, which PyAV does not turn into arrays
OPTIONS = {
    "format_whitelist": "wav,aiff,flac,ogg,mp3,aac,mov,matroska,avi",  # a playlist could name other files
    "protocol_whitelist": "file",
}


Source = str | Path | BufferedReader


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
    try:
        opened = av.open(_readable(source, stack), mode="r", options=OPTIONS, metadata_errors="replace")
    except av.error.FFmpegError as error:
        reason = "it is cut off or damaged" if container.form else "it is of no known format, or damaged"
        raise DecodeError(reason) from error
    return CodedSound(stack.enter_context(opened), suffix, container.doubt)


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
        _require_rate(self.sample_rate)

    def read(self, frames: int) -> np.ndarray:
        """As `Sound.read`; for 16 bits NumPy takes half of libsndfile's time."""
        wanted = min(frames, self._file.frames - self._done)
        if self._file.subtype != "PCM_16":
            values = self._file.read(frames=wanted, dtype="float32", always_2d=True)
        else:
            values = _as_float(self._file.read(frames=wanted, dtype="int16", always_2d=True))
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
        _require_same((self.sample_rate, self.channels), (following.sample_rate, following.channels))
        self._now, self.doubt = following, self.doubt or following.doubt


class CodedSound:
    """The best audio track of a file that FFmpeg reads."""

    def __init__(self, container: InputContainer, suffix: str, doubt: str | None) -> None:
        name = container.format.name.split(",")[0]
        self._form = CODED.get(name, name.upper())
        if self._form in HEADLESS and not any(suffix in SUFFIXES[form] for form in HEADLESS):
            raise DecodeError(f"it looks like {self._form}, but is not named so")
        stream = container.streams.best("audio")
        if not isinstance(stream, AudioStream):
            raise DecodeError("it has no audio track")
        if stream.codec_context is None:  # PyAV's stubs do not say so
            raise DecodeError("it is damaged, or coded in a way that FFmpeg does not know")
        self._codec = stream.codec_context.codec
        coding = self._codec.canonical_name.upper()
        self.kind = self._form if coding == self._form else f"{self._form} {coding}"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"err_detect": "crccheck+explode"}  # FLAC has checksums
        self._container, self._stream, self.doubt = container, stream, doubt
        self.sample_rate, self.channels = 0, 0  # those of the first frame: a header may say otherwise
        self._decoded, self._undecoded = 0, 0.0  # frames so far, and seconds of the packets that were only counted
        self._end = 0  # of the last packet, in the stream's units of time
        self._counting = False
        self._blocks = self._decode()
        self._next = next(self._blocks, None)
        if self._next is None:
            raise DecodeError("it has no samples")

    def read(self, frames: int) -> np.ndarray:
        """As `Sound.read`."""
        parts, missing = [np.zeros((0, self.channels), np.float32)], frames
        while self._next is not None and missing > 0:
            parts.append(self._next[:missing])
            rest = self._next[missing:]
            missing -= len(parts[-1])
            self._next = rest if len(rest) else next(self._blocks, None)
        return np.concatenate(parts)

    def count(self) -> int:
        """As `Sound.count`, from the durations of packets."""
        self._counting = True
        for _ in self._blocks:
            pass
        return self._decoded + round(self._undecoded * self.sample_rate)

    def _decode(self) -> Iterator[np.ndarray]:
        """The frames of one packet after another, (s, C) float32."""
        last, failed = b"", False
        for packet in self._packets():
            if packet.size and failed:
                raise DecodeError(f"it is damaged: what follows {self._seconds:.2f} s cannot be decoded")
            if packet.size and not _is_tag(content := bytes(packet)):
                last = content
            self._end = self._end if packet.pts is None else packet.pts + (packet.duration or 0)
            if self._counting and packet.size:
                self._undecoded += float((packet.duration or 0) * (packet.time_base or 0))
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                failed = not _is_tag(bytes(packet))  # which may lie between joined files
                continue
            for frame in frames:
                yield self._waveform(frame)
        self._require_whole(last, failed)

    def _packets(self) -> Iterator["av.Packet[AudioStream]"]:
        """All packets of the track; the last one is empty, and gives what the decoder has kept back."""
        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError as error:
            raise DecodeError(f"it is damaged: what follows {self._seconds:.2f} s cannot be read") from error

    @property
    def _seconds(self) -> float:
        return self._decoded / self.sample_rate + self._undecoded if self.sample_rate else 0.0

    def _waveform(self, frame: av.AudioFrame) -> np.ndarray:
        """A decoded frame as (s, C) float32."""
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not self.sample_rate:
            _require_rate(rate)
            self.sample_rate, self.channels = rate, channels
        _require_same((self.sample_rate, self.channels), (rate, channels))
        self._decoded += frame.samples
        if frame.format.name.startswith(LONG) or (frame.format.is_planar and channels >= MANY):
            (frame,) = av.AudioResampler(format="flt").resample(frame)  # of the same rate, with its channels together
        values = frame.to_ndarray()
        return _as_float(values.T if frame.format.is_planar else values.reshape(-1, channels))

    def _require_whole(self, last: bytes, failed: bool) -> None:
        """At the end: a FLAC that has all its frames, and a last packet (bytes) that is complete.

        FLAC numbers its samples, and its header mostly says how many there are; a damaged frame is left out unsaid.
        """
        if self._form == "FLAC" and self._stream.time_base:
            frames = self._decoded + round(self._undecoded * self.sample_rate)
            end = max(self._stream.duration or 0, self._end)
            announced = round(end * self._stream.time_base * self.sample_rate)
            if frames < announced:
                raise DecodeError(f"it is cut off or damaged: {frames} of {announced} samples are there")
        if self._form in HEADLESS:
            failed = failed or not av.CodecContext.create(self._codec.name, "r").parse(last)
        if failed:
            self.doubt = "it ends within a frame"


def _is_tag(packet: bytes) -> bool:
    """Whether a packet is what other programs write before or behind the frames of an MP3."""
    return packet.startswith(TAGS) or not packet.strip(b"\0")


def _as_float(values: np.ndarray) -> np.ndarray:
    """Samples as fractions of full scale, float32."""
    code = values.dtype.str[1:]
    if code[0] == "f":
        return values.astype(np.float32, copy=False)
    signed = values.astype(np.int16) - 128 if code == "u1" else values
    return np.multiply(signed, np.float32(FULL_SCALE[code]), dtype=np.float32)


def _require_same(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Compare sample rates (Hz) and numbers of channels."""
    if one != other:
        forms = " and then ".join(f"{rate} Hz with {channels} channels" for rate, channels in (one, other))
        raise DecodeError(f"it holds {forms}: keep one of them")


def _require_rate(rate: int) -> None:
    lowest, highest = RATES
    if not lowest <= rate <= highest:
        raise DecodeError(f"its sample rate is {rate} Hz, but must be {lowest} to {highest}")
