import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.corpus.__main__ import main
from audiotag.corpus.validate import validate

Write = Callable[..., Path]
RATE = 8000
ROWS = [(f"{number}.wav", number % 2, "x" if number % 4 < 2 else "y;x" if number == 6 else "") for number in range(8)]


def grouped(groups: str) -> list[tuple]:
    return [(*row, group) for row, group in zip(ROWS, groups, strict=True)]


def warnings_of(root: Path) -> str:
    return "\n".join(validate(root).warnings)


def test_the_command_shows_everything(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus(ROWS, seconds=0.5)
    assert main(["check", str(root)]) == 0
    shown = capsys.readouterr().out
    for text in (
        f"Corpus  own (folder) in {root}",
        "Clips   8: 8 in 2 folds; 8 groups",
        "Audio   0.1 min, 0.50 to 0.50 s per clip; each is cut or padded to 0.50 s",
        "Rates   8000 Hz (8)",
        "Kinds   WAV PCM_16, mono (8)",
        "Tags    2, 0.75 per clip; 3 clips have none",
        "warning: tag `y` has no positives in fold 1: left out there",
        "0 errors, 1 warning",
    ):
        assert text in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["tag", "fold", "0", "fold", "1", "all"] in rows
    assert ["x", "3", "2", "5"] in rows
    assert ["(clips)", "4", "4", "8"] in rows


def test_errors_give_exit_code_2_and_are_all_there(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus(ROWS, seconds=0.5)
    (root / "audio" / "1.wav").unlink()
    (root / "audio" / "3.wav").write_text("no sound")
    with (root / "clips.csv").open("a") as file:
        file.write("9.wav,one,x\n")
    assert main(["check", str(root)]) == 2
    shown = capsys.readouterr().out
    assert "Clips   8, 2 of them unusable: 6 in 2 folds" in shown
    assert [line.split(": ")[0] for line in shown.splitlines() if line.startswith("error")] == ["error"] * 3
    for text in ("Line 10 of", "1.wav`: there is no such file", "3.wav`: it is of no known format", "3 errors, "):
        assert text in shown


def test_a_sound_corpus_has_no_warnings(folder_corpus: Write) -> None:
    root = folder_corpus([(name, fold, "x" if "x" in tags else "") for name, fold, tags in ROWS], seconds=0.5)
    report = validate(root)
    assert (report.errors, report.warnings) == ((), ())


def test_groups_that_straddle_folds(folder_corpus: Write) -> None:
    warned = warnings_of(folder_corpus(grouped("aabbcdef"), header="filename,fold,tags,group"))
    assert "2 groups of 6 with 4 clips in several folds: `a`, `b`; " in warned
    assert "tag `x`" not in warned.replace("tag `x` has", "")  # 2 of 5 positives


def test_a_tag_that_lives_in_straddling_groups(folder_corpus: Write) -> None:
    warned = warnings_of(folder_corpus(grouped("aabcaadd"), header="filename,fold,tags,group"))
    assert "tag `x`: 5 of its 5 development clips come from 2 groups in several folds: `a`, `d`" in warned


def test_a_group_in_development_and_evaluation(folder_corpus: Write) -> None:
    rows = [(*row, group, "development") for row, group in zip(ROWS, "abcdefgh", strict=True)]
    root = folder_corpus([*rows, ("e.wav", "", "x", "a", "evaluation")], header="filename,fold,tags,group,split")
    warned = warnings_of(root)
    assert "1 group in development and evaluation: `a`" in warned
    assert "in several folds" not in warned


def write(root: Path, name: str, wave: np.ndarray, rate: int = RATE) -> None:
    soundfile.write(root / "audio" / name, wave, rate)


def write_flac(root: Path) -> None:
    soundfile.write(root / "audio" / "2.wav", np.full(4000, 0.1), RATE, format="FLAC")


def write_endless_ogg(root: Path) -> None:
    path = root / "audio" / "2.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 40_000), RATE, format="OGG")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])


@pytest.mark.parametrize(
    ("spoil", "warning"),
    [
        (lambda root: write(root, "2.wav", np.full(4000, 1e-5)), "1 clip nearly silent (peak below 0.0001): `2.wav`"),
        (
            lambda root: write(root, "2.wav", np.outer(np.full(4000, 0.1), [1, -1])),
            "1 clip with channels that cancel each other: mixed to mono they are silent: `2.wav`",
        ),
        (write_endless_ogg, "1 clip that may be cut off or damaged (no page is marked as the last one): `2.wav`"),
        (lambda root: write(root, "2.wav", np.ones(4000)), "1 clip clipped (of more than 0.1% of"),
        (lambda root: write(root, "2.wav", np.full(400, 0.1)), "1 clip shorter than half the clip length"),
        (
            lambda root: write(root, "2.wav", np.full(90_000, 0.1)),
            "1 clip longer than the clip length of 10.00 s and cut (--clip-seconds keeps more)",
        ),
        (write_flac, "1 clip named otherwise than its content: `2.wav`"),
        (lambda root: write(root, "2.wav", np.full(4000, 0.1), 48_000), "7 clips below 16000 Hz among others above"),
        (
            lambda root: shutil.copy(root / "audio" / "2.wav", root / "audio" / "5.wav"),
            "2 clips with the same audio as another, 1 of 1 such sets in several folds: `2.wav = 5.wav`",
        ),
        (
            lambda root: shutil.copy(root / "audio" / "2.wav", root / "audio" / "0.wav"),
            "1 set of clips with the same audio and different tags: `0.wav = 2.wav`",
        ),
        (lambda root: shutil.copy(root / "audio" / "2.wav", root / "audio" / "new.wav"), "the table does not name"),
        (lambda root: replace(root, "0.wav,0,x", "0.wav,0,X"), "1 set of tags that differ little: `X` = `x`"),
        (lambda root: replace(root, "0.wav,0,x", '0.wav,0,"x,y"'), "1 tag with `,` in 1 clip: `x,y`"),
        (lambda root: replace(root, "0.wav,0,x", "0.wav,0,x|y"), "1 tag with `|` in 1 clip: `x|y`"),
        (lambda root: replace(root, "0.wav,0,x", "0.wav,0,NaN"), "1 tag that programs write for an empty cell: `NaN`"),
        (
            lambda root: replace(root, "0.wav,0,x", "0.wav,0,u\u0308;\u00fc"),
            "(with decomposed accents) = `\u00fc`",
        ),
    ],
)
def test_each_slip_is_named(folder_corpus: Write, spoil: Callable[[Path], object], warning: str) -> None:
    root = folder_corpus(ROWS, seconds=0.5)
    assert warning not in warnings_of(root)
    spoil(root)
    report = validate(root)
    assert warning in "\n".join(report.warnings)
    assert report.errors == ()


def replace(root: Path, old: str, new: str) -> None:
    text = (root / "clips.csv").read_text()
    assert old in text
    (root / "clips.csv").write_text(text.replace(old, new, 1))


def test_silent_clips_are_no_doubles(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS, seconds=0.5)
    for name in ("2.wav", "3.wav"):
        write(root, name, np.zeros(4000))
    assert "same audio" not in warnings_of(root)


def test_a_corpus_without_folds_is_shown(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus([(row[0], row[2]) for row in ROWS], header="filename,tags", seconds=0.5)
    assert main(["check", str(root)]) == 2
    shown = capsys.readouterr().out
    assert "no fold" in shown
    assert "error: There are no folds" in shown
    assert "python -m audiotag.corpus folds PATH" in shown


def test_nothing_usable(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus(ROWS)
    shutil.rmtree(root / "audio")
    assert main(["check", str(root)]) == 2
    assert capsys.readouterr().out.count("there is no such file") == 8


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["check"], "error: the following arguments are required: PATH"),
        (["check", ""], "an empty value is not allowed"),
        (["check", "/nowhere"], "error: The corpus `/nowhere` does not exist"),
        (["folds", "/nowhere"], "error: The corpus `/nowhere` does not exist"),
        (["folds", "x", "--folds", "0"], "--folds: 0 is not allowed: it must be above 0"),
        (["mend", "x"], "'mend' is not allowed: it must be check, folds, new or get"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1


def test_a_corpus_without_tags_is_reported(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus([("a.wav", 0, ""), ("b.wav", 1, "")])
    assert main(["check", str(root)]) == 2
    assert "error: There are no tags in" in capsys.readouterr().out


def test_clips_that_have_no_fold_yet_miss_no_tag(folder_corpus: Write) -> None:
    root = folder_corpus([("a.wav", "", "x;y"), ("b.wav", "", "x;y")])
    found = validate(root)
    assert found.usable.fold_numbers == ()
    assert "left out there" not in "\n".join(found.warnings)


def test_clips_are_kept_up_to_a_length(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder_corpus(ROWS, seconds=0.5)
    write(root, "2.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 12 * RATE))
    assert main(["check", str(root)]) == 0
    assert (
        "1 clip longer than the clip length of 10.00 s and cut (--clip-seconds keeps more): `2.wav`"
        in capsys.readouterr().out
    )
    assert main(["check", str(root), "--clip-seconds", "15"]) == 0
    shown = capsys.readouterr().out
    assert "each is cut or padded to 12.00 s" in shown
    assert "and cut" not in shown
