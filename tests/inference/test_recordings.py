"""audiotag.inference.recordings: files and folders in, clips of a fixed length out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from encode import RATE
from helpers.recordings import noise

from audiotag.audio.read import AudioError
from audiotag.features.log_mel import LogMel
from audiotag.inference.recordings import Clip, Cutting, RecordingError, cut_recording, find_recordings


def cut(path: Path, seconds: float = 1.0, hop: float = 1.0, front_end: LogMel = LogMel()) -> list[Clip]:  # noqa: B008
    return list(cut_recording(path, Cutting(front_end, round(seconds * RATE), round(hop * RATE))))


# reference


def test_a_recording_is_cut_where_training_would(tmp_path: Path) -> None:
    """2.5 s and clips of 1 s: two whole ones, and half of one with silence behind it."""
    wave = noise(2.5)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    first, second, third = cut(tmp_path / "a.wav")
    assert [(clip.start, clip.end) for clip in (first, second, third)] == [(0, 1), (1, 2), (2, 2.5)]
    assert np.array_equal(np.concatenate([first.waveform, second.waveform, third.waveform[: RATE // 2]]), wave[:, 0])
    assert third.waveform.shape == (RATE,)
    assert not third.waveform[RATE // 2 :].any()


@pytest.mark.parametrize(
    ("seconds", "hop", "wanted"),
    [
        (0.02, 1.0, [(0, 0.02)]),
        (1.0, 1.0, [(0, 1)]),
        (1.099, 1.0, [(0, 1)]),  # less than a tenth of a clip is left out
        (1.1, 1.0, [(0, 1), (1, 1.1)]),
        (2.0, 0.5, [(0, 1), (0.5, 1.5), (1, 2)]),
        (1.7, 0.5, [(0, 1), (0.5, 1.5), (1, 1.7)]),
        (1.55, 0.5, [(0, 1), (0.5, 1.5)]),  # only .05 s are in no clip before
    ],
)
def test_cutting_rule(seconds: float, hop: float, wanted: list[tuple[float, float]], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(seconds), RATE)
    assert [(clip.start, clip.end) for clip in cut(tmp_path / "a.wav", hop=hop)] == wanted


# property


def test_recordings_are_found_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.wav", "a/z.FLAC", "a/notes.txt", ".hidden.wav", "c.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_recordings([tmp_path / "c.mp3", tmp_path, tmp_path / "b.wav"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["c.mp3", "a/z.FLAC", "b.wav"]


# degenerate


def test_a_system_that_hears_in_stereo_refuses_mono(tmp_path: Path) -> None:
    stereo = LogMel(n_fft=512, hop_length=256, n_mels=40, power=1.0, unit_peaks=True, imd=True)
    soundfile.write(tmp_path / "mono.wav", noise(1.0), RATE)
    with pytest.raises(AudioError, match="the number of its channels is 1, not 2"):
        cut(tmp_path / "mono.wav", front_end=stereo)
    soundfile.write(tmp_path / "stereo.wav", noise(1.5, channels=2), RATE)
    assert [clip.waveform.shape for clip in cut(tmp_path / "stereo.wav", front_end=stereo)] == [(2, RATE)] * 2


# malformed


@pytest.mark.parametrize("hop", [0, RATE + 1])
def test_a_hop_is_at_most_a_clip(hop: int) -> None:
    with pytest.raises(ValueError, match=f"`hop` is {hop}, but must be from 1 to the {RATE} of a clip"):
        Cutting(LogMel(), RATE, hop)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"There is no file or folder `.*/gone`: name"):
        find_recordings([tmp_path / "gone"])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RecordingError, match="holds no audio file"):
        find_recordings([tmp_path])
