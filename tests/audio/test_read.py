import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.audio import read as audio
from audiotag.audio.probe import audio_format, audio_seconds, inspect_audio
from audiotag.audio.read import AudioError, read_audio, read_stereo, stream_audio

RATE = 16000


def sine(rate: int, seconds: float, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def write(path: Path, data: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, data, rate, subtype=subtype)
    return path


def test_pcm_values_are_fractions_of_full_scale(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.array([0, 16384, -32768], dtype=np.int16), subtype="PCM_16")
    np.testing.assert_array_equal(read_audio(path, RATE, 3), np.array([0, 0.5, -1], dtype=np.float32))


@pytest.mark.parametrize("rate", [8000, 8001, 11025, 22050, 44_099, 44100, 48000, 192_001, 333_331])
def test_a_resampled_sine_is_the_sine(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", sine(rate, 0.2), rate, "FLOAT")
    waveform = read_audio(path, RATE, 3200)
    inner = slice(100, 3100)  # the ends ring
    np.testing.assert_allclose(waveform[inner], sine(RATE, 0.2)[inner], atol=2e-3)


@pytest.mark.parametrize(("suffix", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05)])
def test_formats_decode_to_the_same_waveform(tmp_path: Path, suffix: str, tolerance: float) -> None:
    path = write(tmp_path / f"a.{suffix}", sine(RATE, 0.5))
    np.testing.assert_allclose(read_audio(path, RATE, 8000), sine(RATE, 0.5), atol=tolerance)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.array([[0.5, 0.25, 0.0], [-0.75, 0.0, 0.0]]), subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, RATE, 2), np.array([0.25, -0.25], dtype=np.float32))


@pytest.mark.parametrize(("rate", "tolerance"), [(16_000, 1e-6), (48_000, 2e-3)])
def test_stereo_keeps_both_channels_apart(tmp_path: Path, rate: int, tolerance: float) -> None:
    both = np.stack([sine(rate, 0.2), 0.5 * sine(rate, 0.2, 1000.0)], axis=1)
    path = write(tmp_path / "a.wav", both, rate, "FLOAT")
    waveform = read_stereo(path, RATE, 3200)
    assert (waveform.shape, waveform.dtype, audio_format(path)) == ((2, 3200), np.float32, (rate, 2))
    inner = slice(100, 3100)  # the ends ring
    np.testing.assert_allclose(waveform[0, inner], sine(RATE, 0.2)[inner], atol=tolerance)
    np.testing.assert_allclose(waveform[1, inner], 0.5 * sine(RATE, 0.2, 1000.0)[inner], atol=tolerance)
    np.testing.assert_allclose(waveform.mean(axis=0), read_audio(path, RATE, 3200), atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_the_facts_of_a_file(tmp_path: Path, subtype: str) -> None:
    wave = np.concatenate([np.ones(50), np.full(350, -0.25)])
    facts = inspect_audio(write(tmp_path / "a.wav", np.column_stack([wave, wave]), 8000, subtype), 10.0)
    assert (facts.seconds, facts.sample_rate, facts.channels, facts.kind) == (0.05, 8000, 2, f"WAV {subtype}")
    assert facts.peak == pytest.approx(1.0, abs=1e-4)
    assert facts.clipped == 0.125


def test_the_digest_is_of_the_sound_that_is_looked_at(tmp_path: Path) -> None:
    wave = np.round(sine(8000, 0.1) * 2**14) / 2**15
    files = [write(tmp_path / name, wave, 8000, "PCM_16") for name in ("a.wav", "b.flac", "c.aiff")]
    longer = write(tmp_path / "d.wav", np.append(wave, 0.5), 8000, "PCM_16")
    assert len({inspect_audio(path, 1.0).digest for path in files}) == 1
    assert inspect_audio(longer, 1.0).digest != inspect_audio(files[0], 1.0).digest
    assert inspect_audio(longer, 0.1).digest == inspect_audio(files[0], 0.1).digest


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_short_read_is_the_beginning_of_a_long_read(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (rate, 2)), rate)
    np.testing.assert_allclose(read_audio(path, RATE, 1000), read_audio(path, RATE, 16_000)[:1000], atol=1e-6)


@pytest.mark.parametrize(("rate", "limit"), [(16000, 1000), (44100, 3200)])
def test_only_the_frames_that_are_needed_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, limit: int
) -> None:
    path = write(tmp_path / "a.wav", np.zeros(rate * 5), rate)
    frames = []
    decode = soundfile.SoundFile.read

    def spy(self: soundfile.SoundFile, *args, **kwargs) -> np.ndarray:
        data = decode(self, *args, **kwargs)
        frames.append(len(data))
        return data

    monkeypatch.setattr(soundfile.SoundFile, "read", spy)
    read_audio(path, RATE, 1000)
    assert len(frames) == 1
    assert 1000 <= frames[0] <= limit


def test_opening_needs_no_torch() -> None:
    code = "import sys, audiotag.audio, audiotag.corpus; print({'torch', 'pandas', 'ray'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 44_099])
@pytest.mark.parametrize("piece", [997, 5000, 1 << 20])
def test_pieces_join_without_a_seam(tmp_path: Path, rate: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "PIECE", piece)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (round(0.7 * rate), 2))
    path = write(tmp_path / "a.wav", noise, rate, "FLOAT")
    mono = np.concatenate(list(stream_audio(path, RATE)))
    assert len(mono) == pytest.approx(0.7 * RATE, rel=1e-3)
    assert mono == pytest.approx(read_audio(path, RATE, len(mono)), abs=1e-6)
    both = np.concatenate(list(stream_audio(path, RATE, stereo=True)), axis=1)
    assert both == pytest.approx(read_stereo(path, RATE, len(mono)), abs=1e-6)


def test_a_short_file_is_padded_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.full(10, 0.5), subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, RATE, 15), np.array([0.5] * 10 + [0.0] * 5, dtype=np.float32))
    path = write(tmp_path / "b.wav", np.array([[0.5, 0.25]] * 2), subtype="FLOAT")
    assert read_stereo(path, RATE, 4).tolist() == [[0.5, 0.5, 0, 0], [0.25, 0.25, 0, 0]]


def test_one_frame_and_silence_are_audio(tmp_path: Path) -> None:
    assert not read_audio(write(tmp_path / "a.wav", np.zeros(1), 44100), RATE, 100).any()


def test_nothing_after_the_cut_matters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.array([0.5, 0.5, np.nan]), subtype="FLOAT")
    assert np.isfinite(read_audio(path, RATE, 2)).all()


def test_seconds_come_from_the_header(tmp_path: Path) -> None:
    assert audio_seconds(write(tmp_path / "a.wav", np.zeros((11025, 2)), 44100)) == 0.25


each_reader = pytest.mark.parametrize(
    "function", [audio_seconds, lambda path: read_audio(path, RATE, 100), lambda path: list(stream_audio(path, RATE))]
)


@each_reader
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.wav", None, "there is no such file"),
        ("empty.wav", b"", "it is empty"),
        ("text.wav", b"this is no audio " * 9, "it is of no known format, or damaged"),
        ("headless.raw", b"1234" * 9, "it is of no known format, or damaged"),
        ("noise.wav", 2 * (b"\xff\xfb\x90\x64" + bytes(413)), "it looks like MP3, but is not named so"),
        (
            "sun.wav",
            b".snd" + np.array([24, 8, 1, 8000, 1, 0, 0], ">u4").tobytes(),
            "it is of no known format, or damaged",
        ),
    ],
)
def test_a_file_that_is_no_audio(tmp_path: Path, function, name: str, content: bytes | None, reason: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"^The audio file `{path}` cannot be used: {reason}\. Replace it, or take"):
        function(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_stereo_has_two_channels(tmp_path: Path, channels: int) -> None:
    path = write(tmp_path / "a.wav", np.zeros((9, channels)))
    with pytest.raises(AudioError, match=f"cannot be used: the number of its channels is {channels}, not 2"):
        read_stereo(path, RATE, 9)


@each_reader
def test_a_file_without_samples(tmp_path: Path, function) -> None:
    with pytest.raises(AudioError, match=r"a\.wav` cannot be used: it has no samples\."):
        function(write(tmp_path / "a.wav", np.zeros(0)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])  # 1e300 overflows float32
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "a.wav", np.array([0.0, value, 0.0]), subtype="DOUBLE")
    with pytest.raises(AudioError, match=r"a\.wav` cannot be used: it holds a NaN or an infinity\."):
        read_audio(path, RATE, 100)


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(AudioError("a.wav", "it is odd")))
    assert (error.path, error.reason, str(error)) == (Path("a.wav"), "it is odd", str(AudioError("a.wav", "it is odd")))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
def test_samples_of_16_bits_are_those_that_libsndfile_gives(tmp_path: Path, name: str) -> None:
    every = np.arange(-(2**15), 2**15).astype(np.int16)
    path = write(tmp_path / name, every, 16_000, "PCM_16")
    np.testing.assert_array_equal(read_audio(path, 16_000, len(every)), soundfile.read(path, dtype="float32")[0])


def test_a_mistake_in_the_body_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", sine(RATE, 0.1))
    with pytest.raises(ValueError, match="of the program") as caught, audio.open_sound(path):
        raise ValueError("of the program")
    assert not isinstance(caught.value, AudioError)
