"""The synthetic corpus: its layout, its plan, its determinism, and sounds that agree with their tags."""

import csv
import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from helpers.failing import fail_at
from scipy import signal

from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.layouts.chime_home import problems_of
from audiotag.corpus.tables import EVALUATION
from audiotag.synthetic import corpus as synthetic
from audiotag.synthetic import sounds
from audiotag.synthetic.corpus import PEAKS, plan_corpus, write_synthetic_corpus

TAGS = "cmfvpbo"
SAMPLE = Path(__file__).parents[3] / "shared/data/chime_home_sample/chunks"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    return write_synthetic_corpus(tmp_path_factory.mktemp("synthetic") / "corpus", 0, 40, 10, workers=2)


def read_list(corpus: Path, name: str) -> list[list[str]]:
    with (corpus / name).open(newline="") as file:
        return list(csv.reader(file))


def read_chunk(path: Path) -> dict[str, str]:
    return dict(line.split(",", 1) for line in path.read_text().splitlines())


def digests(corpus: Path) -> dict[str, str]:
    files = sorted(path for path in corpus.rglob("*") if path.is_file())
    return {str(path.relative_to(corpus)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_the_readers_of_the_layout_find_nothing_amiss(corpus):
    assert problems_of(corpus, stereo=True) == []
    opened = open_corpus(corpus)
    assert (opened.kind, opened.fold_numbers) == ("synthetic", (0, 1, 2, 3, 4))
    assert (len(opened.development), len(opened.evaluation)) == (40, 10)
    for path in (corpus / "chunks").glob("*.wav"):
        assert (sf.info(path).duration, sf.info(path).subtype) == (4.0, "PCM_16")


@pytest.mark.parametrize("split", ["development", "evaluation"])
def test_raw_lists_contain_the_refined_ones_in_order(corpus, split):
    raw = [name for _, name in read_list(corpus, f"{split}_chunks_raw.csv")]
    refined = [name for _, name in read_list(corpus, f"{split}_chunks_refined.csv")]
    assert [name for name in raw if name in set(refined)] == refined
    assert len(set(raw)) == len(raw)


def test_chunk_tables(corpus):
    for path in (corpus / "chunks").glob("*.csv"):
        chunk = read_chunk(path)
        annotators = [f"{key}_a{number}" for number in (1, 2, 3) for key in ("annotation", "session")]
        assert list(chunk) == ["segmentname", "chunknumber", "framestart", *annotators, "majorityvote", "chunkname"]
        assert chunk["chunkname"] == path.stem == f"{chunk['segmentname']}_chunk{chunk['chunknumber']}"
        assert int(chunk["framestart"]) == 192_000 * int(chunk["chunknumber"])
        assert set(chunk["majorityvote"]) <= {*TAGS, "S"}
        assert float(chunk["session_a1"]) in range(1, 6)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"needs the real chunks in {SAMPLE}")
def test_files_look_like_the_real_ones(corpus):
    real = next(SAMPLE.glob("*.csv"))
    ours = next((corpus / "chunks").glob("*.csv"))
    assert list(read_chunk(real)) == list(read_chunk(ours))
    headers = [next(folder.glob("*.16kHz.wav")).read_bytes()[:44] for folder in (SAMPLE, corpus / "chunks")]
    assert headers[0] == headers[1]


@pytest.mark.parametrize("seed", range(5))
def test_tags_are_as_frequent_as_promised(seed):
    chunks = [chunk for chunk in plan_corpus(seed) if chunk.refined]
    assert len(chunks) == 300
    for fold in (EVALUATION, 0, 1, 2, 3, 4):
        votes = [chunk.vote for chunk in chunks if chunk.fold == fold]
        assert len(votes) == (60 if fold == EVALUATION else 48)
        for tag in TAGS:
            positives = sum(tag in vote for vote in votes)
            assert 5 <= positives <= len(votes) - 5
            assert positives / len(votes) == pytest.approx(synthetic.RATES[tag], abs=0.1)
        assert all(votes), "a refined chunk has a vote"
        assert votes.count("S") == 1


def test_votes_are_the_majority_and_mostly_right():
    chunks = plan_corpus()
    for chunk in chunks:
        for tag in TAGS:
            assert (sum(tag in annotation for annotation in chunk.annotations) >= 2) == (tag in chunk.vote)
    refined = [chunk for chunk in chunks if chunk.refined]
    wrong = np.mean([(tag in chunk.vote) != (tag in chunk.sounding) for chunk in refined for tag in TAGS])
    assert 0.005 < wrong < 0.03
    assert any(not chunk.vote for chunk in chunks)


def test_segments_never_straddle_folds():
    folds: dict[str, set[int]] = {}
    for chunk in plan_corpus():
        folds.setdefault(chunk.segment_name, set()).add(chunk.fold)
    assert all(len(members) == 1 for members in folds.values())
    assert 40 <= len(folds) <= 60


@pytest.mark.parametrize(("sizes", "message"), [((19, 10), "`development` is 19"), ((40, 3), "`evaluation` is 3")])
def test_sizes_too_small_are_refused(sizes, message):
    with pytest.raises(ValueError, match=f"{message}, but must be at least"):
        plan_corpus(0, *sizes)


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_workers(corpus, tmp_path):
    seen: list[tuple[int, int]] = []
    again = write_synthetic_corpus(tmp_path / "again", 0, 40, 10, lambda *count: seen.append(count), workers=1)
    assert digests(again) == digests(corpus)
    assert seen == [(count, 56) for count in range(1, 57)]


def test_another_seed_is_another_corpus(corpus):
    assert plan_corpus(0, 40, 10) != plan_corpus(1, 40, 10)
    chunk = replace(plan_corpus(0, 40, 10)[0], sounding="p")
    first, same, other = (synthetic.render(chunk, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    loudness = [wave.reshape(-1, 160).std(axis=1) for wave in (first, other)]  # not the room alone: the events differ
    assert np.corrcoef(loudness)[0, 1] < 0.7


def test_a_complete_corpus_is_left_alone(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert write_synthetic_corpus(corpus, 0, 40, 10) == corpus
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_other_folders_are_refused(corpus, tmp_path):
    (tmp_path / "holiday.txt").write_text("mine")
    for root, message in ((corpus, "other settings"), (tmp_path, "something else")):
        before = sorted(root.iterdir())
        with pytest.raises(ValueError, match=message):
            write_synthetic_corpus(root, 1, 40, 10)
        assert sorted(root.iterdir()) == before


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failing_worker_leaves_nothing(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(synthetic, "write_chunk", partial(fail_at, 20))
    with pytest.raises(OSError, match="No space left"):
        write_synthetic_corpus(tmp_path / "home" / "corpus", 0, 40, 10, workers=workers)
    assert [path.name for path in (tmp_path / "home").iterdir()] == [".corpus.lock"]


def test_the_folder_of_a_killed_process_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "write_chunk", partial(fail_at, -1))
    (tmp_path / ".corpus.writing" / "chunks").mkdir(parents=True)
    (tmp_path / ".corpus.writing" / "chunks" / "half").touch()
    corpus = write_synthetic_corpus(tmp_path / "corpus", 0, 20, 4, workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".corpus.lock", "corpus"]
    assert not (corpus / "chunks" / "half").exists()


def test_levels_are_those_of_real_recordings(corpus):
    peaks = [np.abs(sf.read(path)[0]).max() for path in (corpus / "chunks").glob("*.16kHz.wav")]
    assert PEAKS[0] - 1e-4 <= min(peaks) < 0.06
    assert 0.12 < max(peaks) <= PEAKS[1] + 1e-4


def test_channels_carry_positions_and_mix_down_to_the_mono_file(corpus):
    differences = []
    for path in (corpus / "chunks").glob("*.48kHz.wav"):
        stereo = sf.read(path)[0]
        left, right = np.abs(signal.stft(stereo.T, 48_000, nperseg=1024)[2])
        differences.append(np.abs(left - right).mean() / (left + right).mean())
        mono = sf.read(path.with_name(path.name.replace("48kHz", "16kHz")))[0]
        np.testing.assert_allclose(signal.resample_poly(stereo.mean(axis=1), 1, 3), mono, atol=1e-4)
    assert min(differences) > 0.03


def speak(rng: np.random.Generator) -> np.ndarray:
    return sounds.speech(rng, sounds.draw_voice(rng, "f"))


def play(rng: np.random.Generator) -> np.ndarray:
    return sounds.music(rng, sounds.draw_programme(rng))


def pitch_of(wave: np.ndarray) -> float:
    """Median pitch in Hz of the loud frames, by autocorrelation at 16 kHz."""
    frames = signal.resample_poly(wave, 1, 3)[: 64_000 // 1024 * 1024].reshape(-1, 1024)
    loud = frames[frames.std(axis=1) > np.quantile(frames.std(axis=1), 0.7)]
    lags = np.fft.irfft(np.abs(np.fft.rfft(loud, 4096)) ** 2)[:, 30:230]  # 70 to 530 Hz
    lags /= np.arange(1024 - 30, 1024 - 230, -1)
    return float(np.median(16_000 / (30 + lags.argmax(axis=1))))


def test_voices_have_the_pitch_of_their_speakers():
    pitches = {}
    for tag in "mfc":
        rngs = [np.random.default_rng([7, speaker]) for speaker in range(8)]
        pitches[tag] = [pitch_of(sounds.speech(rng, sounds.draw_voice(rng, tag))) for rng in rngs]
    assert max(pitches["m"]) < min(pitches["f"])
    assert max(pitches["f"]) < np.median(pitches["c"])
    for tag, (low, high) in {"m": (80, 165), "f": (160, 275), "c": (250, 450)}.items():
        assert low < np.median(pitches[tag]) < high


def flatness(wave: np.ndarray) -> float:
    """Geometric over arithmetic mean of the power spectrum from 1 to 6 kHz."""
    power = signal.welch(wave, sounds.SAMPLE_RATE, nperseg=2048)[1][43:256]
    return float(np.exp(np.log(power).mean()) / power.mean())


def test_noise_is_flat_music_is_not_and_impacts_are_peaky():
    rngs = [np.random.default_rng([8, number]) for number in range(8)]
    noise = [sounds.broadband(rng) for rng in rngs]
    music = [play(rng) for rng in rngs]
    impacts = [sounds.impacts(rng) for rng in rngs]
    assert min(map(flatness, noise)) > max(map(flatness, music))
    assert min(np.abs(w).max() / w.std() for w in impacts) > max(np.abs(w).max() / w.std() for w in noise)
    sounding = [np.mean(w.reshape(-1, 480).std(axis=1) > 0.1 * w.std()) for w in noise]
    assert min(sounding) > 2.5 / 4


def test_signals_are_narrow():
    for number in range(8):
        power = signal.welch(sounds.signals(np.random.default_rng([9, number])), sounds.SAMPLE_RATE, nperseg=2048)[1]
        assert np.sort(power)[-100:].sum() > 0.9 * power.sum()  # a tenth of the bins: a chirp and its octave


@pytest.mark.parametrize("source", [sounds.impacts, sounds.broadband, sounds.signals, speak, play])
def test_sources_are_unit_peaked_and_reproducible(source):
    first, same, other = (source(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.shape, first.dtype) == ((sounds.SAMPLES,), np.float32)
    assert np.abs(first).max() == pytest.approx(1)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0.1


def test_a_sound_on_the_right_is_louder_and_sooner_there():
    wave = sounds.impacts(np.random.default_rng(0))
    left, right = sounds.pan(wave, 1.0)
    assert 20 * np.log10(right.std() / left.std()) == pytest.approx(6, abs=0.1)
    assert np.correlate(left, right[:-100], "valid").argmax() == 14  # samples, 0.3 ms
    np.testing.assert_array_equal(sounds.pan(wave, -1.0), [right, left])
