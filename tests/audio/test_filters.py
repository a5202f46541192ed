"""FFmpeg's filters on waveforms, and waveforms that are brought to a length."""

import numpy as np
import pytest

from audiotag.audio.filters import fit_length, run_filter

RATE = 8000


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(RATE * seconds)) / RATE).astype(np.float32)


@pytest.mark.parametrize("shape", [(2000,), (1, 2000), (2, 2000)])
def test_a_gain_is_a_factor_for_every_sample(shape: tuple[int, ...]) -> None:
    wave = np.random.default_rng(0).uniform(-3, 3, shape).astype(np.float32)  # nothing is clipped
    louder = run_filter(wave, RATE, "volume", "volume=2.5:precision=float")
    assert louder.dtype == np.float32
    np.testing.assert_allclose(louder, 2.5 * wave, rtol=1e-6)


def test_a_longer_waveform_keeps_its_beginning() -> None:
    wave = tone(100)
    np.testing.assert_array_equal(fit_length(wave, RATE, 1000), wave[:1000])
    np.testing.assert_array_equal(fit_length(wave, RATE, RATE), wave)


def test_a_shorter_one_begins_again_with_a_fade_of_equal_power() -> None:
    wave = np.arange(1, 1001, dtype=np.float32)
    fitted, fade = fit_length(wave, RATE, 2500), 80
    assert fitted.shape == (2500,)
    np.testing.assert_array_equal(fitted[: 1000 - fade], wave[: 1000 - fade])
    np.testing.assert_array_equal(fitted[1000 : 2000 - 2 * fade], wave[fade : 1000 - fade])
    rising = np.sin(np.linspace(0, np.pi / 2, fade))
    np.testing.assert_allclose(fitted[920:1000], wave[920:] * rising[::-1] + wave[:80] * rising, rtol=1e-5)
    noise = np.random.default_rng(0).normal(size=(200, 1000)).astype(np.float32)
    levels = fit_length(noise, RATE, 1900).std(axis=0)
    assert abs(levels[920:1000].mean() - 1) < 0.02  # no louder and no quieter than the rest


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_waveform_of_next_to_nothing_is_repeated(samples: int) -> None:
    assert fit_length(np.ones((2, samples), np.float32), RATE, 50).shape == (2, 50)
