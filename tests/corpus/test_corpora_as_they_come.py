"""FSD50K, Speech Commands, OpenMIC-2018, SONYC-UST and folders of classes, small, as they come; and broken ones."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.public_layouts import (
    FSD50K_TAGS,
    INSTRUMENTS,
    SONYC_COLUMNS,
    WORDS,
    sonyc_row,
    write_class_folders,
    write_fsd50k,
    write_lines,
    write_openmic,
    write_sonyc,
    write_speech_commands,
)

from audiotag.corpus.__main__ import main
from audiotag.corpus.corpus import Corpus, find_layout, open_corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts import LAYOUTS
from audiotag.corpus.layouts.openmic2018 import _TextUnpickler
from audiotag.corpus.splits import split_fold

MAKERS: dict[str, Callable[[Path], Path]] = {
    "fsd50k": write_fsd50k,
    "speech_commands": write_speech_commands,
    "openmic2018": write_openmic,
    "sonyc_ust": write_sonyc,
    "class_folders": write_class_folders,
}
NAN = np.nan


def named(corpus: Corpus, part: str) -> set[str]:
    split = split_fold(corpus, 1, "split", 0)
    return {corpus.clips[clip] for clip in getattr(split, part)}


# --- all of them ---


@pytest.mark.parametrize("name", MAKERS)
def test_each_is_detected_by_itself_or_before_folders_of_classes(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / name)
    found = [layout.name for layout in LAYOUTS.values() if layout.detect(root)]
    assert found[0] == name
    assert set(found) <= {name, "class_folders"}


@pytest.mark.parametrize("name", MAKERS)
def test_each_is_read_checked_and_split(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = MAKERS[name](tmp_path / name)
    assert main(["check", str(root)]) == 0
    assert "0 errors" in capsys.readouterr().out
    corpus = open_corpus(root)
    assert (corpus.kind, corpus.has_fixed_split) == (name, True)
    split = split_fold(corpus, 1, "split", 0)
    assert sorted([*split.train, *split.validation, *split.held_out]) == list(range(len(corpus.clips)))
    groups = [set(corpus.groups[part]) for part in (split.train, split.validation, split.held_out)]
    assert not (groups[0] | groups[1]) & groups[2]
    assert all(path.is_file() for path in corpus.paths)


# --- FSD50K ---


def test_fsd50k(tmp_path: Path) -> None:
    corpus = open_corpus(write_fsd50k(tmp_path))
    assert corpus.tags == FSD50K_TAGS
    assert corpus.clips[0] == "FSD50K.dev_audio/1000.wav"
    assert corpus.targets[:4].tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1]]
    assert corpus.split_sizes == {"train": 20, "validation": 10, "test": 15}
    assert corpus.groups[:3].tolist() == ["dev user 0", "dev user 0", "dev user 1"]
    assert named(corpus, "held_out") == {f"FSD50K.eval_audio/{2000 + n}.wav" for n in range(15)}


def test_fsd50k_without_metadata_has_a_group_per_clip(tmp_path: Path) -> None:
    corpus = open_corpus(write_fsd50k(tmp_path, metadata=False))
    assert len(set(corpus.groups)) == len(corpus.clips)


# --- Speech Commands ---


def test_speech_commands(tmp_path: Path) -> None:
    corpus = open_corpus(write_speech_commands(tmp_path))
    assert (corpus.tags, corpus.clip_seconds) == (WORDS, 1.0)
    assert corpus.split_sizes == {"train": 24, "validation": 8, "test": 8}
    assert corpus.targets.sum(axis=1).tolist() == [1] * 40
    assert set(corpus.groups) == {f"{n:08x}" for n in range(10)}
    assert "bed/00000006_nohash_1.wav" in named(corpus, "held_out")
    assert not [clip for clip in corpus.clips if clip.startswith("_")]


# --- OpenMIC-2018 ---


def test_openmic(tmp_path: Path) -> None:
    corpus = open_corpus(write_openmic(tmp_path))
    with np.load(tmp_path / "openmic-2018.npz") as arrays:
        truth, mask = arrays["Y_true"], arrays["Y_mask"]
    assert (corpus.tags, corpus.clip_seconds) == (INSTRUMENTS, 10.0)
    np.testing.assert_array_equal(corpus.targets, np.where(mask, truth >= 0.5, NAN))
    assert corpus.clips[13] == "001/001013_1013.ogg"
    assert corpus.groups[13] == "001013"
    assert corpus.split_sizes == {"train": 24, "test": 12}


def test_what_the_mask_of_openmic_hides_changes_nothing(tmp_path: Path) -> None:
    """Other values under the mask: the same corpus, to the fingerprint, from which a trial's key comes."""
    root = write_openmic(tmp_path)
    before, arrays = open_corpus(root), dict(np.load(root / "openmic-2018.npz", allow_pickle=True))
    arrays["Y_true"] = np.where(arrays["Y_mask"], arrays["Y_true"], 1 - arrays["Y_true"])
    np.savez(root / "openmic-2018.npz", **arrays)
    after = open_corpus(root)
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(after.targets, before.targets)


def test_keys_of_openmic_are_read_without_running_a_pickle(tmp_path: Path) -> None:
    root = write_openmic(tmp_path)
    arrays = dict(np.load(root / "openmic-2018.npz", allow_pickle=True))
    np.savez(root / "openmic-2018.npz", **{**arrays, "sample_key": arrays["sample_key"].astype(str)})
    assert open_corpus(root).clips[0] == "000/000000_1000.ogg"

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    np.savez(root / "openmic-2018.npz", **{**arrays, "sample_key": np.array([Harmful()] * 36, dtype=object)})
    with pytest.raises(CorpusError, match=r"cannot be read \(sample_key names builtins.print\): download it again"):
        open_corpus(root)
    assert issubclass(_TextUnpickler, pickle.Unpickler)


# --- SONYC-UST ---


def test_sonyc(tmp_path: Path) -> None:
    corpus = open_corpus(write_sonyc(tmp_path))
    assert corpus.tags == tuple(name for name in SONYC_COLUMNS if "-X_" not in name)
    assert corpus.split_sizes == {"train": 18, "validation": 6, "test": 6}
    assert corpus.groups[:3].tolist() == ["sensor 0", "sensor 0", "sensor 1"]


def test_votes_of_sonyc(tmp_path: Path) -> None:
    """Columns: small, large, uncertain engine, chainsaw, engine, saw."""
    root = write_sonyc(tmp_path)
    rows = [
        sonyc_row("train", 50, "00_000000.wav", 1, 0, 0, 0, 0, 0, 0),
        sonyc_row("train", 50, "00_000000.wav", 2, 1, 0, 0, -1, 1, -1),  # one who hears it is enough
        sonyc_row("train", 50, "00_000001.wav", 1, 0, 0, 1, -1, 1, -1),  # an engine, of a size that nobody knows
        sonyc_row("train", 50, "00_000001.wav", 2, 0, 1, 0, -1, 1, -1),
        sonyc_row("test", 51, "00_000002.wav", 1, 1, 1, 0, 1, 1, 1),
        sonyc_row("test", 51, "00_000002.wav", 0, 0, 1, 0, 0, 1, 0),  # what the authors have agreed on
    ]
    header = (root / "annotations.csv").read_text().splitlines()[0]
    write_lines(root / "annotations.csv", header, *rows)
    corpus = LAYOUTS["sonyc_ust"].read(root)
    labels = [
        [tag in row.tags or (NAN if tag in row.unknown else 0) for tag in corpus.tags or ()] for row in corpus.rows
    ]
    np.testing.assert_array_equal(labels, [[1, 0, 0, 1, 0], [NAN, 1, NAN, 1, NAN], [0, 1, 0, 1, 0]])


# --- folders of classes ---


def test_class_folders(tmp_path: Path) -> None:
    corpus = open_corpus(write_class_folders(tmp_path))
    assert (corpus.tags, corpus.split_sizes) == (("cat", "dog"), {"train": 12, "validation": 12, "test": 12})
    assert corpus.clips[0] == "train/cat/train0.wav"
    assert named(corpus, "validation") == {f"val/{name}/val{n}.wav" for name in ("cat", "dog") for n in range(6)}


def test_class_folders_without_a_split_get_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_class_folders(tmp_path / "own", parts=())
    with pytest.raises(CorpusError, match="There are no folds"):
        open_corpus(root)
    assert main(["new", str(root), "--folds", "3"]) == 0
    corpus = open_corpus(root)
    assert (corpus.kind, corpus.tags, corpus.fold_numbers) == ("folder", ("cat", "dog"), (1, 2, 3))


# --- malformed: one line each ---


def change(path: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return apply


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def narrow_mask(root: Path) -> None:
    write_openmic(root, columns=2)


def strange_class(root: Path) -> None:
    (root / "test" / "cat").rename(root / "test" / "cow")


MALFORMED = [
    (
        "fsd50k",
        remove("FSD50K.ground_truth/eval.csv"),
        r"eval.csv` cannot be read \(no such file or directory\)",
    ),
    ("fsd50k", remove("FSD50K.ground_truth/vocabulary.csv"), "vocabulary.csv` cannot be read"),
    (
        "fsd50k",
        change("FSD50K.ground_truth/dev.csv", "Rain", "Snow"),
        "has the label 'Snow', which vocabulary.csv",
    ),
    ("fsd50k", change("FSD50K.ground_truth/dev.csv", ",val", ",dev"), "has split 'dev', but it must be train or val"),
    (
        "fsd50k",
        change("FSD50K.ground_truth/vocabulary.csv", "0,Bark,/m/00", "Bark"),
        "must have lines `number",
    ),
    ("fsd50k", remove("FSD50K.dev_audio/1003.wav"), "Missing audio"),
    ("fsd50k", change("FSD50K.metadata/dev_clips_info_FSD50K.json", "uploader", "user"), "does not name the uploader"),
    ("speech_commands", remove("testing_list.txt"), "testing_list.txt` cannot be read"),
    (
        "speech_commands",
        change("testing_list.txt", "bed/", "bad/"),
        "1 line of .* with a word that has no folder",
    ),
    ("speech_commands", change("testing_list.txt", "_nohash_0", "_nohash_9"), "Missing audio"),
    (
        "speech_commands",
        change("testing_list.txt", "_nohash_0", "-0"),
        "1 recording of .* without `_nohash_`",
    ),
    ("openmic2018", remove("partitions/split01_test.csv"), "split01_test.csv` cannot be read"),
    (
        "openmic2018",
        narrow_mask,
        r"array Y_mask of .* has the shape \(36, 2\), but must have \(36, 3\)",
    ),
    ("openmic2018", change("partitions/split01_test.csv", "_1002", "_2"), "1 key of .* that openmic-2018.npz lacks"),
    ("openmic2018", change("class-map.json", "2", "3"), "must give each instrument its column, from 0"),
    ("openmic2018", change("class-map.json", "{", ""), "class-map.json` must give each instrument"),
    (
        "sonyc_ust",
        change("annotations.csv", "train,", "training,"),
        "has split 'training', but it must be one of",
    ),
    ("sonyc_ust", change("annotations.csv", ",1,0,0,0,", ",1,0,2,0,"), "has presence '2', but it must be -1, 0 or 1"),
    ("sonyc_ust", change("annotations.csv", "sensor_id", "sensor"), "The column `sensor_id` is missing"),
    ("class_folders", strange_class, "1 folder of .*test` without one in train/ .*: `cow`; take them out"),
]


@pytest.mark.parametrize(("name", "spoil", "message"), MALFORMED)
def test_malformed(
    name: str, spoil: Callable[[Path], None], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = MAKERS[name](tmp_path / name)
    spoil(root)
    with pytest.raises(CorpusError, match=message):
        open_corpus(root)
    try:
        code = main(["check", str(root)])
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code == 2
    errors = [line for line in "".join(capsys.readouterr()).splitlines() if line.startswith("error: ")]
    assert len(errors) in (1, 2)


def test_columns_of_tags_are_needed(tmp_path: Path) -> None:
    root = write_sonyc(tmp_path)
    text = (root / "annotations.csv").read_text().replace("_presence", "_proximity")
    (root / "annotations.csv").write_text(text)
    with pytest.raises(CorpusError, match="has no columns `<tag>_presence`"):
        open_corpus(root)


def test_metadata_of_another_form_are_refused(tmp_path: Path) -> None:
    root = write_fsd50k(tmp_path)
    (root / "FSD50K.metadata" / "eval_clips_info_FSD50K.json").write_text(json.dumps([1]))
    with pytest.raises(CorpusError, match="does not name the uploader of each clip"):
        open_corpus(root)
    assert find_layout(tmp_path / "nowhere") is None
