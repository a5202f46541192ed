"""Helper: recordings of noise, and files in which FFmpeg encodes them."""

from pathlib import Path

import av
import numpy as np

RATE = 16_000


def noise(seconds: float, seed: int = 0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """(S, channels) float32."""
    shape = (round(seconds * rate), channels)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def encode(path: Path, wave: np.ndarray, codec: str, rate: int = RATE, form: str | None = None, **options: str) -> Path:
    """Encode (S, C) in a container, the one of the suffix or `form`; the options are those of the container."""
    layout = "mono" if wave.shape[1] == 1 else "stereo"
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T, np.float32), "fltp", layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return path
