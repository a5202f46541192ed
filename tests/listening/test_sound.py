"""Sound on a page."""

import io
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from study.listening.sound import encode_opus, linked


def tone(rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize(("rate", "written"), [(16_000, 16_000), (8000, 8000), (22_050, 48_000), (44_100, 48_000)])
def test_opus_has_the_length_and_the_sound(rate: int, written: int) -> None:
    wave, found = soundfile.read(io.BytesIO(encode_opus(tone(rate), rate)))
    assert found == written
    assert len(wave) == pytest.approx(0.5 * written, abs=written / 100)
    middle = slice(written // 8, 3 * written // 8)
    assert wave[middle] == pytest.approx(tone(written)[middle], abs=0.05)


def test_the_same_samples_give_the_same_bytes() -> None:
    assert encode_opus(tone(16_000), 16_000) == encode_opus(tone(16_000), 16_000)


def test_stereo_keeps_its_channels() -> None:
    both = np.stack([tone(16_000), np.zeros(8000, np.float32)])
    wave, _ = soundfile.read(io.BytesIO(encode_opus(both, 16_000)))
    left, right = np.abs(wave).mean(axis=0)
    assert left > 0.2
    assert right < 0.01


def test_what_is_too_loud_is_clipped() -> None:
    wave, _ = soundfile.read(io.BytesIO(encode_opus(50 * tone(16_000), 16_000)))
    assert np.abs(wave).max() < 1.5


def test_a_link_leads_to_the_file(tmp_path: Path) -> None:
    file, page = tmp_path / "co rp#us" / "a?b%20.wav", tmp_path / "studies" / "x"
    address = linked(file, page)
    assert address.startswith("../../co%20rp%23us/")
    assert (page / unquote(address)).resolve() == file.resolve()
