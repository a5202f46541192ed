"""What a page draws of a recording: its spectrogram as an image, and a lane per tag as paths that stretch with it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiotag.features.log_mel import LogMel, band_frequencies
from study.listening.sound import embedded
from study.tagging.curves import FREQUENCIES, TICKS, Track
from study.tagging.table import clock

LEVELS = 32  # of the spectrogram: more are hardly seen, and take twice the room
WIDTH, HEIGHT = 3000, 100  # of a lane, in units of its paths
SMALLEST_TOP = 0.001  # of a lane's scale: what is below is nothing
MOST_TICKS = 6  # of time


@dataclass(frozen=True)
class Tick:
    """A label, and where it stands: percent of the width, or of the height from below."""

    label: str
    place: float


@dataclass(frozen=True)
class Piece:
    """A stretch of time (s) that was scored as one clip; `kind`: above, below, right, wrong, or none, is its colour."""

    start: float
    end: float
    score: float
    kind: str


@dataclass(frozen=True)
class Paths:
    """A lane: its areas by kind, its scores, and the height of its threshold, "" where there is none.

    `top` is where the scale of the areas ends; that of scores and threshold is 0 to 1. None: the network has no curves.
    """

    areas: dict[str, str]
    scores: str
    threshold: str
    top: float | None


def draw_spectrogram(bands: np.ndarray) -> str:
    """Draw log-mel bands (columns, M) as an image within the page, low bands below."""
    import matplotlib as mpl
    from PIL import Image  # Pillow comes with matplotlib, which writes no palettes: three times the size

    low, high = np.percentile(bands, (5, 99.8))
    levels = np.clip((bands - low) / max(high - low, 1), 0, 1) * (LEVELS - 1)
    image = Image.fromarray(np.ascontiguousarray(np.round(levels).astype(np.uint8).T[::-1]))
    colours = mpl.colormaps["magma"](np.linspace(0, 1, LEVELS))[:, :3]
    image.putpalette(np.round(colours * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return embedded(file.getvalue(), "image/png")


def frequency_ticks(front_end: LogMel) -> list[Tick]:
    """Label the bands of a spectrogram with some round frequencies in kHz."""
    centres = band_frequencies(front_end)
    shown = [hertz for hertz in FREQUENCIES[1:] if centres[0] <= hertz <= centres[-1]]
    places = np.interp(shown, centres, (np.arange(len(centres)) + 0.5) / len(centres))
    return [Tick(f"{hertz / 1000:g}", round(100 * place, 1)) for hertz, place in zip(shown, places, strict=True)]


def time_ticks(seconds: float) -> list[Tick]:
    """Label a few round times."""
    step = next((step for step in TICKS if seconds <= MOST_TICKS * step), seconds / MOST_TICKS)
    times = [number * step for number in range(int(seconds / step * (1 + 1e-9)) + 1)]
    return [Tick(clock(time), round(100 * time / seconds, 2)) for time in times]


def highest_points(track: Track) -> np.ndarray:
    """The highest point of each tag's curve, (K,), where its scale may end."""
    highest = np.max([values.max(axis=0) for values in track.curves], axis=0)
    return np.maximum(highest, SMALLEST_TOP)


def draw_lane(
    track: Track, pieces: Sequence[Piece], tag: int, threshold: float | None, top: float | None, seconds: float
) -> Paths:
    """Draw a tag over the time of a recording of some seconds; `top` ends the scale of curves, None: there are none."""
    areas: dict[str, list[str]] = {}
    for place, piece in enumerate(pieces) if top is not None else ():
        assert top is not None
        times, values = track.times[place], track.curves[place][:, tag] / top
        ends = [(piece.start, values[0]), *zip(times.tolist(), values.tolist(), strict=True), (piece.end, values[-1])]
        line = "L".join(f"{_x(time, seconds)} {_y(value)}" for time, value in ends)
        area = f"M{_x(piece.start, seconds)} {HEIGHT}L{line}L{_x(piece.end, seconds)} {HEIGHT}Z"
        areas.setdefault(piece.kind, []).append(area)
    steps = [f"M{_x(piece.start, seconds)} {_y(piece.score)}H{_x(piece.end, seconds)}" for piece in pieces]
    cut = "" if threshold is None else f"M0 {_y(threshold)}H{WIDTH}"
    return Paths({kind: "".join(parts) for kind, parts in areas.items()}, "".join(steps), cut, top)


def _x(time: float, seconds: float) -> int:
    return round(WIDTH * min(max(time / seconds, 0), 1))


def _y(value: float) -> int:
    return round(HEIGHT * (1 - min(max(value, 0), 1)))
