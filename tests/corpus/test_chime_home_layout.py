from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.corpus.corpus import Corpus, open_corpus, read_tables
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts import LAYOUTS
from audiotag.corpus.layouts.chime_home import DEVELOPMENT_LIST, EVALUATION_LIST, FOLD_LIST, TAGS, read
from audiotag.corpus.tables import EVALUATION

VOTES = ("cmfvpbo", "S", "cv", "U", "c", "bmfpo")
FOLDS = (0, 0, 1, 1, 0, 1)


def write_chunk(root: Path, name: str, letters: str) -> None:
    (root / "chunks").mkdir(exist_ok=True)
    lines = {"segmentname": name.split("_")[0], "chunknumber": 0, "majorityvote": letters, "chunkname": name}
    (root / "chunks" / f"{name}.csv").write_text("".join(f"{key},{value}\n" for key, value in lines.items()))
    soundfile.write(root / "chunks" / f"{name}.16kHz.wav", np.full(160, len(letters) / 100), 16000)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Six development chunks in two folds and two segments, one evaluation chunk."""
    root = tmp_path / "chime_home"
    root.mkdir()
    names = [f"seg{number % 2}_chunk{number}" for number in range(6)]
    for name, letters in zip([*names, "seg9_chunk0"], [*VOTES, "mS"], strict=True):
        write_chunk(root, name, letters)
    rows = [f"{number * 7},{name}" for number, name in enumerate(names)]  # ids mean nothing
    (root / DEVELOPMENT_LIST).write_text("\n".join(rows) + "\n")
    (root / FOLD_LIST).write_text("".join(f"{row},{fold}\n" for row, fold in zip(rows, FOLDS, strict=True)))
    (root / EVALUATION_LIST).write_text("0,seg9_chunk0\n")
    return root


def read_lists(root: Path) -> Corpus:
    corpus, problems = read_tables(root)
    assert problems == ()
    return corpus


def test_counts_of_the_real_lists(metadata: Path) -> None:
    lists = read_lists(metadata)
    development = lists.folds != EVALUATION
    assert (development.sum(), (~development).sum()) == (1946, 816)
    assert lists.targets[development].sum(axis=0).tolist() == [1214, 174, 409, 1181, 765, 19, 361]
    assert lists.targets[~development].sum(axis=0).tolist() == [328, 79, 140, 590, 269, 31, 125]
    silent = lists.targets.sum(axis=1) == 0
    assert (silent[development].sum(), silent[~development].sum()) == (27, 15)


def test_folds_and_groups_of_the_real_lists(metadata: Path) -> None:
    lists = read_lists(metadata / "chime_home")
    development = lists.folds != EVALUATION
    assert np.bincount(lists.folds[development]).tolist() == [383, 442, 463, 271, 387]
    positives = [lists.targets[lists.folds == fold, TAGS.index("b")].sum() for fold in range(5)]
    assert positives == [4, 4, 4, 4, 3]
    folds_of = {group: set(lists.folds[development & (lists.groups == group)]) for group in lists.groups[development]}
    assert (len(folds_of), sum(len(folds) > 1 for folds in folds_of.values())) == (58, 3)


def test_first_real_chunk(metadata: Path) -> None:
    lists = read_lists(metadata)
    assert lists.kind == "chime_home"
    assert lists.clips[0] == "CR_lounge_220110_0731.s0_chunk27"
    assert lists.groups[0] == "CR_lounge_220110_0731.s0"
    assert lists.folds[0] == 1
    assert lists.paths[0] == metadata / "chime_home" / "chunks" / "CR_lounge_220110_0731.s0_chunk27.16kHz.wav"


def test_real_lists_without_audio_do_not_open(metadata: Path) -> None:
    with pytest.raises(CorpusError, match=r"s0_chunk27\.16kHz\.wav` and 2761 more of 2762 files: unpack the audio"):
        open_corpus(metadata)


def test_letters_become_targets(layout: Path) -> None:
    lists = read_lists(layout)
    expected = [[float(tag in letters) for tag in "cmfvpbo"] for letters in [*VOTES, "m"]]
    np.testing.assert_array_equal(lists.targets, np.array(expected, dtype=np.float32))
    assert lists.targets.dtype == np.float32
    assert lists.folds.tolist() == [*FOLDS, EVALUATION]
    assert lists.folds.dtype == np.int64
    assert lists.groups.tolist() == ["seg0", "seg1"] * 3 + ["seg9"]
    assert lists.tags == TAGS == ("c", "m", "f", "v", "p", "b", "o")


def test_the_folder_and_its_parent_are_the_same(layout: Path) -> None:
    inner, outer = open_corpus(layout), open_corpus(layout.parent)
    assert (inner.root, inner.name, inner.fingerprint) == (outer.root, outer.name, outer.fingerprint)
    assert (outer.name, outer.kind, outer.tags, outer.clip_seconds) == ("chime_home", "chime_home", TAGS, 4.0)


def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(layout: Path) -> None:
    before = read_lists(layout)
    for path in [layout / FOLD_LIST, *(layout / "chunks").glob("*.csv")]:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    after = read_lists(layout)
    assert before.clips == after.clips
    np.testing.assert_array_equal(before.targets, after.targets)
    np.testing.assert_array_equal(before.groups, after.groups)


def test_no_evaluation_list_is_no_evaluation_split(layout: Path) -> None:
    (layout / EVALUATION_LIST).unlink()
    corpus = open_corpus(layout)
    assert len(corpus.clips) == 6
    assert corpus.evaluation.tolist() == []


def test_the_mark_makes_it_synthetic(layout: Path) -> None:
    (layout / "synthetic.json").write_text("{}")
    assert open_corpus(layout).kind == "synthetic"
    next((layout / "chunks").glob("*.wav")).unlink()
    with pytest.raises(CorpusError, match=r"Missing audio: .* of 7 files: delete the folder and write the synthetic"):
        open_corpus(layout)


def test_empty_lists_have_no_clips(layout: Path) -> None:
    for name in (DEVELOPMENT_LIST, FOLD_LIST, EVALUATION_LIST):
        (layout / name).write_text("\n")
    assert read_lists(layout).targets.shape == (0, 7)
    with pytest.raises(CorpusError, match="There are no clips in the corpus"):
        open_corpus(layout)


def test_an_empty_folder_is_not_chime_home(tmp_path: Path) -> None:
    assert not LAYOUTS["chime_home"].detect(tmp_path)
    with pytest.raises(CorpusError, match=f"has no {DEVELOPMENT_LIST}: unpack chime_home.tar.gz"):
        read(tmp_path)


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


LISTS: list[tuple[str, str, str, str]] = [
    (FOLD_LIST, "7,seg1_chunk1,0", "7,seg1_chunk9,0", f"{FOLD_LIST}` has other chunks than {DEVELOPMENT_LIST}"),
    (FOLD_LIST, "35,seg1_chunk5,1\n", "", "other chunks than"),
    (FOLD_LIST, "seg1_chunk1,0", "seg1_chunk1,-1", "Line 2 of .* has fold '-1', but it must be a whole number"),
    (FOLD_LIST, "seg1_chunk1,0", "seg1_chunk1", "Line 2 of .* is '7,seg1_chunk1', but must be `id,chunkname,fold`"),
    (DEVELOPMENT_LIST, "0,seg0_chunk0", "0,", f"Line 1 of `.*{DEVELOPMENT_LIST}` is '0,', but must be `id,chunkname`"),
    (EVALUATION_LIST, "seg9_chunk0", "seg1_chunk1", "The chunk `seg1_chunk1` is twice in the refined lists"),
    (EVALUATION_LIST, "seg9_chunk0", "seg9_chunk8", r"The file `.*chunks/seg9_chunk8\.csv` cannot be read \(no such"),
    (
        "chunks/seg1_chunk1.csv",
        "vote,S",
        "vote,cX",
        r"The chunk file `.*seg1_chunk1\.csv` has the letter 'X' in `major",
    ),
    ("chunks/seg1_chunk1.csv", "vote,S", "vote,", "The chunk file .* has no value for `majorityvote`"),
    ("chunks/seg1_chunk1.csv", "segmentname", "segment", "The chunk file .* has no value for `segmentname`"),
    ("chunks/seg1_chunk1.csv", "chunkname,seg1", "chunkname,seg2", "The chunk file .* is about chunk `seg2_chunk1`"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), LISTS)
def test_malformed_lists(layout: Path, name: str, old: str, new: str, message: str) -> None:
    replace_text(layout / name, old, new)
    with pytest.raises(CorpusError, match=message):
        open_corpus(layout)


def test_all_malformed_chunks_are_named(layout: Path) -> None:
    for name in ("seg0_chunk0", "seg0_chunk2"):
        (layout / "chunks" / f"{name}.csv").unlink()
    with pytest.raises(CorpusError, match=r"seg0_chunk0\.csv` cannot be read .* \(and 1 more problem\)") as caught:
        open_corpus(layout)
    assert len(caught.value.problems) == 2


def test_a_missing_fold_list(layout: Path) -> None:
    (layout / FOLD_LIST).unlink()
    with pytest.raises(CorpusError, match=rf"The file `.*{FOLD_LIST}` cannot be read \(no such file or directory\)"):
        open_corpus(layout)
