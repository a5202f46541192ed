"""A first table for a folder of recordings."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile

from audiotag.corpus.__main__ import main
from audiotag.corpus.corpus import CorpusError, open_corpus, read_tables
from audiotag.corpus.new_table import new_corpus, read_pattern

Write = Callable[..., Path]
CLASSES = [f"{tag}/{tag}-h{n // 2}-{n}.wav" for tag in ("cat", "dog", "Tür") for n in range(4)]


@pytest.fixture
def recordings(folder_corpus: Write) -> Callable[..., Path]:
    """Write recordings into a folder without a table, in its audio/ or not."""

    def write(names: list[str], in_audio: bool = True) -> Path:
        root = folder_corpus([(name, "", "") for name in names])
        (root / "clips.csv").unlink()
        if not in_audio:
            for path in [*(root / "audio").iterdir()]:
                shutil.move(path, root / path.name)
            (root / "audio").rmdir()
        return root

    return write


@pytest.mark.parametrize("in_audio", [True, False])
def test_folders_of_classes(recordings: Callable[..., Path], in_audio: bool) -> None:
    root = recordings(CLASSES, in_audio)
    (root / "audio" if in_audio else root).joinpath("dog", "._dog.wav").write_bytes(b"\0\5\x16\7")
    assert main(["new", str(root), "--folds", "2"]) == 0
    corpus = open_corpus(root)
    assert corpus.tags == ("Tür", "cat", "dog")
    assert corpus.clips == tuple(sorted(CLASSES))
    assert corpus.targets.sum(axis=0).tolist() == [4, 4, 4]
    assert corpus.targets.sum(axis=1).tolist() == [1] * 12
    assert corpus.fold_numbers == (1, 2)
    assert main(["check", str(root)]) == 0


def test_names_by_a_pattern(recordings: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    root = recordings(["dog+cat-h1-01.wav", "dog-h1-02.flac", "cat-h2-03.wav"])
    assert main(["new", str(root), "--pattern", "{tag}-{group}-*", "--tag-separator", "+"]) == 0
    assert "no tags yet" not in capsys.readouterr().out
    corpus, problems = read_tables(root)
    assert problems == ()
    assert corpus.targets.tolist() == [[1, 0], [1, 1], [0, 1]]
    assert corpus.groups.tolist() == ["h2", "h1", "h1"]
    assert (corpus.tags, corpus.fold_numbers) == (("cat", "dog"), ())


def test_all_names_with_empty_tags(recordings: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    names = ["a.wav", "b, c.wav", "one/d.wav"]  # one folder tells nothing
    root = recordings(names)
    assert main(["new", str(root)]) == 0
    assert "3 recordings, no tags yet" in capsys.readouterr().out
    corpus, problems = read_tables(root)
    assert (corpus.clips, corpus.tags, problems) == (tuple(names), (), ())


@pytest.mark.parametrize(
    ("pattern", "name", "fields"),
    [
        ("{tag}-{group}-*", "sub/dog-h1-2-3.wav", {"tag": ["dog"], "group": ["h1"], "*": ["2-3"]}),
        ("{tag}/*", "dog/a.wav", {"tag": ["dog"], "*": ["a"]}),
        ("{tag}/*", "a.wav", None),
        ("{tag}/*", "more/dog/a.wav", None),
        ("fold{fold}/{tag}_*", "fold3/dog_1.wav", {"fold": ["3"], "tag": ["dog"], "*": ["1"]}),
        ("fold{fold}-*", "foldx-1.wav", None),
        ("{tag}_{tag}_*", "a_b_c.wav", {"tag": ["a", "b"], "*": ["c"]}),
        ("{tag}.x.wav", "dog.x.wav", {"tag": ["dog"]}),
        ("{tag}.x", "dog.x.wav", {"tag": ["dog"]}),
        ("{tag}(1)", "dog(1).wav", {"tag": ["dog"]}),
        ("{tag}", "Tür.wav", {"tag": ["Tür"]}),
        ("*", "a.wav", {"*": ["a"]}),
    ],
)
def test_patterns(pattern: str, name: str, fields: dict[str, Any] | None) -> None:
    assert read_pattern(pattern)(name) == fields


@pytest.mark.parametrize(
    "pattern", ["{tog}-*", "{tag", "tag}", "{}", "{tag}{group}", "{tag}*", "{fold}-{fold}", "{{tag}}"]
)
def test_patterns_without_a_meaning(pattern: str) -> None:
    with pytest.raises(CorpusError, match="--pattern is"):
        read_pattern(pattern)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pattern", "{tag}_*"], "does not fit 12 of 12 names"),
        (["--pattern", "{tog}_*"], "{tog} means nothing"),
        (["--folds", "1"], "must be at least 2"),
        (["--folds", "13"], "has 12 groups"),
        (["--pattern", "*", "--folds", "2"], "no tags"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    recordings: Callable[..., Path], words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = recordings(CLASSES)
    with pytest.raises(SystemExit) as end:
        main(["new", str(root), *words])
    err = capsys.readouterr().err
    assert (end.value.code, err.count("\n"), told in err) == (2, 1, True)
    assert [path.name for path in root.iterdir()] == ["audio"]


def test_a_table_that_is_there_stays(folder_corpus: Write) -> None:
    root = folder_corpus([("a.wav", 1, "x")])
    before = (root / "clips.csv").read_bytes()
    with pytest.raises(SystemExit):
        main(["new", str(root)])
    assert (root / "clips.csv").read_bytes() == before


def test_folders_without_recordings_or_with_another_layout(tmp_path: Path, metadata: Path) -> None:
    for folder, told in ((tmp_path / "none", "does not exist"), (tmp_path, "no recordings"), (metadata, "chime-home")):
        with pytest.raises(CorpusError, match=told):
            new_corpus(folder)


def test_names_that_a_table_cannot_hold(recordings: Callable[..., Path]) -> None:
    root = recordings(["a.wav"])
    for name in ("line\nbreak.wav", " space.wav"):
        soundfile.write(root / "audio" / name, [0.1, 0.2], 8000)
    with pytest.raises(CorpusError, match="2 files in"):
        new_corpus(root)
