import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.corpus.corpus import EVALUATION, Corpus, CorpusError, open_corpus
from audiotag.corpus.labels import as_lists
from audiotag.corpus.validate import validate

Write = Callable[..., Path]
ROWS = [("a.wav", 1, "x;y"), ("b.wav", 1, ""), ("c.wav", 2, "x"), ("sub/d.wav", 2, "y")]
SPLIT_ROWS = [(*row, "development") for row in ROWS] + [("e.wav", "", "x", "evaluation")]
SPLIT_HEADER = "filename,fold,tags,split"


def test_a_folder_corpus(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    corpus = open_corpus(root)
    assert (corpus.name, corpus.kind, corpus.root, corpus.tags) == ("own", "folder", root, ("x", "y"))
    assert corpus.clips == ("a.wav", "b.wav", "c.wav", "sub/d.wav")
    assert corpus.paths[3] == root / "audio" / "sub" / "d.wav"
    assert corpus.targets.tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]
    assert corpus.folds.tolist() == [1, 1, 2, 2]
    assert corpus.groups.tolist() == list(corpus.clips)
    assert (corpus.targets.dtype, corpus.folds.dtype, corpus.groups.dtype.kind) == (np.float32, np.int64, "U")
    assert (corpus.fold_numbers, corpus.development.tolist()) == ((1, 2), [0, 1, 2, 3])
    assert corpus.clip_seconds == 0.05


def test_groups_and_the_evaluation_split(folder_corpus: Write) -> None:
    rows = [(*row, "g1") for row in SPLIT_ROWS[:-1]] + [(*SPLIT_ROWS[-1], "")]
    corpus = open_corpus(folder_corpus(rows, f"{SPLIT_HEADER},group"))
    assert corpus.groups.tolist() == ["g1"] * 4 + ["e.wav"]
    assert corpus.folds.tolist() == [1, 1, 2, 2, EVALUATION]
    assert corpus.evaluation.tolist() == [4]
    assert corpus.development.tolist() == [0, 1, 2, 3]
    assert corpus.fold_numbers == (1, 2)


@pytest.mark.slow
def test_esc10(shared_data: Path) -> None:
    report = validate(shared_data / "esc10")
    assert report.errors == ()
    assert [text.split(":")[0] for text in report.warnings] == [
        "3 clips clipped (of more than 0.1% of its samples at full scale)",
        "5 clips longer than the clip length of 5.00 s and cut (--clip-seconds keeps more)",
    ]
    corpus = report.usable
    assert (len(corpus.clips), len(corpus.tags), corpus.fold_numbers) == (400, 10, (1, 2, 3, 4, 5))
    assert corpus.targets.sum(axis=0).tolist() == [40] * 10
    assert corpus.targets.sum(axis=1).tolist() == [1] * 400
    assert (corpus.evaluation.tolist(), corpus.unscored_cells()) == ([], [])
    for group in set(corpus.groups):
        assert len(set(corpus.folds[corpus.groups == group])) == 1
    assert corpus.clip_seconds == pytest.approx(5.0, abs=0.01)  # 394 of the 400; one lasts 7.24 s


def test_digests_are_those_of_the_bytes(folder_corpus: Write) -> None:
    corpus = open_corpus(folder_corpus(ROWS))
    expected = tuple(hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in corpus.paths)
    assert corpus.digests == expected
    assert len(set(expected)) == 4


@pytest.mark.parametrize("unknown", [False, True])
def test_the_fingerprint_is_as_studies_have_it_in_their_keys(folder_corpus: Write, unknown: bool) -> None:
    corpus = open_corpus(folder_corpus([(f"{n}.wav", n % 2, "äx"[n // 2]) for n in range(4)]))
    if unknown:
        corpus = replace(corpus, targets=np.array([[np.nan, 1], [0, 1], [1, 0], [1, 1]], np.float32))
    names = ("tags", "clips", "clip_seconds", "digests")
    content = {name: getattr(corpus, name) for name in names} | {"targets": as_lists(corpus.targets)}
    content |= {"folds": corpus.folds.tolist(), "groups": corpus.groups.tolist()}
    text = json.dumps(content, sort_keys=True)
    assert corpus.fingerprint == hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def test_the_fingerprint_follows_the_content_and_not_the_place(folder_corpus: Write, tmp_path: Path) -> None:
    root = folder_corpus(ROWS)
    here = open_corpus(root)
    assert len(here.fingerprint) == 16
    assert int(here.fingerprint, 16) >= 0
    shutil.copytree(root, tmp_path / "elsewhere" / "moved")
    assert open_corpus(tmp_path / "elsewhere" / "moved").fingerprint == here.fingerprint
    soundfile.write(root / "audio" / "a.wav", np.zeros(400), 8000)
    assert open_corpus(root).fingerprint != here.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"tags": ("x", "z")},
        {"clips": ("a.wav", "b.wav", "c.wav", "d.wav")},
        {"targets": np.ones((4, 2), dtype=np.float32)},
        {"folds": np.array([1, 2, 1, 2])},
        {"groups": np.array(["g"] * 4)},
        {"clip_seconds": 0.06},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_part_of_the_content_changes_the_fingerprint(folder_corpus: Write, change: dict) -> None:
    corpus = open_corpus(folder_corpus(ROWS))
    assert replace(corpus, **change).fingerprint != corpus.fingerprint
    assert replace(corpus, name="other", root=Path("/other"), kind="synthetic").fingerprint == corpus.fingerprint


def test_a_byte_order_mark_and_spaces_do_not_matter(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    before = open_corpus(root).fingerprint
    text = (root / "clips.csv").read_text().replace(",", " , ").replace(";", " ; ;")
    (root / "clips.csv").write_text(text + "\n", encoding="utf-8-sig")
    assert open_corpus(root).fingerprint == before


def test_a_corpus_travels_between_processes(folder_corpus: Write) -> None:
    corpus = open_corpus(folder_corpus(ROWS))
    copy: Corpus = pickle.loads(pickle.dumps(corpus))
    assert (copy.clips, copy.fingerprint) == (corpus.clips, corpus.fingerprint)


def test_a_repr_is_a_line_whatever_the_size(folder_corpus: Write) -> None:
    corpus = open_corpus(folder_corpus(SPLIT_ROWS, SPLIT_HEADER))
    counts = "5 clips, 0.05 s each, 1 of them for evaluation, 2 folds, 2 tags (x, y)"
    assert repr(corpus) == f"<Corpus own (folder): {counts}>"
    many = replace(corpus, tags=tuple(f"tag{number}" for number in range(200)))
    assert len(repr(many)) < 150


def test_the_root_may_be_relative_or_a_string(folder_corpus: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_corpus(ROWS)
    monkeypatch.chdir(root)
    assert open_corpus(".").name == "own"
    assert open_corpus(str(root)).root == root


def test_the_clip_length_is_that_of_the_longest_up_to_a_limit(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    for samples, seconds in ((1000, 0.125), (84_000, 10.0)):
        soundfile.write(root / "audio" / "c.wav", np.zeros(samples), 8000)
        assert open_corpus(root).clip_seconds == seconds


def test_cells_without_both_classes_are_listed_and_allowed(folder_corpus: Write) -> None:
    rows = [("a.wav", 1, "x"), ("b.wav", 1, "x;y"), ("c.wav", 2, "x"), ("d.wav", 2, "")]
    assert open_corpus(folder_corpus(rows)).unscored_cells() == [("x", 1), ("y", 2)]


def test_evaluation_clips_neither_make_a_fold_nor_score_one(folder_corpus: Write) -> None:
    rows = [("a.wav", 1, "x", "development"), ("b.wav", 1, "", "development"), ("c.wav", "?", "", "evaluation")]
    with pytest.raises(CorpusError, match=r"The number of development folds is 1 in .*, but must be at least 2"):
        open_corpus(folder_corpus(rows, SPLIT_HEADER))


def test_names_outside_ascii_and_quoted_commas(folder_corpus: Write) -> None:
    rows = [("türe, zu.wav", 0, "Tür;x"), ("b.wav", 0, ""), ("c.wav", 1, "x"), ("d.wav", 1, "Tür")]
    corpus = open_corpus(folder_corpus(rows))
    assert corpus.clips[0] == "türe, zu.wav"
    assert corpus.tags == ("Tür", "x")


def test_a_path_in_no_known_layout(folder_corpus: Write, tmp_path: Path) -> None:
    root = folder_corpus(ROWS)
    for path in (tmp_path, root / "clips.csv", root / "audio"):
        with pytest.raises(CorpusError, match=r"is in no known layout: give a folder that holds clips\.csv"):
            open_corpus(path)
    message = "The corpus `.*nothing` does not exist: give a folder that holds clips.csv .* or the CHiME-Home layout"
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path / "nothing")


TABLES = [
    (
        "filename,fold,tags,colour",
        "",
        "Unknown column 'colour' in `.*`: take it out; the columns are filename, fold, tags, group,",
    ),
    ("filename,fold,tags", "a.wav,1,x,y", "has 4 cells, but the header has 3: correct it; separate tags by `;`"),
    ("filename;fold;tags", "a.wav;1;x;y", "has 4 cells, .* quote a cell that holds semicolons"),
    ("filename,fold,tags", "a.wav,1,x\x07y", r"Line 2 of `.*` has the control character '\\x07' in 'x\\x07y'"),
    ("filename,fold,tags", "a\0.wav,1,x", "Line 2 of `.*` (is not CSV|has the control character)"),
    ("filename,fold,tags", f"a.wav,1,{'x' * 101}", "1 clip of `.*` with a tag of up to 101 characters: `a.wav`"),
    ("filename,fold,tags", "C:\\sub\\a.wav,1,x", "Line 2 of `.*` has filename 'C:.*', but it must name a file inside"),
    ("filename,fold,tags", "..\\a.wav,1,x", "Line 2 of `.*` has filename '.*', but it must name a file inside audio/"),
    ("filename,tags,", "a.wav,x,y", "Line 2 of `.*` has 'y' in a column without a name"),
    ("label,class,filename", "x,x,a.wav", "Unknown column 'label' in `.*`"),
    ("filename,fold,fold,tags", "", "The column `fold` is in `.*` twice"),
    ("filename,fold", "", "The column `tags` is missing in the first line of `.*clips.csv`: add it"),
    ("filename,tags", "a.wav,x", "There are no folds in the corpus .*corpus folds PATH proposes some"),
    ("filename,fold,tags", "a.wav,,x\nb.wav,1,", "1 clip of `.*` without a fold: `a.wav`; give each one"),
    ("", "", "The column `filename` is missing in the first line"),
    ("filename,fold,tags", "", "There are no clips in the corpus"),
    ("filename,fold,tags", "a.wav,1", r"Line 2 of `.*clips\.csv` has 2 cells, but the header has 3"),
    ("filename,fold,tags", "a.wav,1,x\n./a.wav,2,y", r"Line 3 of `.*` has the filename `a\.wav` again"),
    ("filename,fold,tags", "a.wav,1,x\nb.wav,-1,x", "Line 3 of `.*` has fold '-1', but it must be a whole number"),
    ("filename,fold,tags", "a.wav,1.5,x", "Line 2 of `.*` has fold '1.5'"),
    ("filename,fold,tags", "a.wav,,x", "There are no folds in the corpus"),
    ("filename,fold,tags,split", "a.wav,1,x,exam", "Line 2 of `.*` has split 'exam', but it must be development or"),
    ("filename,fold,tags,split", "a.wav,1,x,", "Line 2 of `.*` has split ''"),
    ("filename,fold,tags", "/a.wav,1,x", "Line 2 of `.*` has filename '/a.wav', but it must name a file inside audio/"),
    ("filename,fold,tags", "b/../../a.wav,1,x", "Line 2 of `.*` has filename 'b/../../a.wav', but it must"),
    ("filename,fold,tags", ",1,x", "Line 2 of `.*` has filename '', but it must"),
    ("filename,fold,tags", 'a.wav,1,"x', r"Line 2 of `.*` is not CSV \(unexpected end of data\): correct the quotes"),
    ("filename,fold,tags", "a.wav,1,\nb.wav,2,;", "There are no tags in the corpus"),
]


@pytest.mark.parametrize(("header", "lines", "message"), TABLES)
def test_malformed_tables(folder_corpus: Write, header: str, lines: str, message: str) -> None:
    root = folder_corpus(ROWS)
    (root / "clips.csv").write_text(f"{header}\n{lines}\n")
    with pytest.raises(CorpusError, match=message) as caught:
        open_corpus(root)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_utf8(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    (root / "clips.csv").write_bytes(b"filename,fold,tags\ncaf\xe9.wav,1,x\n")
    with pytest.raises(CorpusError, match=r"clips\.csv` is not UTF-8 \(byte 22\): save it as CSV in UTF-8"):
        open_corpus(root)


def test_a_fold_with_one_class(folder_corpus: Write) -> None:
    rows = [*ROWS, ("e.wav", 3, "x"), ("f.wav", 3, "x")]
    with pytest.raises(CorpusError, match=r"Fold 3 has one class only in the corpus .*merge it with another fold"):
        open_corpus(folder_corpus(rows))


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_tag_that_no_fold_can_score(folder_corpus: Write, everywhere: bool) -> None:
    rows = [(*row[:2], f"{row[2]};z" if everywhere else row[2], "development") for row in ROWS]
    with pytest.raises(CorpusError, match=r"Tag `z` cannot be scored in any fold of the corpus .*take the tag out"):
        open_corpus(folder_corpus([*rows, ("e.wav", "", "z", "evaluation")], SPLIT_HEADER))


def test_missing_audio(folder_corpus: Write) -> None:
    root = folder_corpus(ROWS)
    (root / "audio" / "b.wav").unlink()
    with pytest.raises(CorpusError, match=r"Missing audio: `.*audio/b\.wav` of 4 files: add the files, or"):
        open_corpus(root)
    shutil.rmtree(root / "audio")
    with pytest.raises(CorpusError, match=r"Missing audio: `.*audio/a\.wav` and 3 more of 4 files: add"):
        open_corpus(root)


def test_clips_are_as_long_as_asked_or_as_the_longest(folder_corpus: Write, tmp_path: Path) -> None:
    root = folder_corpus([(f"{number}.wav", number % 2, "xy"[number // 2]) for number in range(4)])
    for number, seconds in enumerate((0.5, 1.0, 12.0, 13.0)):
        soundfile.write(root / "audio" / f"{number}.wav", np.full(round(8000 * seconds), 0.1), 8000)
    cache = tmp_path / "scan.json"
    plain = open_corpus(root, scan_cache=cache)
    assert (plain.clip_seconds, plain.asked_seconds) == (10, None)
    assert plain.seconds.tolist() == [0.5, 1, 12, 13]
    asked = [open_corpus(root, clip_seconds=seconds, scan_cache=cache) for seconds in (2.0, 12.5, 30.0)]
    assert [corpus.clip_seconds for corpus in asked] == [2, 12.5, 13]
    assert len({corpus.fingerprint for corpus in (plain, *asked)}) == 4
    assert open_corpus(root, clip_seconds=10.0).fingerprint == plain.fingerprint
    assert open_corpus(root, scan_cache=cache).doubts == plain.doubts


def test_damage_is_looked_for_as_far_as_clips_reach(folder_corpus: Write, tmp_path: Path) -> None:
    root, cache = folder_corpus(ROWS), tmp_path / "scan.json"
    path = root / "audio" / "a.wav"
    wave = np.full(16_000 * 12, 0.1)
    wave[16_000 * 11] = np.nan
    soundfile.write(path, wave, 16_000, subtype="FLOAT")
    for _ in range(2):
        open_corpus(root, scan_cache=cache)
        with pytest.raises(CorpusError, match=r"a\.wav"):
            open_corpus(root, clip_seconds=30.0, scan_cache=cache)
