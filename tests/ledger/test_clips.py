"""study.ledger.clips: what a study keeps of its corpus's clips, so that a report needs no corpus."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from audiotag.corpus.corpus import open_corpus
from study.ledger.clips import CLIPS_FILE, read_clips, write_clips

ROWS = [
    ("a.wav", 1, "x;y", "house", "development"),
    ("b.wav", 1, "", "house", "development"),
    ("c.wav", 2, "x", "garden", "development"),
    ("d.wav", 2, "y", "garden", "development"),
    ("e.wav", "", "y", "street", "evaluation"),
]


@pytest.fixture
def root(folder_corpus: Callable[..., Path], tmp_path: Path) -> Path:
    write_clips(tmp_path, open_corpus(folder_corpus(ROWS, header="filename,fold,tags,group,split")))
    return tmp_path


def test_clips_come_back_in_any_order(root: Path) -> None:
    clips = read_clips(root)
    fold = clips.held_out(1, np.array(["b.wav", "a.wav"]))
    assert fold.targets.tolist() == [[0, 0], [1, 1]]
    assert fold.groups[0] == fold.groups[1]
    assert clips.evaluation(np.array(["e.wav"])).targets.tolist() == [[0, 1]]
    assert len(set(clips.groups.tolist())) == 3


def test_clips_of_another_fold_are_refused(root: Path) -> None:
    with pytest.raises(KeyError, match=r"c\.wav"):
        read_clips(root).held_out(1, np.array(["a.wav", "c.wav"]))


def test_clips_are_written_once(root: Path, folder_corpus: Callable[..., Path]) -> None:
    before = (root / CLIPS_FILE).read_bytes()
    write_clips(root, open_corpus(folder_corpus(ROWS[:4], header="filename,fold,tags,group,split", name="other")))
    assert (root / CLIPS_FILE).read_bytes() == before


def test_missing_or_damaged_clips(tmp_path: Path) -> None:
    assert read_clips(tmp_path) is None
    for content in (b"", b"not a zip file"):
        (tmp_path / CLIPS_FILE).write_bytes(content)
        assert read_clips(tmp_path) is None
    np.savez(tmp_path / CLIPS_FILE, names=np.zeros(3, "U1"), targets=np.zeros((2, 1)), folds=[0], groups=[0])
    assert read_clips(tmp_path) is None


def test_unknown_labels_are_kept_and_known_ones_stay_bytes(
    root: Path, folder_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    assert read_clips(root).targets.dtype == np.uint8
    rows = [(name, fold, f"{tags};?z" if name == "d.wav" else tags, *rest) for name, fold, tags, *rest in ROWS]
    rows = [("f.wav", fold, "z", "park", "development") for fold in (1,)] + rows
    corpus = open_corpus(folder_corpus(rows, header="filename,fold,tags,group,split", name="partly"))
    (place := tmp_path / "study").mkdir()
    write_clips(place, corpus)
    clips = read_clips(place)
    np.testing.assert_array_equal(clips.targets, corpus.targets)
    np.testing.assert_array_equal(clips.held_out(2, np.array(["d.wav", "c.wav"])).targets, [[0, 1, np.nan], [1, 0, 0]])
