"""Augmentations of waveforms, on signals whose answer is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from audiotag.augment.waveform import background_noise, compression, pitch_shift, time_stretch

RATE, SAMPLES = 16_000, 64_000
RNG = np.random.default_rng(0)
FUNCTIONS: list[Callable[..., np.ndarray]] = [pitch_shift, time_stretch, compression]


def tone(frequency: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(SAMPLES) / RATE)).astype(np.float32)


def spectrum(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and powers of the middle of a waveform."""
    middle = wave[4000:-4000]
    return np.fft.rfftfreq(len(middle), 1 / RATE), np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) ** 2


def cents(wave: np.ndarray, frequency: float) -> float:
    """How far the strongest frequency is from another one, in hundredths of a semitone."""
    found, power = spectrum(wave)
    return float(1200 * np.log2(found[power.argmax()] / frequency))


def clicks(*seconds: float) -> np.ndarray:
    """Bursts of noise, 0.1 s each."""
    wave = np.zeros(SAMPLES, np.float32)
    for second in seconds:
        start = round(second * RATE)
        wave[start : start + RATE // 10] = np.random.default_rng(1).uniform(-0.5, 0.5, RATE // 10)
    return wave


def onsets(wave: np.ndarray) -> list[float]:
    """Seconds at which it gets loud after silence."""
    loud = np.abs(wave) > 0.05
    starts = [place for place in np.flatnonzero(loud) if not loud[max(0, place - RATE // 5) : place].any()]
    return [float(place / RATE) for place in starts]


# reference


@pytest.mark.parametrize(("variant", "semitones"), list(enumerate([-3.5, -2, 1, 12])))
@pytest.mark.parametrize("frequency", [220.0, 997.0, 2100.0])
def test_a_tone_is_shifted_by_its_semitones_and_stays_a_tone(variant: int, semitones: float, frequency: float) -> None:
    shifted = pitch_shift(tone(frequency), RATE, RNG, variant, semitones="-3.5 -2 1 12")
    wanted = frequency * 2 ** (semitones / 12)
    assert abs(cents(shifted, wanted)) < 5
    found, power = spectrum(shifted)
    near = np.abs(found - wanted) < 0.05 * wanted
    assert power[~near].sum() < 1e-3 * power.sum()
    assert shifted.std() == pytest.approx(tone(frequency).std(), rel=0.03)


def test_a_shift_keeps_the_times() -> None:
    shifted = pitch_shift(clicks(0.5, 2.0, 3.0), RATE, RNG, 0, semitones="2")
    assert onsets(shifted) == pytest.approx([0.5, 2.0, 3.0], abs=0.05)


@pytest.mark.parametrize(("variant", "rate"), list(enumerate([0.81, 1.23, 2.0])))
def test_a_stretch_keeps_the_pitch_and_divides_the_times(variant: int, rate: float) -> None:
    rates = "0.81 1.23 2.0"
    assert abs(cents(time_stretch(tone(440.0), RATE, RNG, variant, rates=rates), 440.0)) < 5
    stretched = time_stretch(clicks(0.5, 2.0), RATE, RNG, variant, rates=rates)
    length = SAMPLES / RATE / rate  # a faster one begins anew where it ends
    wanted = [round_ * length + second / rate for round_ in range(3) for second in (0.5, 2.0)]
    assert onsets(stretched) == pytest.approx([second for second in wanted if second < 3.9], abs=0.05)


def test_no_silence_follows_a_shortened_clip() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, SAMPLES).astype(np.float32)
    for variant in range(4):
        for function in (pitch_shift, time_stretch):
            last = function(noise, RATE, RNG, variant)[-1600:]
            assert last.std() == pytest.approx(noise.std(), rel=0.2)


def test_a_background_is_the_weighted_sum() -> None:
    wave, noise = tone(300.0), tone(1000.0)
    rng = np.random.default_rng(5)
    weight = 0.1 + 0.4 * np.random.default_rng(5).random()
    np.testing.assert_allclose(
        background_noise(wave, RATE, rng, noise), (1 - weight) * wave + weight * noise, atol=1e-6
    )
    drawn = [background_noise(np.ones(1), RATE, rng, np.zeros(1))[0] for _ in range(500)]
    assert 0.5 <= min(drawn) < 0.52
    assert 0.88 < max(drawn) <= 0.9
    assert np.mean(drawn) == pytest.approx(0.7, abs=0.02)


def settled(preset: str, decibels: float) -> float:
    """The level in dB that a preset makes of a level that holds on."""
    wave = np.full(6 * SAMPLES, 10 ** (decibels / 20), np.float32)
    return float(20 * np.log10(np.abs(compression(wave, RATE, RNG, 0, presets=preset)[-1])))


@pytest.mark.parametrize(
    ("preset", "points"),
    [
        ("music_standard", {-70: -58, -55: -43, -31: -31, -21: -21, -10.5: -20.5}),
        ("film_standard", {-70: -64, -43: -37, -31: -31, -10.5: -20.5}),
        ("speech", {-70: -55, -50: -35, -31: -31, -10.5: -20.5}),
        ("radio", {-70: -75, -60: -25, -30: -15}),  # of it 5 dB are taken off
    ],
)
def test_presets_have_the_curves_of_muda(preset: str, points: dict[float, float]) -> None:
    for level, wanted in points.items():
        assert settled(preset, level) == pytest.approx(wanted, abs=0.1)


def test_compression_takes_time_and_looks_ahead() -> None:
    """A level that falls from 0 to -60 dB: the gain of the quiet part comes with the decay of 0.3 s."""
    wave = np.where(np.arange(SAMPLES) < SAMPLES // 2, 1.0, 1e-3).astype(np.float32)
    gain = 20 * np.log10(compression(wave, RATE, RNG, 0, presets="music_standard") / wave)
    assert gain[SAMPLES // 2 - 3200] == pytest.approx(-20, abs=0.1)
    assert gain[SAMPLES // 2 + 8000] < gain[SAMPLES // 2 + 16000] < 12.01
    assert gain[-1] == pytest.approx(12, abs=1.5)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_both_channels_are_changed_alike(function: Callable[..., np.ndarray]) -> None:
    left = clicks(0.3, 1.1) + tone(440.0, 0.1)
    for variant in range(4):
        both = function(np.stack([left, 0.25 * left]), RATE, RNG, variant)
        np.testing.assert_allclose(both[1], 0.25 * both[0], atol=1e-6)
    quiet = np.zeros((2, SAMPLES), np.float32)
    np.testing.assert_allclose(function(quiet, RATE, RNG, 0), quiet, atol=1e-9)


def test_a_compressed_stereo_clip_has_the_gain_of_its_louder_channel() -> None:
    loud, quiet = clicks(0.5, 1.5), tone(300.0, 1e-3)
    both = compression(np.stack([loud, quiet]), RATE, RNG, 0)
    alone = compression(loud + 0, RATE, RNG, 0)
    burst = slice(8100, 9000)
    np.testing.assert_allclose(both[0, burst], alone[burst], rtol=3e-3)
    assert np.abs(both[1, burst]).max() < np.abs(compression(quiet, RATE, RNG, 0)[burst]).max()


# property


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_same_numbers_come_again_and_the_input_is_left_alone(function: Callable[..., np.ndarray]) -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, SAMPLES).astype(np.float32)
    given = wave.copy()
    for variant in range(4):
        first = function(wave, RATE, RNG, variant)
        np.testing.assert_array_equal(first, function(wave, RATE, RNG, variant + 4))
        assert (first.dtype, first.shape) == (np.float32, wave.shape)
        assert not np.array_equal(first, wave)
    np.testing.assert_array_equal(wave, given)


@pytest.mark.parametrize(("function", "values"), [(pitch_shift, {"semitones": "0"}), (time_stretch, {"rates": "1"})])
def test_without_strength_a_clip_stays_as_it_is(function: Callable[..., np.ndarray], values: dict[str, str]) -> None:
    for wave in (tone(440.0), np.stack([tone(440.0), tone(300.0)])):
        np.testing.assert_array_equal(function(wave, RATE, RNG, 3, **values), wave)
    noise = tone(50.0)
    np.testing.assert_array_equal(background_noise(wave, RATE, RNG, noise, low_weight=0.0, high_weight=0.0), wave)


# degenerate, malformed


@pytest.mark.parametrize("samples", [1, 10, 400, 3000])
def test_short_clips_have_their_length(samples: int) -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)
    for function in FUNCTIONS:
        for variant in range(4):
            varied = function(wave, 8000, RNG, variant)
            assert varied.shape == wave.shape
            assert np.isfinite(varied).all()


def test_what_is_loud_is_not_clipped() -> None:
    for variant in range(4):
        assert np.abs(pitch_shift(tone(440.0, 3.0), RATE, RNG, variant)).max() > 2.5


@pytest.mark.parametrize(
    ("function", "values", "message"),
    [
        (
            pitch_shift,
            {"semitones": "1, 2"},
            "of `semitones` is '1, 2', but must be numbers from -12 to 12 with blanks",
        ),
        (pitch_shift, {"semitones": ""}, "of `semitones` is ''"),
        (pitch_shift, {"semitones": "1 13"}, "from -12 to 12"),
        (time_stretch, {"rates": "0"}, "of `rates` is '0', but must be numbers from 0.5 to 2"),
        (time_stretch, {"rates": "nan"}, "of `rates` is 'nan'"),
        (
            compression,
            {"presets": "speech loud"},
            "of `presets` is 'speech loud', but must be some of music_standard .*",
        ),
        (compression, {"presets": " "}, "of `presets` is ' '"),
    ],
)
def test_lists_that_are_none(function: Callable[..., np.ndarray], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(tone(440.0), RATE, RNG, 0, **values)
