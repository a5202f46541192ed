import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from encode import RATE, encode
from helpers.recordings import noise

from audiotag.audio.integrity import Container, examine_container
from audiotag.audio.probe import audio_doubt
from audiotag.audio.read import AudioError, read_audio


def examine(path: Path) -> Container:
    with open(path, "rb") as file:
        return examine_container(file)


def written(path: Path, subtype: str | None = None, channels: int = 1, **options: Any) -> Path:
    soundfile.write(path, noise(0.5, channels=channels), RATE, subtype=subtype, **options)
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
    assert examine(path).damage is None
    assert audio_doubt(path) is None
    assert np.abs(read_audio(path, RATE, RATE // 2)).max() > 0.3


def test_the_real_recordings(shared_data: Path) -> None:
    paths = sorted((shared_data / "esc10" / "audio").glob("*.ogg"))
    paths += sorted((shared_data / "chime_home_sample" / "chunks").glob("*.wav"))
    assert len(paths) == 406
    assert {examine(path) for path in paths} == {Container("OGG", exact=True), Container("WAV", exact=True)}


CODED = {  # form of the container, codec, options of the container
    "a.mp3": (None, "libmp3lame", {}),
    "a.avi": (None, "libmp3lame", {}),
    "coded.wav": (None, "libmp3lame", {}),
    "a.m4a": ("ipod", "aac", {}),
    "fast.m4a": ("ipod", "aac", {"movflags": "faststart"}),
    "fragments.mp4": (None, "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mov": (None, "alac", {}),
    "a.webm": (None, "libopus", {}),
    "live.webm": (None, "libopus", {"live": "1"}),
    "a.opus": (None, "libopus", {}),
    "a.flac": (None, "flac", {}),
}


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.ogg", *CODED])
def test_a_torn_file_is_never_read_as_if_it_were_whole(tmp_path: Path, name: str, share: float) -> None:
    if name in CODED:
        form, codec, options = CODED[name]
        path = encode(tmp_path / name, noise(0.5), codec, form=form, **options)
    else:
        path = written(tmp_path / name)
    assert audio_doubt(path) is None
    changed(path, lambda data: data[: int(len(data) * share)])
    with pytest.raises(AudioError, match=r"it is cut off|it is damaged"):
        read_audio(path, RATE, RATE)


@pytest.mark.parametrize("lost", [1, 30])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp3", "libmp3lame", {"write_xing": "0"}), ("a.mp2", "mp2", {}), ("a.aac", "aac", {})],
)
def test_a_file_that_ends_within_a_frame_is_read_with_a_doubt(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], lost: int
) -> None:
    path = encode(tmp_path / name, noise(0.5), codec, **options)
    changed(path, lambda data: data + b"TAG" + bytes(125))
    assert audio_doubt(path) is None
    changed(path, lambda data: data[: -128 - lost])
    assert audio_doubt(path) == "it ends within a frame"
    assert np.abs(read_audio(path, RATE, RATE // 4)).max() > 0.3


def test_each_flipped_byte_of_an_ogg_file_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg")
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(AudioError):
            read_audio(path, RATE, RATE)


def test_pages_that_are_lost_or_doubled_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(4), RATE)
    pages = [b"OggS" + page for page in path.read_bytes().split(b"OggS")[1:]]
    assert len(pages) >= 5
    for spoilt in (pages[:3] + pages[4:], pages[:4] + pages[3:], pages + pages[1:]):
        path.write_bytes(b"".join(spoilt))
        with pytest.raises(AudioError, match=r"page"):
            read_audio(path, RATE, RATE)


def test_an_ogg_file_without_its_last_page_is_read_with_a_doubt(tmp_path: Path) -> None:
    """A recording of a radio stream ends so, and one that is cut off between two pages."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(4), RATE)
    changed(path, lambda data: data[: data.rindex(b"OggS")])
    assert audio_doubt(path) == "no page is marked as the last one"
    assert len(read_audio(path, RATE, RATE)) == RATE


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFF00, 0x7FFFFFFF])  # ffmpeg, sox, arecord
def test_a_wav_from_a_pipe_has_no_sizes(tmp_path: Path, size: int) -> None:
    path, field = written(tmp_path / "a.wav"), struct.pack("<I", size)
    changed(path, lambda data: data[:4] + field + data[8:40] + field + data[44:])
    assert examine(path) == Container("WAV", exact=True)
    np.testing.assert_allclose(read_audio(path, RATE, RATE // 2), noise(0.5)[:, 0], atol=1e-4)


@pytest.mark.parametrize("byte_rate", [0, 4 * RATE, 8000])
def test_bytes_per_second_are_not_used(tmp_path: Path, byte_rate: int) -> None:
    path = written(tmp_path / "a.wav")
    changed(path, lambda data: data[:28] + struct.pack("<I", byte_rate) + data[32:])
    np.testing.assert_allclose(read_audio(path, RATE, RATE // 2), noise(0.5)[:, 0], atol=1e-4)
    assert audio_doubt(path) == ("the header's bytes per second contradict its rate" if byte_rate else None)


@pytest.mark.parametrize(
    "tail", [b"TAGtitle", b"LIST\x04\x00\x00\x00INFO", bytes(512), b"\0", b"id3 \x03\x00\x00\x00abc\0"]
)
def test_chunks_after_the_samples(tmp_path: Path, tail: bytes) -> None:
    path = changed(written(tmp_path / "a.wav"), lambda data: data + tail)
    assert examine(path) == Container("WAV", exact=True)
    changed(path, lambda data: data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    assert examine(path) == Container("WAV", exact=True)


def test_other_files_are_left_to_their_decoders(tmp_path: Path) -> None:
    for content in (b"", b"RIFF", b"text " * 9):
        (tmp_path / "a").write_bytes(content)
        assert examine(tmp_path / "a") == Container()


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (22, b"\x02", "contradicts itself: 2 channels"),
        (20, b"\x83", r"in a coding that is not read in WAV \(0x0083\)"),  # G.729, of which FFmpeg makes noise
        (20, b"\x11", "contradicts itself: ADPCM of 16 bits"),
        (34, b"\x18", "contradicts itself: 1 channels of 24 bits"),
        (40, struct.pack("<I", 1000), "its header is damaged: 15000 bytes after its samples belong to nothing"),
        (40, struct.pack("<I", 20_000), "it is cut off: 8000 of 10000 samples are there"),
        (36, b"dat4", "it is cut off or damaged before its samples"),
        (16, b"\xff", "cut off or damaged before its samples|contradicts itself"),
    ],
)
def test_false_headers(tmp_path: Path, place: int, value: bytes, reason: str) -> None:
    path = written(tmp_path / "a.wav")
    changed(path, lambda data: data[:place] + value + data[place + len(value) :])
    with pytest.raises(AudioError, match=reason):
        read_audio(path, RATE, RATE)
