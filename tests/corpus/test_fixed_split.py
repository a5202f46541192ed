"""One fixed split in place of folds: read, checked, split, and written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audiotag.augment.noises import ClipNoise
from audiotag.corpus.__main__ import main
from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.partitions import draw_partitions
from audiotag.corpus.splits import VALIDATION_SHARE, split_fold
from audiotag.corpus.validate import validate
from audiotag.corpus.write_table import write_table

Write = Callable[..., Path]
HEADER = "filename,tags,group,split"
PARTS = ("train", "train", "train", "validation", "test")


def rows(parts: tuple[str, ...] = PARTS, clips: int = 30, per_group: int = 2) -> list[tuple[str, str, str, str]]:
    """Clips of groups, which keep to a part."""
    return [
        (
            f"{n:02}.wav",
            ";".join(tag for tag, every in (("x", 2), ("y", 3)) if n % every == 0),
            f"g{group}",
            parts[group % 5],
        )
        for n in range(clips)
        for group in [n // per_group]
    ]


def opened(write: Write, parts: tuple[str, ...] = PARTS, name: str = "own", **more: int) -> Corpus:
    return open_corpus(write(rows(parts, **more), HEADER, seconds=0.01, name=name))


# --- reference ---


def test_the_given_parts_train_stop_and_score(folder_corpus: Write) -> None:
    corpus = opened(folder_corpus)
    given = np.array([row[-1] for row in rows()])
    assert corpus.has_fixed_split
    assert (corpus.fold_numbers, corpus.name_fold(1)) == ((1,), "the test set")
    assert corpus.split_sizes == {"train": 18, "validation": 6, "test": 6}
    for seed in range(3):
        split = split_fold(corpus, 1, "split", seed)
        for part, name in ((split.train, "train"), (split.validation, "validation"), (split.held_out, "test")):
            assert part.tolist() == np.flatnonzero(given == name).tolist()
    assert "one fixed split" in repr(corpus)
    assert corpus.unscored_cells() == []


def test_without_validation_clips_whole_groups_of_training_are_taken(folder_corpus: Write) -> None:
    corpus = opened(folder_corpus, ("train", "train", "train", "train", "test"), clips=60, per_group=3)
    found = {}
    for seed in (0, 0, 1):
        split = split_fold(corpus, 1, "split", seed)
        assert sorted([*split.train, *split.validation]) == corpus.trained.tolist()
        assert not set(corpus.groups[split.train]) & set(corpus.groups[split.validation])
        assert len(split.validation) == pytest.approx(VALIDATION_SHARE * len(corpus.trained), abs=3)
        assert found.setdefault(seed, split.validation.tolist()) == split.validation.tolist()
    assert found[0] != found[1]


def test_short_words_for_the_parts(folder_corpus: Write) -> None:
    short = {"validation": "val", "train": "training"}
    table = [(*row[:-1], short.get(row[-1], row[-1])) for row in rows()]
    given, other = open_corpus(folder_corpus(table, HEADER)), open_corpus(folder_corpus(rows(), HEADER, name="long"))
    assert given.fingerprint == other.fingerprint


def test_a_table_is_written_as_it_was_read(folder_corpus: Write, tmp_path: Path) -> None:
    corpus = opened(folder_corpus)
    write_table(corpus, tmp_path / "new.csv", "")
    lines = [line.split(",") for line in (tmp_path / "new.csv").read_text().splitlines()[1:]]
    assert [(name, tags, group, split) for name, _, tags, group, split in lines] == rows()
    assert {fold for _, fold, *_ in lines} == {""}


def test_check_counts_each_part(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder_corpus(rows(), HEADER))]) == 0
    text = capsys.readouterr().out
    assert "Clips   30: 18 train, 6 validation, 6 test; 15 groups" in text
    assert "train  validation  test  all" in text


def test_background_sounds_come_from_training_clips(folder_corpus: Write) -> None:
    corpus = opened(folder_corpus)
    noise = ClipNoise(corpus, corpus.digests, 3, lambda clip: np.zeros(1))
    assert noise.clips.shape == (len(corpus.trained), 3)
    assert np.isin(noise.clips, corpus.trained).all()


# --- warnings ---


def test_groups_and_tags_that_spoil_a_split(folder_corpus: Write) -> None:
    torn = [
        (name, f"{tags};z" if part == "test" else tags, "g0" if name == "29.wav" else group, part)
        for name, tags, group, part in rows()
    ]
    warnings = validate(folder_corpus(torn, HEADER)).warnings
    assert any(
        line.startswith("1 group of 15 with 3 clips in several of train, validation and test: `g0`")
        for line in warnings
    )
    assert any("scored on recordings that it was trained on" in line for line in warnings)
    assert "tag `z` has no positives in training" in warnings
    sharing = [(*row[:2], "g0" if row[0] == "06.wav" else row[2], row[3]) for row in rows()]
    assert any(
        "stopped by recordings that it was trained on" in line
        for line in validate(folder_corpus(sharing, HEADER, name="sharing")).warnings
    )
    assert (
        "tag `z` has no negatives in the test set: left out there"
        in validate(folder_corpus([*torn, ("more.wav", "z", "h", "train")], HEADER, name="more")).warnings
    )


# --- malformed ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": "test", "validation": "test"}, "No clip of .* is in `train`"),
        ({"test": "validation"}, "There are no test clips in"),
        ({"test": "evaluation"}, "6 clips of .* in none of train, validation, test, in which others are: `08.wav`"),
        ({"validation": "development"}, "6 clips of .* in none of train"),
        (
            {"test": "exam"},
            "has split 'exam', but it must be development or evaluation, or one of train, validation, test",
        ),
    ],
)
def test_splits_that_are_none(folder_corpus: Write, change: dict[str, str], message: str) -> None:
    table = [(*row[:-1], change.get(row[-1], row[-1])) for row in rows()]
    with pytest.raises(CorpusError, match=message):
        open_corpus(folder_corpus(table, HEADER))


def test_a_fixed_split_has_no_folds(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    table = [(name, 1, tags, part) for name, tags, _, part in rows()]
    with pytest.raises(CorpusError, match="has fold '1' and split 'train', but a fixed split has no folds"):
        open_corpus(folder_corpus(table, "filename,fold,tags,split"))
    root = folder_corpus(rows(), HEADER, name="fixed")
    with pytest.raises(CorpusError, match="has one fixed split, which is not drawn anew: leave out --partitions"):
        draw_partitions(open_corpus(root), 0, 2)
    with pytest.raises(SystemExit, match="2"):
        main(["folds", str(root)])
    assert "has one fixed split: take the column `split` out" in capsys.readouterr().err


def test_protocols_of_folds_and_of_a_split(folder_corpus: Write) -> None:
    corpus = opened(folder_corpus)
    with pytest.raises(ValueError, match="is 'paper', but the corpus has one fixed split: it must be split"):
        split_fold(corpus, 1, "paper", 0)
    with pytest.raises(ValueError, match="is 'split', but the corpus has folds: it must be paper or nested"):
        split_fold(replace(corpus, folds=np.arange(30) % 3), 1, "split", 0)
    one_group = replace(opened(folder_corpus, ("train",) * 4 + ("test",), name="two"), groups=np.array(["g"] * 30))
    with pytest.raises(ValueError, match="taken out of training by groups, of which there is one: name some"):
        split_fold(one_group, 1, "split", 0)
