"""What is drawn of a recording."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from audiotag.features.log_mel import LogMel
from audiotag.inference.recordings import Clip
from study.listening.drawing import (
    HEIGHT,
    WIDTH,
    Piece,
    draw_lane,
    draw_spectrogram,
    frequency_ticks,
    highest_points,
    time_ticks,
)
from study.tagging.curves import Track


def track_of(curves: np.ndarray, starts: tuple[float, ...] = (0.0,)) -> Track:
    track = Track(len(curves))
    for start in starts:
        clip = Clip(start, start + 1, np.zeros(16_000))
        track.add(clip, np.zeros((30, 128), np.float32), curves, LogMel())
    return track


def points(path: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, part.split())) for part in path.removeprefix("M").removesuffix("Z").split("L")]


def test_low_bands_lie_below_and_loud_ones_are_bright() -> None:
    bands = np.zeros((10, 6))
    bands[:, 0] = 5
    head, _, content = draw_spectrogram(bands).partition(",")
    assert head == "data:image/png;base64"
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("L"))
    assert image.shape == (6, 10)
    assert image[-1].min() > image[:-1].max() + 100


def test_silence_is_drawn() -> None:
    assert draw_spectrogram(np.full((4, 8), -18.4)).startswith("data:image/png")


def test_a_lane_has_area_score_and_threshold() -> None:
    curves = np.linspace(0, 0.2, 30)[:, None]
    lane = draw_lane(track_of(curves), [Piece(0.0, 1.0, 0.75, "right")], 0, 0.5, 0.2, seconds=1.0)
    assert lane.scores == f"M0 {HEIGHT // 4}H{WIDTH}"
    assert lane.threshold == f"M0 {HEIGHT // 2}H{WIDTH}"
    area = points(lane.areas["right"])
    assert area[0] == (0, HEIGHT)
    assert area[-1] == (WIDTH, HEIGHT)
    assert min(height for _, height in area) == 0  # its highest point is the top
    assert [at for at, _ in area] == sorted(at for at, _ in area)


def test_a_long_recording_has_a_piece_per_clip() -> None:
    pieces = [Piece(0.0, 1.0, 0.9, "above"), Piece(1.0, 2.0, 0.1, "below")]
    lane = draw_lane(track_of(np.full((30, 1), 0.5), (0.0, 1.0)), pieces, 0, None, 1.0, seconds=2.0)
    assert lane.threshold == ""
    assert {kind: points(area)[0][0] for kind, area in lane.areas.items()} == {"above": 0, "below": WIDTH // 2}


def test_a_network_without_curves_has_no_areas() -> None:
    track = track_of(np.zeros((30, 1)))
    lane = draw_lane(track, [Piece(0.0, 1.0, 0.5, "right")], 0, 0.5, None, seconds=1.0)
    assert lane.areas == {}
    assert lane.top is None
    assert highest_points(track) > 0  # no division by zero


@pytest.mark.parametrize("seconds", [0.3, 4.0, 10.0, 61.5, 7200.0])
def test_times_are_few_and_within(seconds: float) -> None:
    ticks = time_ticks(seconds)
    assert 2 <= len(ticks) <= 7
    assert ticks[0].place == 0
    assert ticks[-1].place <= 100


def test_frequencies_rise() -> None:
    ticks = frequency_ticks(LogMel())
    assert [tick.label for tick in ticks] == ["1", "2", "4"]
    assert sorted(tick.place for tick in ticks) == [tick.place for tick in ticks]
