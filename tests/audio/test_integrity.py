import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audiotag.audio.integrity import container_damage
from audiotag.audio.read import AudioError, read_audio

RATE = 16_000


def noise(seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(RATE * seconds), channels))


def written(path: Path, subtype: str | None = None, channels: int = 1, **options: Any) -> Path:
    soundfile.write(path, noise(channels=channels), RATE, subtype=subtype, **options)
    return path


def changed(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("name", "subtype", "options"),
    [
        ("a.wav", "PCM_U8", {}),
        ("a.wav", "PCM_16", {}),
        ("a.wav", "PCM_24", {}),
        ("a.wav", "FLOAT", {}),
        ("a.wav", "DOUBLE", {}),
        ("a.wav", "ULAW", {}),
        ("a.wav", "IMA_ADPCM", {}),
        ("a.wav", "PCM_16", {"endian": "BIG"}),
        ("a.wav", "PCM_16", {"format": "WAVEX"}),
        ("a.wav", "PCM_16", {"format": "RF64"}),
        ("a.aiff", "PCM_16", {}),
        ("a.ogg", "VORBIS", {}),
        ("a.ogg", "OPUS", {}),
        ("a.ogg", "VORBIS", {"channels": 8}),
        ("a.flac", "PCM_16", {}),
        ("a.mp3", "MPEG_LAYER_III", {}),
    ],
)
def test_whole_files_are_whole(tmp_path: Path, name: str, subtype: str, options: dict[str, Any]) -> None:
    path = written(tmp_path / name, subtype, **options)
    assert container_damage(path) is None
    assert np.abs(read_audio(path, RATE, RATE // 2)).max() > 0.3


def test_the_real_recordings(shared_data: Path) -> None:
    paths = sorted((shared_data / "esc10" / "audio").glob("*.ogg"))
    paths += sorted((shared_data / "chime_home_sample" / "chunks").glob("*.wav"))
    assert len(paths) == 406
    assert {container_damage(path) for path in paths} == {None}


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.ogg", "a.flac"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_torn_file_is_never_read_as_if_it_were_whole(tmp_path: Path, name: str, share: float) -> None:
    path = changed(written(tmp_path / name), lambda data: data[: int(len(data) * share)])
    with pytest.raises(AudioError, match=r"truncated|damaged|lost sync|decoder"):
        read_audio(path, RATE, RATE)


def test_half_an_mp3_is_noticed(tmp_path: Path) -> None:
    path = changed(written(tmp_path / "a.mp3"), lambda data: data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"it is damaged: .* samples can be decoded"):
        read_audio(path, RATE, RATE)


def test_each_flipped_byte_of_an_ogg_file_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg")
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(AudioError):
            read_audio(path, RATE, RATE)


def test_pages_that_are_lost_doubled_or_appended_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(4), RATE)
    pages = [b"OggS" + page for page in path.read_bytes().split(b"OggS")[1:]]
    assert len(pages) >= 5
    for spoilt in (pages[:3] + pages[4:], pages[:4] + pages[3:], pages[:-1], pages + pages):
        path.write_bytes(b"".join(spoilt))
        with pytest.raises(AudioError, match=r"page|truncated|streams"):
            read_audio(path, RATE, RATE)


def test_a_wav_from_a_pipe_has_no_sizes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav")
    size = struct.pack("<I", 0xFFFFFFFF)
    changed(path, lambda data: data[:4] + size + data[8:40] + size + data[44:])
    assert container_damage(path) is None
    np.testing.assert_allclose(read_audio(path, RATE, RATE // 2), noise()[:, 0], atol=1e-4)


@pytest.mark.parametrize("tail", [b"LIST\x04\x00\x00\x00INFO", bytes(512), b"\0", b"id3 \x03\x00\x00\x00abc\0"])
def test_chunks_after_the_samples(tmp_path: Path, tail: bytes) -> None:
    path = changed(written(tmp_path / "a.wav"), lambda data: data + tail)
    assert container_damage(path) is None
    changed(path, lambda data: data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    assert container_damage(path) is None


def test_other_files_are_left_to_their_decoders(tmp_path: Path) -> None:
    for content in (b"", b"RIFF", b"text " * 9):
        (tmp_path / "a").write_bytes(content)
        assert container_damage(tmp_path / "a") is None


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (24, struct.pack("<I", 8_000), "its header contradicts itself: 1 channels of 16 bits at 8000 Hz, yet 2 bytes"),
        (22, b"\x02", "contradicts itself: 2 channels"),
        (34, b"\x18", "contradicts itself: 1 channels of 24 bits"),
        (40, struct.pack("<I", 1000), "its header is damaged: 15000 bytes after its samples belong to nothing"),
        (40, struct.pack("<I", 20_000), "it is truncated: 8000 of 10000 samples are there"),
        (36, b"dat4", "it is truncated or damaged before its samples"),
        (16, b"\xff", "truncated or damaged before its samples|contradicts itself"),
    ],
)
def test_false_headers(tmp_path: Path, place: int, value: bytes, reason: str) -> None:
    path = written(tmp_path / "a.wav")
    changed(path, lambda data: data[:place] + value + data[place + len(value) :])
    with pytest.raises(AudioError, match=reason):
        read_audio(path, RATE, RATE)
