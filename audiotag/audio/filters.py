"""FFmpeg's filters on waveforms, (S,) or (C, S) float32, and what fits their results to a length."""

from fractions import Fraction

import numpy as np

FADE = 0.01  # s over which a repeated waveform passes from its end to its beginning
LAYOUTS = {1: "mono", 2: "stereo"}


def run_filter(wave: np.ndarray, sample_rate: int, name: str, options: str) -> np.ndarray:
    """Filter a waveform by one of FFmpeg's audio filters: (S,) or (C, S), C at most 2, to (..., S').

    Source: FFmpeg's documentation of filters; `options` are written as there.
    """
    import av
    from av.filter import Graph

    channels = np.atleast_2d(wave)
    graph, time_base, layout = Graph(), Fraction(1, sample_rate), LAYOUTS[len(channels)]
    graph.threads = 1  # whoever has many waveforms has threads of their own
    source = graph.add_abuffer(sample_rate=sample_rate, format="fltp", layout=layout, time_base=time_base)
    parts = [graph.add(name, options), graph.add("aformat", "sample_fmts=fltp"), graph.add("abuffersink")]
    graph.link_nodes(source, *parts).configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
    frame.sample_rate, frame.time_base, frame.pts = sample_rate, time_base, 0
    graph.push(frame)
    graph.push(None)
    pieces = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray())
        except (av.EOFError, av.BlockingIOError):
            break
    return np.concatenate(pieces, axis=1).reshape(*wave.shape[:-1], -1)


def fit_length(wave: np.ndarray, sample_rate: int, samples: int) -> np.ndarray:
    """Give a waveform (..., S') a length: its beginning, or itself again and again where it is too short.

    Each repetition fades in over FADE while the one before it fades out, so that there is no click, at equal power.
    """
    fade = min(round(FADE * sample_rate), wave.shape[-1] // 2)
    rising = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    fitted = wave
    while fitted.shape[-1] < samples:
        end = fitted.shape[-1] - fade
        seam = fitted[..., end:] * rising[::-1] + wave[..., :fade] * rising
        fitted = np.concatenate([fitted[..., :end], seam, wave[..., fade:]], axis=-1)
    return fitted[..., :samples]
