"""Coded files: as many samples as FFmpeg's own program gives, or a true reason why not."""

import os
import struct
import threading
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from encode import RATE, encode
from helpers.recordings import noise

from audiotag.audio.decode import open_decoder
from audiotag.audio.probe import inspect_audio
from audiotag.audio.read import AudioError, read_audio, stream_audio
from audiotag.audio.sound import SUFFIXES, DecodeError
from audiotag.inference.recordings import find_recordings


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    """(S, 1) float32, RMS .354."""
    return (0.5 * np.sin(2 * np.pi * hertz / rate * np.arange(round(seconds * rate))))[:, None].astype(np.float32)


def decoded(path: Path) -> np.ndarray:
    """All samples of all channels, (S, C)."""
    with open_decoder(path) as sound:
        return sound.read(1 << 30)


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.square(wave).mean()))


@pytest.mark.parametrize(
    ("name", "codec", "form", "options", "kind", "rate", "samples"),
    [
        ("a.mp3", "libmp3lame", None, {}, "MP3", RATE, 16_000),
        ("a.mp3", "libmp3lame", None, {"write_xing": "0"}, "MP3", RATE, 17_280),  # with what LAME adds
        ("a.mp2", "mp2", None, {}, "MP3 MP2", RATE, 16_128),
        ("a.wav", "libmp3lame", None, {}, "WAV MP3", RATE, 17_280),
        ("a.wav", "adpcm_ms", None, {}, "WAV ADPCM_MS", RATE, 16_288),
        ("a.avi", "libmp3lame", None, {}, "AVI MP3", RATE, 17_280),
        ("a.aac", "aac", "adts", {}, "AAC", RATE, 17_408),
        ("a.mp3", "aac", "adts", {}, "AAC", RATE, 17_408),
        ("a.m4a", "aac", "ipod", {}, "MP4 AAC", RATE, 17_408),
        ("a.mp4", "aac", None, {"movflags": "frag_keyframe+empty_moov"}, "MP4 AAC", RATE, 17_408),
        ("a.mov", "alac", None, {}, "MP4 ALAC", RATE, 16_000),
        ("a.opus", "libopus", None, {}, "OGG OPUS", 48_000, 48_000),
        ("a.webm", "libopus", None, {"live": "1"}, "MATROSKA OPUS", 48_000, 48_000),
        ("a.flac", "flac", None, {}, "FLAC", RATE, 16_000),
    ],
)
def test_coded_files_have_the_samples_that_ffmpeg_counts(
    tmp_path: Path, name: str, codec: str, form: str | None, options: dict, kind: str, rate: int, samples: int
) -> None:
    path = encode(tmp_path / name, tone(1.0), codec, form=form, **options)
    info = inspect_audio(path, 10.0)
    assert (info.kind, info.sample_rate, info.channels, info.doubt) == (kind, rate, 1, None)
    assert info.seconds * rate == samples
    assert len(decoded(path)) == len(np.concatenate(list(stream_audio(path, rate)))) == samples
    assert rms(read_audio(path, RATE, RATE)[2000:-2000]) == pytest.approx(0.354, abs=0.02)


def test_a_variable_rate_without_a_xing_header_is_read_to_the_end(tmp_path: Path) -> None:
    """libsndfile takes the rate of the first frame for all: of 10 s with noise first it reads a part."""
    wave, rate = np.concatenate([noise(2.0, rate=44_100), 0.01 * tone(8.0, 44_100)]), 44_100
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=rate, options={"abr": "1"}, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave.T, "fltp", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    with av.open(str(path)) as container:
        assert len({packet.size for packet in container.demux(audio=0)}) > 2
    assert len(decoded(path)) == pytest.approx(10 * rate, abs=2 * 1152 + 1)
    assert rms(decoded(path)[5 * rate :]) > 0.003


@pytest.mark.parametrize(("name", "codec", "form"), [("a.mp3", "libmp3lame", None), ("a.aac", "aac", "adts")])
def test_joined_files_are_read_to_the_end(tmp_path: Path, name: str, codec: str, form: str | None) -> None:
    path = encode(tmp_path / name, tone(1.0), codec, form=form)
    once = len(decoded(path))
    path.write_bytes(2 * path.read_bytes())
    assert len(decoded(path)) == pytest.approx(2 * once, abs=2 * 1152)
    assert rms(decoded(path)[once + 3000 : -3000]) == pytest.approx(0.354, abs=0.02)
    assert inspect_audio(path, 10.0).doubt is None


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_one_after_another_are_read_to_the_end(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, tone(1.0)[:, 0], RATE, subtype=subtype)
    once = decoded(path)
    path.write_bytes(2 * path.read_bytes())
    np.testing.assert_array_equal(decoded(path), np.concatenate([once, once]))
    assert inspect_audio(path, 10.0).seconds == 2.0
    assert sum(map(len, stream_audio(path, RATE))) == 2 * RATE


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_streams_that_broke_off_are_read_to_the_end_with_a_doubt(tmp_path: Path, subtype: str) -> None:
    """A recorder of radio that connects again writes such files."""
    parts = []
    for seconds in (3.0, 2.0, 4.0):
        soundfile.write(tmp_path / "a.ogg", noise(seconds)[:, 0], RATE, format="OGG", subtype=subtype)
        parts.append((tmp_path / "a.ogg").read_bytes())
    parts[:2] = [part[: part.rindex(b"OggS")] for part in parts[:2]]  # without their last page
    (tmp_path / "a.ogg").write_bytes(b"".join(parts))
    found = []
    for part in parts:
        (tmp_path / "b.ogg").write_bytes(part)
        found.append(decoded(tmp_path / "b.ogg"))
    np.testing.assert_array_equal(decoded(tmp_path / "a.ogg"), np.concatenate(found))
    assert inspect_audio(tmp_path / "a.ogg", 20.0).doubt == "no page is marked as the last one"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_ogg_stream_of_headers_alone_is_passed_over(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.opus"
    soundfile.write(path, tone(1.0)[:, 0], RATE, format="OGG", subtype="OPUS")
    once, data = decoded(path), path.read_bytes()
    pages = [b"OggS" + page for page in data.split(b"OggS")[1:]]
    parts = [data, data]
    parts.insert(place, pages[0] + pages[1])
    path.write_bytes(b"".join(parts))
    np.testing.assert_array_equal(decoded(path), np.concatenate([once, once]))


def test_joined_ogg_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(60.0)[:, 0], RATE)
    path.write_bytes(8 * path.read_bytes())
    tracemalloc.start()
    with open_decoder(path) as sound:
        sound.read(RATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 4


@pytest.mark.parametrize(("rate", "channels"), [(22_050, 1), (16_000, 2)])
def test_joined_files_of_different_forms_are_refused(tmp_path: Path, rate: int, channels: int) -> None:
    parts = [encode(tmp_path / "a.mp3", noise(1.0), "libmp3lame").read_bytes()]
    parts += [encode(tmp_path / "a.mp3", noise(1.0, rate=rate, channels=channels), "libmp3lame", rate).read_bytes()]
    (tmp_path / "a.mp3").write_bytes(b"".join(parts))
    with pytest.raises(DecodeError, match=f"it holds 16000 Hz with 1 channels and then {rate} Hz with {channels} ch"):
        decoded(tmp_path / "a.mp3")


@pytest.mark.parametrize("rate", [0, 8000, 44_100])
def test_the_rate_in_an_opus_header_does_not_matter(tmp_path: Path, rate: int) -> None:
    """It says what was encoded, 0 where that is unknown (RFC 7845); Opus has 48 kHz inside."""
    path = tmp_path / "a.opus"
    soundfile.write(path, tone(1.0, 48_000, 6000.0)[:, 0], 48_000, format="OGG", subtype="OPUS")
    data = path.read_bytes()
    page = data[: data.index(b"OggS", 4)]
    place = page.index(b"OpusHead") + 12
    page = page[:place] + struct.pack("<I", rate) + page[place + 4 :]
    path.write_bytes(with_checksum(page) + data[len(page) :])
    assert rms(read_audio(path, RATE, RATE)[1000:-1000]) == pytest.approx(0.354, abs=0.02)


def with_checksum(page: bytes) -> bytes:
    """An Ogg page with its checksum, bit by bit (RFC 3533)."""
    page, crc = page[:22] + bytes(4) + page[26:], 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x80000000 else 0)
    return page[:22] + struct.pack("<I", crc) + page[26:]


@pytest.mark.parametrize("announced", [0, 8000, 16_000, 20_000])
def test_flac_counts_its_samples_or_is_cut_off(tmp_path: Path, announced: int) -> None:
    """0: unknown, as a pipe writes it. Fewer: joined or wrong, all is read. More: cut off."""
    path = encode(tmp_path / "a.flac", tone(1.0), "flac")
    data = bytearray(path.read_bytes())
    data[22:26] = struct.pack(">I", announced)  # the low 32 of 36 bits
    path.write_bytes(data)
    if announced > RATE:
        with pytest.raises(DecodeError, match="it is cut off or damaged: 16000 of 20000 samples are there"):
            decoded(path)
    else:
        assert len(decoded(path)) == RATE


@pytest.mark.parametrize("announced", [0, 2 * RATE])
def test_damage_within_a_flac_file_is_noticed(tmp_path: Path, announced: int) -> None:
    path = encode(tmp_path / "a.flac", noise(2.0), "flac")
    whole = path.read_bytes()
    whole = whole[:22] + struct.pack(">I", announced) + whole[26:]
    for place in range(9000, len(whole) - 5000, 4999):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(AudioError):
            read_audio(path, RATE, 2 * RATE)


def test_of_two_data_chunks_the_first_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.5)[:, 0], RATE)
    data = path.read_bytes()
    both = data + data[36:]
    path.write_bytes(both[:4] + struct.pack("<I", len(both) - 8) + both[8:])
    assert len(decoded(path)) == RATE // 2


@pytest.mark.parametrize("rate", [1, 99, 2_000_000_000])
def test_rates_that_no_recording_has_are_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(0.1)[:, 0], rate)
    with pytest.raises(AudioError, match=rf"its sample rate is {rate} Hz, but must be 100 to 1000000"):
        read_audio(tmp_path / "a.wav", RATE, RATE)


def test_integers_of_64_bits_are_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", tone(0.5), "pcm_s64le")
    np.testing.assert_allclose(decoded(path), tone(0.5), atol=1e-6)


@pytest.mark.parametrize(
    "tail", [b"TAG" + b"\1" * 125, b"APETAGEX" + b"\1" * 60, bytes(300), b"LYRICSBEGIN" + b"\1" * 99]
)
@pytest.mark.parametrize(
    ("name", "codec", "form", "options"),
    [
        ("a.mp3", "libmp3lame", None, {"write_xing": "0"}),
        ("a.aac", "aac", "adts", {}),
        ("a.m4a", "aac", "ipod", {}),
        ("a.webm", "libopus", None, {}),
        ("a.webm", "libopus", None, {"live": "1"}),
    ],
)
def test_titles_behind_the_samples_do_not_matter(
    tmp_path: Path, name: str, codec: str, form: str | None, options: dict, tail: bytes
) -> None:
    path = encode(tmp_path / name, tone(1.0), codec, form=form, **options)
    before = decoded(path)
    path.write_bytes(path.read_bytes() + tail)
    np.testing.assert_array_equal(decoded(path), before)
    assert inspect_audio(path, 10.0).doubt is None


def test_the_files_at_hand(shared_data: Path) -> None:
    """What other programs wrote; the right lengths are those of FFmpeg's program."""
    right = {
        "vbr_no_xing_10s.mp3": 442_368,
        "mp3_vbr_noxing2.mp3": 65_664,
        "mp3_joined.mp3": 33_455,
        "opus_6kHz_tone_in0.opus": 96_000,
        "flac_pipe.flac": 16_000,
        "flac.ogg": 16_000,
        "sox_pipe.wav": 16_000,
        "byterate_wrong.wav": 16_000,
        "flac_total_less.flac": 16_000,
        "mp3_in.wav": 17_280,
        "vorbis_noeos.ogg": 16_000,
        "aac.m4a": 16_384,
        "aac_named.mp3": 17_408,
    }
    assert {name: len(decoded(shared_data / "cases" / name)) for name in right} == right


def test_a_film_without_sound_has_no_audio_track(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=16, height=16)
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(AudioError, match="it has no audio track"):
        read_audio(path, RATE, RATE)


def test_the_sound_of_a_film_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10, width=16, height=16)
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        frames = av.AudioFrame.from_ndarray(tone(1.0).T, "fltp", "mono")
        frames.sample_rate = RATE
        packets = [*picture.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24"))]
        for packet in [*packets, *picture.encode(), *sound.encode(frames), *sound.encode()]:
            container.mux(packet)
    assert rms(read_audio(path, RATE, RATE)[2000:-2000]) == pytest.approx(0.354, abs=0.02)


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    sound = encode(tmp_path / "a.mp3", tone(1.0), "libmp3lame")
    for content in (f"ffconcat version 1.0\nfile '{sound}'\n", f"#EXTM3U\n#EXTINF:1,\n{sound}\n#EXT-X-ENDLIST\n"):
        (tmp_path / "list.mp3").write_text(content)
        with pytest.raises(AudioError, match="it is of no known format, or damaged"):
            read_audio(tmp_path / "list.mp3", RATE, RATE)


@pytest.mark.parametrize("name", [b"concat:a.mp3", b"100%d.mp3", b"?#[1].mp3", "狗.mp3".encode(), b"latin-1 \xe4.mp3"])
def test_a_name_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    encode(tmp_path / "plain.mp3", tone(1.0), "libmp3lame").rename(tmp_path / os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    assert len(decoded(Path(os.fsdecode(name)))) == RATE


def test_titles_in_another_encoding_do_not_matter(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", tone(1.0), "libmp3lame", id3v2_version="0")
    title = b"\x00\xfc\xff"  # said to be Latin-1
    text = b"TIT2" + struct.pack(">I", len(title)) + bytes(2) + title
    path.write_bytes(b"ID3\x03\x00\x00" + bytes([0, 0, 0, len(text)]) + text + path.read_bytes())
    assert len(decoded(path)) == RATE


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = encode(tmp_path / "a.mp3", noise(1.0), "libmp3lame").read_bytes()
    for data in (whole[:3000], whole[:1000] + whole[1200:], bytes(500) + whole, 2 * whole):
        (tmp_path / "b.mp3").write_bytes(data)
        try:
            read_audio(tmp_path / "b.mp3", RATE, RATE)
        except AudioError:
            continue
    (tmp_path / "b.mp3").write_bytes(bytes(500) + whole)
    assert len(decoded(tmp_path / "b.mp3")) > RATE
    assert capfd.readouterr() == ("", "")


def test_threads_decode_side_by_side(tmp_path: Path) -> None:
    paths = [encode(tmp_path / f"{n}.mp3", noise(1.0, n), "libmp3lame") for n in range(4)]
    alone, together = [decoded(path) for path in paths], {}
    threads = [threading.Thread(target=lambda p=path: together.update({p: decoded(p)})) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path, wave in zip(paths, alone, strict=True):
        np.testing.assert_array_equal(together[path], wave)


def test_channels_that_cancel_each_other_are_told(tmp_path: Path) -> None:
    left = noise(0.5)[:, 0]
    for right, mix in ((-left, 0.0), (left, 1.0), (np.zeros_like(left), np.sqrt(0.5))):
        soundfile.write(tmp_path / "a.wav", np.column_stack([left, right]), RATE)
        assert inspect_audio(tmp_path / "a.wav", 1.0).mix == pytest.approx(mix, abs=1e-3)
    soundfile.write(tmp_path / "a.wav", np.zeros((100, 2)), RATE)
    assert inspect_audio(tmp_path / "a.wav", 1.0).mix == 1


def test_every_suffix_is_found_in_a_folder(tmp_path: Path) -> None:
    for suffix in {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}:
        (tmp_path / f"a{suffix.upper()}").touch()
    (tmp_path / "notes.txt").touch()
    assert len(find_recordings([tmp_path])) == len(list(tmp_path.iterdir())) - 1
