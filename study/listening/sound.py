"""Sound on a page: a waveform as Opus within it, or a link to the file."""

import base64
import io
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np

from audiotag.audio.resample import resample

OPUS_RATES = (8000, 12_000, 16_000, 24_000, 48_000)  # Hz
BIT_RATE = 48_000  # bits per second and channel


def encode_opus(wave: np.ndarray, sample_rate: int) -> bytes:
    """Encode a waveform (S,), or (2, S), at a rate (Hz) as Opus in Ogg; the same samples give the same bytes.

    What is beyond [-1, 1] is clipped. Opus knows five rates: from another one the waveform is converted to 48 kHz.
    """
    import av  # not soundfile, whose streams have a random number

    channels = np.atleast_2d(wave)  # (C, S)
    if sample_rate not in OPUS_RATES:
        channels, sample_rate = resample(channels.T, sample_rate, OPUS_RATES[-1]).T, OPUS_RATES[-1]
    samples = np.clip(channels, -1, 1).astype(np.float32).T.reshape(1, -1)  # interleaved
    layout, file = "mono" if len(channels) == 1 else "stereo", io.BytesIO()
    with av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=sample_rate, layout=layout)
        stream.bit_rate = BIT_RATE * len(channels)
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
        frame.sample_rate, frame.pts = sample_rate, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def embedded(content: bytes, kind: str) -> str:
    """Bytes of a kind (MIME) as an address within the page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def linked(path: Path, folder: Path) -> str:
    """The address of a file from a page in a folder."""
    return quote(os.fsencode(os.path.relpath(os.path.abspath(path), os.path.abspath(folder))))
