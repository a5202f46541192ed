"""Helper of the fuzz and of tests: files in which FFmpeg encodes sound."""

from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

RATE = 16_000  # Hz


def encode(path: Path, wave: np.ndarray, codec: str, rate: int = RATE, form: str | None = None, **options: str) -> Path:
    """Encode (S, C) in a container, the one of the suffix or `form`; the options are those of the container."""
    layout = "mono" if wave.shape[1] == 1 else "stereo"
    with av.open(str(path), "w", format=form, options=options) as container:
        stream: AudioStream = container.add_stream(codec, rate=rate, layout=layout)  # type: ignore[assignment]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T, np.float32), "fltp", layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return path
