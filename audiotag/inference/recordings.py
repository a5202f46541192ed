"""Recordings of any length, found by file or folder and cut into the clips that a network takes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.audio.find import find_audio
from audiotag.audio.read import stream_audio
from audiotag.audio.sound import FORMATS
from audiotag.features.log_mel import LogMel

SHORTEST = 0.1  # of a clip: a last piece with less of its own is left out, it would be nearly all padding


class RecordingError(ValueError):
    """Paths that lead to no recording; the message is one line for the user."""


@dataclass(frozen=True)
class Cutting:
    """How a recording is cut: the front end, samples per clip, and from the start of one clip to that of the next.

    Raises:
        ValueError: Where the hop is longer than a clip, or below one sample.
    """

    front_end: LogMel
    samples: int
    hop: int

    def __post_init__(self) -> None:
        if not 1 <= self.hop <= self.samples:
            raise ValueError(f"The value of `hop` is {self.hop}, but must be from 1 to the {self.samples} of a clip.")


@dataclass(frozen=True, eq=False)
class Clip:
    """A piece of a recording: its start and end (s), and its waveform (S,), or (2, S), zeros behind the end."""

    start: float
    end: float
    waveform: np.ndarray


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """List the files among some paths and, sorted, all files with an audio suffix in and below the folders; each once.

    Files and folders whose names begin with a dot are passed over in a folder.

    Raises:
        RecordingError: For a path that does not exist, and a folder without audio.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not os.path.lexists(path):
            raise RecordingError(f"There is no file or folder `{path}`: name audio files, or folders that hold some.")
        files = find_audio(path) if path.is_dir() else [path]
        if not files:
            raise RecordingError(f"The folder `{path}` holds no audio file ({FORMATS}): name another.")
        found |= dict.fromkeys(files)
    return list(found)


def cut_recording(path: Path, cutting: Cutting) -> Iterator[Clip]:
    """Cut a recording into clips, in memory that does not grow with its length.

    A recording shorter than a clip, and the last piece of a longer one, are padded with zeros as in training. The last
    piece is left out where less than a tenth of a clip (`SHORTEST`) of it is in no clip before.

    Raises:
        AudioError: When a part of it cannot be read.
    """
    rate, samples, hop = cutting.front_end.sample_rate, cutting.samples, cutting.hop
    begin, end = 0, 0  # start of the buffer, end of the last clip: samples of the recording
    buffer: np.ndarray | None = None
    for piece in stream_audio(path, rate, cutting.front_end.imd):
        buffer = piece if buffer is None else np.concatenate([buffer, piece], axis=-1)
        while buffer.shape[-1] >= samples:
            end = begin + samples
            yield Clip(begin / rate, end / rate, buffer[..., :samples])
            buffer, begin = buffer[..., hop:], begin + hop
    assert buffer is not None, "a file without samples is refused"
    last = begin + buffer.shape[-1]
    if not end or last - end >= SHORTEST * samples:
        padding = [(0, 0)] * (buffer.ndim - 1) + [(0, samples - buffer.shape[-1])]
        yield Clip(begin / rate, last / rate, np.pad(buffer, padding))
