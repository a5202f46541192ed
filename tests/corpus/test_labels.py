"""Unknown labels: what tables say of them, what a corpus makes of them, and how it is divided."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from audiotag.corpus.__main__ import main
from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.labels import as_json, as_lists, balanced_classes, count_known, have_unknown
from audiotag.corpus.partitions import draw_partitions
from audiotag.corpus.propose_folds import propose_folds
from audiotag.corpus.splits import split_fold
from audiotag.corpus.write_table import write_table

Write = Callable[..., Path]
ROWS = [("a.wav", 1, "x;?y"), ("b.wav", 1, "y"), ("c.wav", 2, "? x"), ("d.wav", 2, "x;y"), ("e.wav", 2, "")]
NAN = np.nan


def many(clips: int = 60) -> list[tuple[str, int, str]]:
    """Half of the labels of y are unknown; a third of the others are there."""
    return [
        (f"{n:02}.wav", n // 6 % 3, ";".join(["x"] * (n % 4 == 0) + ["?y"] * (n % 2) + ["y"] * (n % 6 == 0)))
        for n in range(clips)
    ]


# --- reference ---


def test_a_question_mark_makes_a_tag_unknown(folder_corpus: Write) -> None:
    corpus = open_corpus(folder_corpus(ROWS))
    assert corpus.tags == ("x", "y")
    np.testing.assert_array_equal(corpus.targets, [[1, NAN], [0, 1], [NAN, 0], [1, 1], [0, 0]])
    assert corpus.notes == ("`?` marks tags of which it is unknown whether a clip has them, in 2 clips",)
    assert count_known(corpus.targets).tolist() == [4, 4]
    assert as_lists(corpus.targets)[:3] == [[1, None], [0, 1], [None, 0]]


@pytest.mark.parametrize("targets", [[[1, NAN], [0, 1]], [[0], [1]], np.zeros((3, 0)), np.zeros((0, 2))])
def test_text_of_labels_is_that_of_their_lists(targets: list) -> None:
    array = np.asarray(targets, np.float32)
    assert as_json(array) == json.dumps(as_lists(array))


@pytest.mark.parametrize("separator", [",", "|"])
def test_tags_are_separated_before_their_marks_are_read(folder_corpus: Write, separator: str) -> None:
    rows = [(name, fold, tags.replace(";", separator)) for name, fold, tags in [*ROWS, ("f.wav", 1, "x")]]
    assert open_corpus(folder_corpus(rows)).tags == ("x", "y")


def test_the_fingerprint_knows_what_is_unknown_and_is_that_of_before_without(folder_corpus: Write) -> None:
    plain = [(name, fold, tags.replace("?", "").replace(" ", "")) for name, fold, tags in ROWS]
    known, partly = open_corpus(folder_corpus(plain)), open_corpus(folder_corpus(ROWS, name="partly"))
    assert known.fingerprint != partly.fingerprint
    assert as_lists(known.targets) == known.targets.astype(int).tolist()
    assert known.fingerprint == "0819de60763ccc19"  # as versions before unknown labels computed it


def test_a_table_is_written_as_it_was_read(folder_corpus: Write, tmp_path: Path) -> None:
    corpus = open_corpus(folder_corpus(ROWS))
    write_table(corpus, tmp_path / "new.csv", "")
    assert [line.split(",")[2] for line in (tmp_path / "new.csv").read_text().splitlines()[1:]] == [
        "x;?y",
        "y",
        "?x",
        "x;y",
        "",
    ]


def test_check_says_how_much_is_known(folder_corpus: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder_corpus(ROWS))]) == 0
    text = capsys.readouterr().out
    assert "Labels  80.0 % known, per tag in 4 (`x`) to 4 clips" in text
    assert "0.80 per clip; 2 clips have none" in text
    assert [line.split() for line in text.splitlines() if line.strip().startswith(("tag", "x", "y"))] == [
        ["tag", "fold", "1", "fold", "2", "all", "known"],
        ["x", "1", "1", "2", "4"],
        ["y", "1", "1", "2", "4"],
    ]


# --- divisions ---


def test_tags_without_unknown_labels_are_balanced_as_before() -> None:
    targets = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    assert balanced_classes(targets).tolist() == (targets > 0).tolist()
    targets[2, 1] = NAN
    assert balanced_classes(targets).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert not have_unknown(np.zeros((2, 2), np.uint8))


def test_folds_partitions_and_validation_sets_share_out_what_is_known(folder_corpus: Write) -> None:
    corpus = open_corpus(folder_corpus(many(), seconds=0.01))
    present, absent = corpus.targets[:, 1] == 1, corpus.targets[:, 1] == 0
    for folds in (propose_folds(corpus, 3, 0), draw_partitions(corpus, 0, 2)[0]):
        for fold in np.unique(folds):
            assert 2 <= (present & (folds == fold)).sum() <= 4
            assert 5 <= (absent & (folds == fold)).sum() <= 8
    for folds in draw_partitions(corpus, 0, 7):
        assert np.ptp([(absent & (folds == fold)).sum() for fold in np.unique(folds)]) <= 2
    split = split_fold(corpus, 1, "nested", 0)
    assert present[split.validation].any()
    assert absent[split.validation].any()


# --- malformed ---


@pytest.mark.parametrize("tags", ["?", "x;? ", "x;?x"])
def test_a_mark_that_contradicts_itself(folder_corpus: Write, tags: str) -> None:
    with pytest.raises(
        CorpusError, match=r"1 clip of .* with a `\?` that stands before no tag, or before one that the"
    ):
        open_corpus(folder_corpus([*ROWS, ("f.wav", 1, tags)]))


def test_a_tag_that_no_clip_is_known_to_have_cannot_be_scored(folder_corpus: Write) -> None:
    rows = [(f"{n}.wav", n % 2, ["x;?z", ""][n // 2 % 2]) for n in range(8)]
    with pytest.raises(CorpusError, match="Tag `z` cannot be scored in any fold"):
        open_corpus(folder_corpus(rows))
