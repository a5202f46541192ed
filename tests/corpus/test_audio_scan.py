"""Every way in which a recording can be bad, all reported at once; unusual ones are used."""

import os
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.audio.decode import open_decoder
from audiotag.audio.read import read_audio
from audiotag.audio.sound import Sound
from audiotag.corpus.corpus import CorpusError, open_corpus

Write = Callable[..., Path]
RATE = 8000
ROWS = [(f"{number}.wav", number % 2, "x" if number % 4 < 2 else "") for number in range(8)]


def tone(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


def no_file(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def nan(path: Path) -> None:
    soundfile.write(path, np.array([0.1, np.nan, 0.1]), RATE, subtype="FLOAT")


def loud(path: Path) -> None:
    soundfile.write(path, np.array([0.1, 1e20, 0.1]), RATE, subtype="FLOAT")


BAD: list[tuple[Callable[[Path], object], str]] = [
    (no_file, "there is no such file"),
    (lambda path: path.write_bytes(b""), "it is empty"),
    (lambda path: path.write_text("dear diary\n" * 50), "it is of no known format, or damaged"),
    (folder, "it is a folder, not a file"),
    (pipe, "it is not a regular file"),
    (loop, "too many levels of symbolic links"),
    (truncated, "it is cut off: 350 of 400 samples are there"),
    (nan, "it holds a NaN or an infinity"),
    (loud, "it is too loud for float32, scale it down"),
    (lambda path: soundfile.write(path, np.zeros(0), RATE), "it has no samples"),
]


@pytest.mark.parametrize(("spoil", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_each_kind_is_named(folder_corpus: Write, spoil: Callable[[Path], object], reason: str) -> None:
    root = folder_corpus(ROWS)
    spoil(root / "audio" / "3.wav")
    with pytest.raises(CorpusError, match=reason if reason != "there is no such file" else "Missing audio") as caught:
        open_corpus(root)
    assert caught.value.problems == (f"`{root / 'audio' / '3.wav'}`: {reason}",)
    assert open_corpus(root, skip_bad=True).skipped == {"3.wav": reason}


def test_all_are_named_at_once_and_can_be_left_out(folder_corpus: Write) -> None:
    rows = [*ROWS, *((f"bad{number}.wav", 0, "x") for number in range(len(BAD)))]
    root = folder_corpus(rows)
    for number, (spoil, _) in enumerate(BAD):
        spoil(root / "audio" / f"bad{number}.wav")
    message = rf"Unusable audio, {len(BAD)} of {len(rows)} files: .* and 7 more: .*--skip-bad"
    with pytest.raises(CorpusError, match=message) as caught:
        open_corpus(root)
    expected = [f"`{root / 'audio' / f'bad{number}.wav'}`: {reason}" for number, (_, reason) in enumerate(BAD)]
    assert list(caught.value.problems) == expected
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
    corpus = open_corpus(root, skip_bad=True)
    assert corpus.clips == tuple(row[0] for row in ROWS)
    assert corpus.targets.tolist() == [[float(bool(row[2]))] for row in ROWS]
    assert corpus.skipped == {f"bad{number}.wav": reason for number, (_, reason) in enumerate(BAD)}
    for number in range(len(BAD)):  # the same corpus as one without their rows
        path = root / "audio" / f"bad{number}.wav"
        if path.is_dir():
            path.rmdir()
        elif os.path.lexists(path):
            path.unlink()
    (root / "clips.csv").write_text("filename,fold,tags\n" + "".join(f"{a},{b},{c}\n" for a, b, c in ROWS))
    assert open_corpus(root).fingerprint == corpus.fingerprint


def test_a_file_that_may_not_be_read(folder_corpus: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_corpus(ROWS)
    locked = root / "audio" / "2.wav"
    locked.chmod(0)
    if os.access(locked, os.R_OK):  # root may read everything

        def refuse(path: Path) -> AbstractContextManager[Sound]:
            if Path(path) == locked:
                raise PermissionError(13, "Permission denied")
            return open_decoder(path)

        monkeypatch.setattr("audiotag.audio.read.open_decoder", refuse)
    with pytest.raises(CorpusError, match=r"2\.wav` \(permission denied\)"):
        open_corpus(root)


def test_mistakes_in_table_and_audio_are_reported_together(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    (root / "audio" / "1.wav").unlink()
    with (root / "clips.csv").open("a") as file:
        file.write("9.wav,one,x\n../8.wav,1,x\n")
    with pytest.raises(CorpusError, match=r"Line 10 of .* has fold 'one'.* \(and 2 more problems\)") as caught:
        open_corpus(root)
    assert [problem.split(" has ")[0] for problem in caught.value.problems[:2]] == [
        f"Line {line} of `{root / 'clips.csv'}`" for line in (10, 11)
    ]
    assert "1.wav`: there is no such file" in caught.value.problems[2]


def test_unusual_files_are_used(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS, seconds=1.0)
    audio = root / "audio"
    unusual = {
        "8 channels.wav": (tone(1, channels=8), RATE, "PCM_16"),
        "8-bit.wav": (tone(1), RATE, "PCM_U8"),
        "192 kHz.wav": (tone(1, 192_000), 192_000, "PCM_24"),
        "odd rate.wav": (tone(1, 44_099), 44_099, "PCM_16"),
        "silence.wav": (np.zeros(RATE), RATE, "PCM_16"),
        "Straße, 録音 🎤.wav": (tone(1), RATE, "PCM_16"),
        "one sample.wav": (np.full(1, 0.5), RATE, "PCM_16"),
        "an hour.wav": (np.zeros(100 * 3600, dtype=np.int16), 100, "PCM_16"),
    }
    for name, (wave, rate, subtype) in unusual.items():
        soundfile.write(audio / name, wave, rate, subtype=subtype)
    (audio / "really ogg.wav").write_bytes(ogg(audio / "x.ogg"))
    with (root / "clips.csv").open("a") as file:
        file.writelines(f'"{name}",1,x\n' for name in [*unusual, "really ogg.wav"])
    corpus = open_corpus(root)
    assert len(corpus.clips) == len(ROWS) + len(unusual) + 1
    assert list(corpus.doubts.values()) == [("silence.wav", "an hour.wav")]
    for path in corpus.paths:
        waveform = read_audio(path, 16_000, 16_000)
        assert waveform.shape == (16_000,)
        if path.stem not in ("silence", "one sample", "an hour") and path.stem not in "01234567":
            assert np.argmax(np.abs(np.fft.rfft(waveform))) == 440


def ogg(path: Path) -> bytes:
    soundfile.write(path, tone(1), RATE)
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_written_in_either_way(folder_corpus: Write, form: str) -> None:
    import unicodedata

    root = folder_corpus([*ROWS, (unicodedata.normalize(form, "Tür/é.wav"), 1, "x")])
    other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], "Tür/é.wav")
    table = (root / "clips.csv").read_text(encoding="utf-8")
    (root / "clips.csv").write_text(table.replace(unicodedata.normalize(form, "Tür/é.wav"), other), encoding="utf-8")
    corpus = open_corpus(root)
    assert corpus.clips[-1] == other
    assert corpus.paths[-1].is_file()


def test_skipping_everything_leaves_no_corpus(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    for row in ROWS:
        (root / "audio" / row[0]).unlink()
    with pytest.raises(CorpusError, match="There are no clips in the corpus"):
        open_corpus(root, skip_bad=True)


def test_the_clip_length_is_that_of_the_clips_that_are_left(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    soundfile.write(root / "audio" / "3.wav", np.append(np.zeros(4 * RATE), np.nan), RATE, subtype="FLOAT")
    assert open_corpus(root, skip_bad=True).clip_seconds == 0.05


def test_progress_counts_every_file(folder_corpus: Write) -> None:
    calls: list[tuple[int, int]] = []
    open_corpus(folder_corpus(ROWS), progress=lambda *call: calls.append(call))
    assert calls == [(number + 1, 8) for number in range(8)]
