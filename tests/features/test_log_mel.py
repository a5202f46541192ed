"""The log-mel front end: windows, mel filters, and the inter-channel magnitude difference (IMD)."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.small_features import SMALL, SMALL_IMD, noise

from audiotag.audio.read import read_audio
from audiotag.features.log_mel import LogMel, log_mel, mel_filters

FRAMES_OF_20_MS = LogMel(n_fft=320, hop_length=160, n_mels=40)
MAGNITUDES = LogMel(n_fft=512, hop_length=256, n_mels=40, power=1.0, unit_peaks=True)
MAGNITUDES_WITH_IMD = replace(MAGNITUDES, imd=True)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [(LogMel(), (124, 128)), (FRAMES_OF_20_MS, (399, 40)), (MAGNITUDES, (249, 40)), (MAGNITUDES_WITH_IMD, (249, 297))],
)
def test_four_seconds_of_each_front_end(settings: LogMel, shape: tuple[int, int]) -> None:
    assert (settings.samples(4.0), settings.frames(64_000), settings.columns) == (64_000, *shape)
    features = log_mel(noise(2, 64_000) if settings.imd else noise(64_000), settings)
    assert (features.shape, features.dtype) == (shape, np.float32)


def test_energies_are_those_of_librosa() -> None:
    import librosa  # seconds to import

    waveform = noise(20_000)
    expected = librosa.feature.melspectrogram(
        y=waveform, sr=16_000, n_fft=1024, hop_length=512, window="hamming", center=False, power=2.0, n_mels=128
    )
    energies = np.exp(log_mel(waveform, LogMel(log_offset=1e-20)))
    np.testing.assert_allclose(energies, expected.T, rtol=1e-4)
    np.testing.assert_allclose(log_mel(waveform, LogMel()), np.log(expected.T + 1e-8), atol=1e-4)


def spectrum(wave: np.ndarray, n_fft: int, frame: int, hop: int) -> np.ndarray:
    """Magnitudes (bins,) of one frame under a Hamming window, by NumPy alone."""
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return np.abs(np.fft.rfft(wave[frame * hop : frame * hop + n_fft].astype(np.float64) * window))


def test_the_inter_channel_magnitude_difference_by_hand() -> None:
    wave = noise(2, 16_000) * np.array([[1.0], [0.3]], dtype=np.float32)
    features = log_mel(wave, MAGNITUDES_WITH_IMD)
    for frame in (0, 17, 60):
        left, right = (spectrum(channel, 512, frame, 256) for channel in wave)
        np.testing.assert_allclose(features[frame, 40:], left - right, atol=1e-4)
    np.testing.assert_array_equal(log_mel(wave.mean(axis=0), MAGNITUDES), features[:, :40])  # bands of the mean channel
    assert log_mel(wave[[1, 0]], MAGNITUDES_WITH_IMD)[:, 40:] == pytest.approx(-features[:, 40:])


def test_bands_of_magnitudes_are_those_of_librosas_filters_over_their_maxima() -> None:
    import librosa

    filters = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=40, fmin=0.0, fmax=8000.0)
    filters /= filters.max(axis=1, keepdims=True)
    wave = noise(4000)
    for frame in (0, 9):
        expected = np.log(filters @ spectrum(wave, 512, frame, 256) + 1e-8)
        np.testing.assert_allclose(log_mel(wave, MAGNITUDES)[frame], expected, rtol=1e-4)


@pytest.mark.parametrize("settings", [LogMel(), FRAMES_OF_20_MS, MAGNITUDES], ids=("crnn", "dae_dnn", "cgrnn"))
def test_the_filters_of_each_front_end(settings: LogMel) -> None:
    filters = mel_filters(settings).numpy()  # (bins, M)
    assert filters.shape == (settings.n_fft // 2 + 1, settings.n_mels)
    assert (filters > 0).sum(axis=0).min() >= 2
    peaks = filters.argmax(axis=0)
    assert (np.diff(peaks) > 0).all()
    assert filters[-1].max() < 0.05 * filters.max()  # up to 8 kHz
    assert (filters[1:-1].sum(axis=1) > 0).all()  # no gap between filters
    if settings.unit_peaks:
        np.testing.assert_allclose(filters.max(axis=0), 1, rtol=1e-6)


def test_the_six_real_chunks(shared_data: Path) -> None:
    paths = sorted((shared_data / "chime_home_sample" / "chunks").glob("*.16kHz.wav"))
    assert len(paths) == 6
    features = log_mel(np.stack([read_audio(path, 16_000, 64_000) for path in paths]), LogMel())
    assert features.shape == (6, 124, 128)
    assert np.isfinite(features).all()
    assert features.std(axis=1).min() > 0.1  # every band of every clip moves
    assert math.log(1e-8) < features.min() < features.max() < 10


@pytest.mark.parametrize("settings", [SMALL, SMALL_IMD])
def test_features_of_a_batch_are_the_stack_of_those_of_its_clips(settings: LogMel) -> None:
    waveforms = noise(3, 2, 400)
    features = log_mel(waveforms, settings)
    assert features.shape == ((3, 5, 4 + 65) if settings.imd else (3, 2, 5, 4))
    for index in np.ndindex(features.shape[:-2]):
        np.testing.assert_allclose(features[index], log_mel(waveforms[index], settings), rtol=1e-5, atol=1e-6)


def test_a_front_end_needs_neither_corpus_nor_torch_to_be_described() -> None:
    code = "import sys, audiotag.features.log_mel; print({'torch', 'soundfile', 'audiotag.corpus'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_silence_is_the_logarithm_of_the_offset() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(400, dtype=np.float32), SMALL), math.log(1e-8), rtol=1e-6)


def test_whole_windows_only() -> None:
    assert [SMALL.frames(samples) for samples in (128, 191, 192, 256)] == [1, 1, 2, 3]
    assert log_mel(noise(191), SMALL).shape == (1, 4)


def test_a_difference_of_energies() -> None:
    with pytest.raises(ValueError, match=r"The value of `power` is 2\.0, but must be 1 for the difference of"):
        LogMel(imd=True)
