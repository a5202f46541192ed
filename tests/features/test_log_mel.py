import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audiotag.audio.read import read_audio
from audiotag.corpus.corpus import Corpus, CorpusError, open_corpus
from audiotag.features.load import default_cache, load_features
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.features.standardise import band_statistics
from audiotag.features.store import CLIPS_PER_TASK, cache_bytes

Write = Callable[..., Path]
ROWS = [(f"{number}.wav", number % 2, "xy"[number // 2 % 2]) for number in range(5)]
BESIDE = 32 + 4  # bytes of a clip in the cache beside its features: name and checksum
SMALL = LogMel(sample_rate=8000, n_fft=128, hop_length=64, n_mels=4)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 0.2, shape).astype(np.float32)


def refuse(*arguments: Any) -> None:
    raise RuntimeError("nothing should be computed")


@pytest.fixture
def corpus(folder_corpus: Write) -> Corpus:
    """Five clips of 400 samples."""
    return open_corpus(folder_corpus(ROWS))


# --- reference ---


def test_four_seconds_give_124_frames_of_128_bands() -> None:
    settings = LogMel()
    assert settings.samples(4.0) == 64_000
    assert settings.frames(64_000) == 124
    features = log_mel(noise(64_000), settings)
    assert (features.shape, features.dtype) == ((124, 128), np.float32)


def test_energies_are_those_of_librosa() -> None:
    import librosa  # seconds to import

    waveform = noise(20_000)
    expected = librosa.feature.melspectrogram(
        y=waveform,
        sr=16_000,
        n_fft=1024,
        hop_length=512,
        window="hamming",
        center=False,
        power=2.0,
        n_mels=128,
        htk=False,
        norm="slaney",
    )
    energies = np.exp(log_mel(waveform, LogMel(log_offset=1e-20)))
    np.testing.assert_allclose(energies, expected.T, rtol=1e-4)
    np.testing.assert_allclose(log_mel(waveform, LogMel()), np.log(expected.T + 1e-8), atol=1e-4)


def test_no_filter_is_all_zero() -> None:
    impulse = np.zeros(1024, dtype=np.float32)
    impulse[512] = 1.0  # all frequencies alike
    assert log_mel(impulse, LogMel()).min() > math.log(1e-8) + 1
    with pytest.warns(UserWarning, match="all zero values"):  # what a filter without an FFT bin would look like
        assert log_mel(impulse, LogMel(n_mels=512)).min() == pytest.approx(math.log(1e-8))


def test_the_six_real_chunks(shared_data: Path) -> None:
    paths = sorted((shared_data / "chime_home_sample" / "chunks").glob("*.16kHz.wav"))
    assert len(paths) == 6
    features = log_mel(np.stack([read_audio(path, 16_000, 64_000) for path in paths]), LogMel())
    assert features.shape == (6, 124, 128)
    assert np.isfinite(features).all()
    assert features.std(axis=1).min() > 0.1  # every band of every clip moves
    assert math.log(1e-8) < features.min() < features.max() < 10


def test_band_statistics_by_hand() -> None:
    features = np.array([[[1, 10], [3, 10]], [[5, 10], [7, 14]]], dtype=np.float32)  # 2 clips, 2 frames, 2 bands
    mean, scale = band_statistics(features, np.array([0, 1]))
    np.testing.assert_allclose(mean, [4, 11])
    np.testing.assert_allclose(scale, [math.sqrt(5), math.sqrt(3)], rtol=1e-6)
    assert (mean.dtype, scale.dtype) == (np.float32, np.float32)


def test_features_of_a_corpus_are_those_of_its_clips_in_order(corpus: Corpus, tmp_path: Path) -> None:
    features = load_features(corpus, SMALL, tmp_path / "cache")
    expected = [log_mel(read_audio(path, 8000, 400), SMALL) for path in corpus.paths]
    assert (features.shape, features.dtype) == ((5, 5, 4), np.float32)
    np.testing.assert_allclose(features, np.stack(expected), rtol=1e-6)


# --- property ---


def test_features_of_a_batch_are_the_stack_of_those_of_its_clips() -> None:
    waveforms = noise(3, 2, 400)
    features = log_mel(waveforms, SMALL)
    assert features.shape == (3, 2, 5, 4)
    for place in np.ndindex(3, 2):
        np.testing.assert_allclose(features[place], log_mel(waveforms[place], SMALL), rtol=1e-6)


def test_louder_audio_is_shifted() -> None:
    settings = replace(SMALL, log_offset=1e-20)
    louder = log_mel(2 * noise(400), settings) - log_mel(noise(400), settings)
    np.testing.assert_allclose(louder, math.log(4), rtol=1e-3)


@pytest.mark.parametrize("clips", [1, CLIPS_PER_TASK, CLIPS_PER_TASK + 3])
def test_clips_keep_their_places_whatever_the_number_of_tasks(corpus: Corpus, tmp_path: Path, clips: int) -> None:
    chosen = np.arange(clips) % 5
    names, paths = tuple(f"{n}" for n in range(clips)), tuple(corpus.paths[n] for n in chosen)
    many = replace(corpus, clips=names, paths=paths, known_digests=())
    calls: list[tuple[int, int]] = []
    features = load_features(many, SMALL, tmp_path / "cache", lambda done, total: calls.append((done, total)))
    np.testing.assert_allclose(features, load_features(corpus, SMALL, tmp_path / "cache")[chosen], rtol=1e-6)
    assert calls[-1] == (clips, clips)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_a_second_load_computes_nothing(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "deep" / "cache"
    first = load_features(corpus, SMALL, cache)
    monkeypatch.setattr("audiotag.features.load.log_mel", refuse)
    monkeypatch.setattr("audiotag.features.load.read_audio", refuse)
    again = load_features(open_corpus(corpus.root), SMALL, cache)
    np.testing.assert_array_equal(again, first)
    assert not again.flags.writeable


@pytest.mark.parametrize("name", [field.name for field in fields(LogMel)])
def test_each_setting_gives_other_files_and_other_features(corpus: Corpus, tmp_path: Path, name: str) -> None:
    changes = {"sample_rate": 16_000, "n_fft": 64, "hop_length": 32, "n_mels": 8, "log_offset": 1e-3}
    changes |= {"power": 1.0, "unit_peaks": True, "imd": True}
    for number, path in enumerate(corpus.paths):
        soundfile.write(path, noise(400, 2, seed=number), 8000)
    before = replace(SMALL, power=1.0) if name == "imd" else SMALL
    changed = replace(before, **{name: changes[name]})
    corpus, cache = open_corpus(corpus.root), tmp_path / "cache"
    first, second = load_features(corpus, before, cache), load_features(corpus, changed, cache)
    assert cache_bytes(cache) == first.nbytes + second.nbytes + 10 * BESIDE
    assert first.shape != second.shape or not np.allclose(first, second)


def test_another_length_gives_other_files_and_other_names_do_not(corpus: Corpus, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_features(corpus, SMALL, cache)
    load_features(replace(corpus, name="other", tags=("a", "b"), clips=tuple("vwxyz")), SMALL, cache)
    assert cache_bytes(cache) == first.nbytes + 5 * BESIDE
    second = load_features(replace(corpus, clip_seconds=0.06), SMALL, cache)
    assert second.shape == (5, 6, 4)
    assert cache_bytes(cache) == first.nbytes + second.nbytes + 10 * BESIDE


def test_only_the_given_clips_matter_to_the_statistics() -> None:
    features = noise(6, 10, 4)
    clips = np.array([4, 1, 3])
    expected = band_statistics(features[clips], np.arange(3))
    features[[0, 2, 5]] = np.nan
    np.testing.assert_allclose(band_statistics(features, clips), expected, rtol=1e-6)
    np.testing.assert_allclose(expected[1], features[clips].std(axis=(0, 1)), rtol=1e-5)


# --- degenerate ---


@pytest.mark.parametrize("value", [0.0, -18.420681, 7.1])
@pytest.mark.parametrize("clips", [1, 20, 1500])
def test_a_band_that_never_changes_has_scale_1(value: float, clips: int) -> None:
    features = noise(clips, 124, 2)
    features[..., 1] = value
    mean, scale = band_statistics(features, np.arange(clips))
    assert mean[1] == pytest.approx(value)
    assert scale[1] == 1
    assert scale[0] == pytest.approx(0.4 / math.sqrt(12), rel=0.1)


def test_a_faint_band_keeps_its_own_scale() -> None:
    features = np.full((2, 50, 1), -18.0, dtype=np.float32)
    features[1] += 0.02
    np.testing.assert_allclose(band_statistics(features, np.arange(2))[1], 0.01, rtol=1e-3)


def test_columns_of_small_values_keep_their_own_scale() -> None:
    """Differences of magnitudes are centred on 0 and may be tiny; what never changes is still left alone."""
    features = np.zeros((3, 50, 3), dtype=np.float32)
    features[..., 0] = 1e-5 * np.sign(noise(3, 50))
    features[..., 1] = 1e-9 * np.sign(noise(3, 50))
    scale = band_statistics(features, np.arange(3))[1]
    np.testing.assert_allclose(scale, [1e-5, 1, 1], rtol=0.1)


def test_silence_is_the_logarithm_of_the_offset() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(400, dtype=np.float32), SMALL), math.log(1e-8), rtol=1e-6)


def test_whole_windows_only() -> None:
    assert [SMALL.frames(samples) for samples in (128, 191, 192, 256)] == [1, 1, 2, 3]
    assert log_mel(noise(191), SMALL).shape == (1, 4)


def test_the_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "audiotag"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache() == Path.home() / ".cache" / "audiotag"


# --- malformed ---


def test_a_clip_shorter_than_one_window(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clip length is 0\.016 s, but must be at least one window of 0\.016 s"):
        SMALL.frames(127)
    with pytest.raises(ValueError, match=r"clip length is 0\.050 s, .* window of 0\.064 s: use longer clips"):
        load_features(corpus, LogMel(), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_clips_that_cannot_be_decoded_are_named(corpus: Corpus, tmp_path: Path) -> None:
    corpus.paths[3].write_bytes(b"no audio")
    with pytest.raises(CorpusError, match=r"^The audio file `[^;]*3\.wav` cannot be used: format not recogni[sz]ed"):
        load_features(corpus, SMALL, tmp_path / "cache")
    for path in corpus.paths:
        path.write_bytes(b"no audio")
    with pytest.raises(CorpusError, match=r"0\.wav` .*; .*1\.wav` .*; .*2\.wav` [^;]* and 2 more$"):
        load_features(replace(corpus, known_digests=()), SMALL, tmp_path / "cache")
    frames = SMALL.frames(SMALL.samples(corpus.clip_seconds))
    first_attempt = 4 * (4 * frames * SMALL.columns + BESIDE)  # four clips, before they were spoilt
    assert cache_bytes(tmp_path / "cache") == first_attempt


@pytest.mark.parametrize("fails", ["log_mel", "progress"])
def test_an_error_leaves_whole_files_and_the_next_load_is_whole(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    progress = refuse if fails == "progress" else None
    with monkeypatch.context() as patch:
        if fails == "log_mel":
            patch.setattr("audiotag.features.load.log_mel", refuse)
        with pytest.raises(RuntimeError, match="nothing should be computed"):
            load_features(corpus, SMALL, tmp_path / "cache", progress)
    clips = 0 if fails == "log_mel" else 5
    frames = SMALL.frames(SMALL.samples(corpus.clip_seconds))
    assert cache_bytes(tmp_path / "cache") == clips * (4 * frames * SMALL.columns + BESIDE)
    assert np.isfinite(load_features(corpus, SMALL, tmp_path / "cache")).all()
