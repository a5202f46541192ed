"""Features of a corpus: in the order of its clips, computed once per recording and front end."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.small_features import SMALL, SMALL_IMD, noise

from audiotag.audio.read import read_audio, read_stereo
from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.corpus.errors import CorpusError
from audiotag.features.load import default_cache, load_features
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.features.store import CLIPS_PER_TASK, cache_bytes

BESIDE = 32 + 4  # bytes per clip in the cache beside its features: name and checksum


def refuse(*arguments: Any) -> None:
    raise RuntimeError("nothing should be computed")


def test_features_of_a_corpus_are_those_of_its_clips_in_order(corpus: Corpus, tmp_path: Path) -> None:
    features = load_features(corpus, SMALL, tmp_path / "cache")
    expected = [log_mel(read_audio(path, 8000, 400), SMALL) for path in corpus.paths]
    assert (features.shape, features.dtype) == ((5, 5, 4), np.float32)
    np.testing.assert_allclose(features, np.stack(expected), rtol=1e-6)


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
    assert cache_bytes(cache) == both + features.nbytes + 5 * BESIDE  # the old file has a clip that the new one lacks
    assert np.flatnonzero((features != changed).any(axis=(1, 2))).tolist() == [2]


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


def test_the_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "audiotag"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_cache() == Path.home() / ".cache" / "audiotag"


def test_a_clip_shorter_than_one_window(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"clip length is 0\.016 s, but must be at least one window of 0\.016 s"):
        SMALL.frames(127)
    with pytest.raises(ValueError, match=r"clip length is 0\.050 s, .* window of 0\.064 s: use longer clips"):
        load_features(corpus, LogMel(), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_clips_that_cannot_be_decoded_are_named(corpus: Corpus, tmp_path: Path) -> None:
    corpus.paths[3].write_bytes(b"no audio")
    with pytest.raises(CorpusError, match=r"^The audio file `[^;]*3\.wav` cannot be used: it is of no known format"):
        load_features(corpus, SMALL, tmp_path / "cache")
    for path in corpus.paths:
        path.write_bytes(b"no audio")
    with pytest.raises(CorpusError, match=r"0\.wav` .*; .*1\.wav` .*; .*2\.wav` [^;]* and 2 more$"):
        load_features(replace(corpus, known_digests=()), SMALL, tmp_path / "cache")
    frames = SMALL.frames(SMALL.samples(corpus.clip_seconds))
    first_attempt = 4 * (4 * frames * SMALL.columns + BESIDE)  # four clips, before they were spoilt
    assert cache_bytes(tmp_path / "cache") == first_attempt


def test_mono_files_where_stereo_is_needed(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"0\.wav` cannot be used: the number of its channels is 1, not 2"):
        load_features(corpus, SMALL_IMD, tmp_path / "cache")
    assert cache_bytes(tmp_path / "cache") == 0


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
