"""The front ends of the other systems: windows, mel filters, the inter-channel magnitude difference (IMD)."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.audio.read import read_stereo
from audiotag.corpus.corpus import Corpus, CorpusError, open_corpus
from audiotag.features.load import load_features
from audiotag.features.log_mel import LogMel, log_mel, mel_filters
from audiotag.features.store import cache_bytes
from audiotag.models.build import FRAMES_OF_20_MS, MAGNITUDES, MAGNITUDES_WITH_IMD

BESIDE = 32 + 4  # bytes of a clip in the cache beside its features: name and checksum
Write = Callable[..., Path]
ROWS = [(f"{number}.wav", number % 2, "xy"[number // 2 % 2]) for number in range(5)]
SMALL = LogMel(sample_rate=8000, n_fft=128, hop_length=64, n_mels=4)
SMALL_IMD = replace(SMALL, power=1.0, imd=True)
FRONT_ENDS = (LogMel(), FRAMES_OF_20_MS, MAGNITUDES, MAGNITUDES_WITH_IMD)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 0.2, shape).astype(np.float32)


@pytest.fixture
def corpus(folder_corpus: Write) -> Corpus:
    """Five clips of 400 samples."""
    return open_corpus(folder_corpus(ROWS))


# --- reference ---


@pytest.mark.parametrize(
    ("settings", "shape"),
    [(FRAMES_OF_20_MS, (399, 40)), (MAGNITUDES, (249, 40)), (MAGNITUDES_WITH_IMD, (249, 297))],
)
def test_four_seconds_of_the_other_systems(settings: LogMel, shape: tuple[int, int]) -> None:
    assert (settings.frames(64_000), settings.columns) == shape
    wave = noise(2, 64_000) if settings.imd else noise(64_000)
    assert log_mel(wave, settings).shape == shape
    assert settings.n_fft == 0.02 * 16_000 if settings is FRAMES_OF_20_MS else settings.n_fft == 512


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


@pytest.mark.parametrize("settings", FRONT_ENDS[:3], ids=("crnn", "dae_dnn", "cgrnn"))
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


# --- property ---


def test_a_front_end_needs_neither_corpus_nor_torch_to_be_described() -> None:
    code = "import sys, audiotag.features.log_mel; print({'torch', 'soundfile', 'audiotag.corpus'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_with_stereo_the_batch_is_the_stack_of_its_clips_too() -> None:
    waveforms = noise(3, 2, 400)
    features = log_mel(waveforms, SMALL_IMD)
    assert features.shape == (3, 5, 4 + 65)
    for clip in range(3):
        np.testing.assert_allclose(features[clip], log_mel(waveforms[clip], SMALL_IMD), rtol=1e-5, atol=1e-6)


def test_stereo_features_are_those_of_the_stereo_files(corpus: Corpus, tmp_path: Path) -> None:
    paths = tuple(path.with_name(f"{path.stem}.stereo.wav") for path in corpus.paths)
    for number, path in enumerate(paths):
        soundfile.write(path, noise(400, 2, seed=number), 8000, subtype="FLOAT")
    corpus, cache = replace(corpus, stereo_paths=paths), tmp_path / "cache"
    features = load_features(corpus, SMALL_IMD, cache)
    expected = np.stack([log_mel(read_stereo(path, 8000, 400), SMALL_IMD) for path in paths])
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    mono = load_features(corpus, SMALL, cache)
    both = features.nbytes + mono.nbytes + 10 * BESIDE
    assert cache_bytes(cache) == both
    soundfile.write(paths[2], noise(400, 2, seed=9), 8000, subtype="FLOAT")
    again = replace(corpus)
    load_features(again, SMALL, cache)
    assert cache_bytes(cache) == both  # the mono files are the same
    changed = load_features(again, SMALL_IMD, cache)
    assert cache_bytes(cache) == both + features[0].nbytes + BESIDE
    assert [np.array_equal(one, other) for one, other in zip(features, changed, strict=True)] == [True] * 2 + [
        False
    ] + [True] * 2


# --- malformed ---


def test_a_difference_of_energies() -> None:
    with pytest.raises(
        ValueError, match=r"The value of `power` is 2\.0, but must be 1 for the difference of magnitudes"
    ):
        LogMel(imd=True)


def test_mono_files_where_stereo_is_needed(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"0\.wav` cannot be used: the number of its channels is 1, not 2"):
        load_features(corpus, SMALL_IMD, tmp_path / "cache")
    assert cache_bytes(tmp_path / "cache") == 0
