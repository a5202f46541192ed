"""The layouts as a whole, and ESC-50 and UrbanSound8K as they are published; rows as in their own files."""

from pathlib import Path

import pytest
from helpers.public_layouts import ESC50, URBANSOUND8K, write_esc50, write_urbansound8k

from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts import LAYOUTS


def test_each_layout_is_detected_by_itself_alone(tmp_path: Path) -> None:
    assert list(LAYOUTS) == [layout.name for layout in LAYOUTS.values()]
    assert not [layout.name for layout in LAYOUTS.values() if layout.detect(tmp_path)]
    for make, name in ((write_esc50, "esc50"), (write_urbansound8k, "urbansound8k")):
        root = make(tmp_path / name)
        assert [layout.name for layout in LAYOUTS.values() if layout.detect(root)] == [name]


def test_esc50(tmp_path: Path) -> None:
    corpus = open_corpus(write_esc50(tmp_path / "ESC-50-master"))
    assert (corpus.name, corpus.kind, corpus.fold_numbers) == ("ESC-50-master", "esc50", (1, 2))
    assert corpus.tags == ("car_horn", "chirping_birds", "dog")
    assert corpus.targets.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert corpus.groups.tolist() == ["100032", "100038", "100648", "102414", "102414"]
    assert corpus.clips[0] == "1-100032-A-0.wav"
    assert corpus.clip_seconds == 0.1


def test_urbansound8k(tmp_path: Path) -> None:
    corpus = open_corpus(write_urbansound8k(tmp_path / "UrbanSound8K"))
    assert (corpus.kind, corpus.fold_numbers) == ("urbansound8k", (5, 10))
    assert corpus.tags == ("car_horn", "children_playing", "dog_bark")
    assert corpus.clips[:3:2] == ("fold5/100032-3-0-0.wav", "fold10/100648-1-0-0.wav")
    assert corpus.groups.tolist() == ["100032", "100263", "100648", "100652"]
    assert corpus.targets.sum(axis=1).tolist() == [1] * 4


def test_a_table_of_the_users_own_goes_first(tmp_path: Path) -> None:
    root = write_esc50(tmp_path)
    (root / "clips.csv").touch()
    assert next(name for name, layout in LAYOUTS.items() if layout.detect(root)) == "folder"


MALFORMED = [
    ("fold", "part", "The column `fold` is missing in the first line of"),
    ("100032", "../../100032", "must name a file inside audio/"),
    ("\n100", "\n", "Missing audio"),
    (".wav,", ".wave,", "Missing audio"),
    (",5,3,", ",five,3,", "Line 2 of .* has fold 'five'"),
]


@pytest.mark.parametrize(
    ("make", "text", "old", "new", "message"),
    [
        (make, text, *case)
        for make, text in ((write_esc50, ESC50), (write_urbansound8k, URBANSOUND8K))
        for case in MALFORMED
        if case[0] in text
    ],
)
def test_malformed_tables(tmp_path: Path, make, text: str, old: str, new: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        open_corpus(make(tmp_path, text.replace(old, new, 1)))
