"""Coded audio (MP3, AAC, Opus, FLAC, ...), read by FFmpeg, which PyAV's wheels bring along.

Imported where a file needs it: PyAV takes 66 ms and 18 MB, which processes without coded audio save.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from audiotag.audio.integrity import TAGS
from audiotag.audio.sound import SUFFIXES, DecodeError, Sound, as_float, require_rate, require_same

CODED = {"mov": "MP4"}  # FFmpeg's names, where they are not ours
HEADLESS = ("MP3", "AAC")  # no first bytes tell them for sure
MANY = 8  # planes of a frame, from which on PyAV 18.1 crashes when it lists them
LONG = "s64"  # 64-bit integers, which PyAV does not turn into arrays
OPTIONS = {
    "format_whitelist": "wav,aiff,flac,ogg,mp3,aac,mov,matroska,avi",  # a playlist could name other files
    "protocol_whitelist": "file",
}


def open_coded(source: str | BinaryIO, suffix: str, known: bool, doubt: str | None, stack: ExitStack) -> Sound:
    """Open what FFmpeg reads.

    Args:
        source: The name of a file as FFmpeg takes it, or an open file.
        suffix: Of its name.
        known: Whether its container is one that was examined.
        doubt: What may be wrong with that.
        stack: For what must be closed.

    Raises:
        DecodeError: If FFmpeg cannot read it.
    """
    try:
        opened = av.open(source, mode="r", options=OPTIONS, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise DecodeError("it is cut off or damaged" if known else "it is of no known format, or damaged") from error
    return CodedSound(stack.enter_context(opened), suffix, doubt)


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
            require_rate(rate)
            self.sample_rate, self.channels = rate, channels
        require_same((self.sample_rate, self.channels), (rate, channels))
        self._decoded += frame.samples
        if frame.format.name.startswith(LONG) or (frame.format.is_planar and channels >= MANY):
            (frame,) = av.AudioResampler(format="flt").resample(frame)  # of the same rate, with its channels together
        values = frame.to_ndarray()
        return as_float(values.T if frame.format.is_planar else values.reshape(-1, channels))

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
