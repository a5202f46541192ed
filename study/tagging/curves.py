"""Curves of the tags over the time of a recording, under its spectrogram: one SVG per recording.

While recordings are tagged only what a drawing can show is kept of them: some thousand columns each, the maximum of the
frames in each column.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.audio.probe import audio_seconds
from audiotag.features.log_mel import LogMel, band_frequencies
from audiotag.inference.recordings import Clip, Cutting
from study.reporting.style import BLUE, FAINT, GRID, INK, Panel, as_panel, style
from study.tagging.table import clock
from study.tagging.tagging import TaggedClip, above_threshold

COLUMNS = 3000  # of a drawing, at most, where a clip has one at least
LANES = 12  # tags that are drawn: of more the most probable ones
NUMBERED = 10  # clips of a recording, at most, whose probabilities are written into the drawing
FREQUENCIES = (500, 1000, 2000, 4000, 8000, 16_000)  # Hz, of the ticks
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # s, from one to the next
HEADROOM = 1.5  # above a lane's curve, for the probabilities
FLATTEST = 0.1  # of the highest curve: a lane's scale ends there at least
SPECTROGRAM, LANE = 1.7, 0.5  # inches, heights
NARROWEST, WIDEST, CLIP = 7.0, 13.0, 1.2  # inches, widths


@dataclass(eq=False)
class Track:
    """What is drawn of a recording: of each clip its bands (c, M), times (p,) in s, and curves of its tags (p, K)."""

    columns: int  # of a whole clip
    bands: list[np.ndarray] = field(default_factory=list)
    times: list[np.ndarray] = field(default_factory=list)
    curves: list[np.ndarray] = field(default_factory=list)

    def add(self, clip: Clip, features: np.ndarray, curves: np.ndarray, front_end: LogMel) -> None:
        """Add a clip: features (T, columns) and curves (P, K), whose points lie around the middle of the frames.

        Frames whose middle is behind the end of the recording show padding and are left out.
        """
        frames = np.arange(len(features))
        middles = (frames * front_end.hop_length + front_end.n_fft / 2) / front_end.sample_rate
        times = np.interp(np.arange(len(curves)) + (len(features) - len(curves)) / 2, frames, middles)
        shown, points = (max(1, int(np.searchsorted(all_of, clip.end - clip.start))) for all_of in (middles, times))
        columns = -(-self.columns * shown // len(features))
        self.bands.append(_pooled(features[:shown, : front_end.n_mels], columns))
        self.curves.append(_pooled(curves[:points], columns))
        self.times.append(clip.start + times[_edges(points, columns)])


def likeliest(probabilities: np.ndarray) -> list[int]:
    """The tags that are drawn, in their order, of the probabilities of a recording's clips (clips, K)."""
    return sorted(np.argsort(-probabilities.max(axis=0), kind="stable")[:LANES].tolist())


def _edges(values: int, columns: int) -> np.ndarray:
    """The first value of each column into which some values are pooled."""
    columns = min(values, columns)
    return np.arange(columns) * values // columns


def _pooled(values: np.ndarray, columns: int) -> np.ndarray:
    return np.maximum.reduceat(values, _edges(len(values), columns), axis=0)


class Tracks:
    """Those of all recordings, filled while they are tagged."""

    def __init__(self, cutting: Cutting) -> None:
        self._cutting = cutting
        self._tracks: dict[Path, Track] = {}

    def watch(self, path: Path, clip: Clip, features: np.ndarray, curves: np.ndarray) -> None:
        """Add a clip of a recording, with its features (T, columns) and the curves of its tags (P, K)."""
        if path not in self._tracks:
            clips = audio_seconds(path) * self._cutting.front_end.sample_rate / self._cutting.samples
            self._tracks[path] = Track(max(1, min(len(features), int(COLUMNS / max(clips, 1)))))
        self._tracks[path].add(clip, features, curves, self._cutting.front_end)

    def track(self, path: Path) -> Track:
        """What is drawn of a recording that was tagged."""
        return self._tracks[path]

    def draw(self, path: Path, name: str, clips: list[TaggedClip], thresholds: dict[str, float | None]) -> Panel:
        """Draw a recording that was tagged."""
        track, tags = self._tracks[path], list(thresholds)
        probabilities = np.array([clip.probabilities for clip in clips])  # (clips, K)
        above = np.array([list(above_threshold(clip.probabilities, thresholds).values()) for clip in clips])
        lanes = likeliest(probabilities)
        with style():
            axes = _new_axes(len(clips), len(lanes))
            _draw_spectrogram(axes[0], track, self._cutting)
            left = "" if len(lanes) == len(tags) else f", the {len(lanes)} most probable of {len(tags)} tags"
            axes[0].set_title(f"{name}{left}")
            highest = np.max([values.max(axis=0) for values in track.curves], axis=0)  # (K,)
            tops = np.maximum(highest, max(FLATTEST * highest.max(), 0.001))
            for ax, tag in zip(axes[1:], lanes, strict=True):
                _draw_lane(ax, track, clips, tag, above[:, tag], tops[tag])
                ax.set_ylabel(tags[tag], rotation=0, ha="right", va="center", labelpad=12)
                if len(clips) <= NUMBERED:
                    for clip, probability, bold in zip(clips, probabilities[:, tag], above[:, tag], strict=True):
                        _number(ax, clip, f"{probability:.2f}", bold)
            _draw_time(axes[-1], clips[-1].end)
            return as_panel(axes[0], "curves", f"{name}: spectrogram, and when each tag is heard")


def _new_axes(clips: int, lanes: int) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width = min(max(NARROWEST, CLIP * clips + 1), WIDEST)
    figure = Figure((width, SPECTROGRAM + LANE * lanes + 0.7), layout=ConstrainedLayoutEngine(h_pad=0.02, hspace=0))
    return figure.subplots(1 + lanes, 1, sharex=True, height_ratios=[SPECTROGRAM, *[LANE] * lanes])


def _draw_spectrogram(ax: Any, track: Track, cutting: Cutting) -> None:
    bands = np.concatenate(track.bands)  # (columns, M)
    end = len(bands) / track.columns * cutting.samples / cutting.front_end.sample_rate
    low, high = np.percentile(bands, (5, 99.8))
    image = {"cmap": "Greys", "vmin": low, "vmax": max(high, low + 1), "aspect": "auto", "interpolation": "nearest"}
    ax.imshow(bands.T, origin="lower", extent=(0, end, -0.5, bands.shape[1] - 0.5), **image)
    centres = band_frequencies(cutting.front_end)
    shown = [frequency for frequency in FREQUENCIES if centres[0] <= frequency <= centres[-1]]
    ax.set_yticks(np.interp(shown, centres, np.arange(len(centres))), [f"{hertz / 1000:g}" for hertz in shown])
    ax.set_ylabel("kHz")
    ax.grid(False)


def _draw_lane(ax: Any, track: Track, clips: list[TaggedClip], tag: int, above: np.ndarray, top: float) -> None:
    """A tag's curve on its own scale: blue in clips in which it is at its threshold or above, grey in the others."""
    for colour, shown in ((FAINT, ~above), (BLUE, above)):
        pieces = np.flatnonzero(shown).tolist()
        if not pieces:
            continue
        times = np.concatenate([np.append(track.times[place], track.times[place][-1]) for place in pieces])
        values = np.concatenate([np.append(track.curves[place][:, tag], np.nan) for place in pieces])
        ax.fill_between(times, values, color=colour, alpha=0.25, linewidth=0)
        ax.plot(times, values, color=colour, linewidth=1.2 if len(clips) <= 4 * NUMBERED else 0.7)
    ax.set(ylim=(0, HEADROOM * top), yticks=[0, top], yticklabels=["0", f"{top:.2g}"])
    ax.tick_params(axis="y", labelsize=7)
    ax.grid(False)
    for clip in clips[1:] if len(clips) <= 4 * NUMBERED else ():
        ax.axvline(clip.start, color=GRID, linewidth=0.8, zorder=0)


def _draw_time(ax: Any, seconds: float) -> None:
    """Label the axis of time at some ten round times."""
    from matplotlib.ticker import MultipleLocator

    ax.set(xlim=(0, seconds), xlabel="time (min:s)")
    ax.xaxis.set_major_locator(MultipleLocator(next((step for step in TICKS if seconds <= 10.5 * step), seconds / 10)))
    ax.xaxis.set_major_formatter(lambda value, _: clock(value))


def _number(ax: Any, clip: TaggedClip, text: str, bold: bool) -> None:
    look = {"fontsize": 8, "color": INK if bold else FAINT, "fontweight": "bold" if bold else "normal"}
    where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "right", "va": "top"}
    ax.annotate(text, (clip.end, 1), (-3, -2), **where, **look)
