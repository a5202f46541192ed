"""Public data sets, small, downloaded as they are published: `python -m audiotag.corpus get`."""

import hashlib
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.archives import packed
from helpers.installing import killed_at
from helpers.public_layouts import write_class_folders
from helpers.published_sets import MAKERS, pack, publish, serving_files

from audiotag.corpus.__main__ import main
from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.get import published_layouts
from audiotag.corpus.layouts import LAYOUTS

CLIPS = {  # what a user is told of the small sets
    "esc50": "5 clips in 2 folds",
    "urbansound8k": "4 clips in 2 folds",
    "fsd50k": "20 train, 10 validation, 15 test clips",
    "speech_commands": "24 train, 8 validation, 8 test clips",
    "openmic2018": "24 train, 12 test clips",
    "sonyc_ust": "18 train, 6 validation, 6 test clips",
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "set"


def made(name: str, tmp_path: Path) -> dict[str, bytes]:
    return pack(name, MAKERS[name](tmp_path / "original"))


def leftovers(target: Path) -> list[str]:
    return sorted(
        path.name for path in target.parent.iterdir() if path.name not in (target.name, f".{target.name}.lock")
    )


def mistake(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line in which a command ends."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


# --- the table ---


def test_every_published_set_is_complete_in_the_table() -> None:
    sets = published_layouts()
    assert set(sets) == {*MAKERS, "chime_home"}
    for name, published in sets.items():
        layout = LAYOUTS[name]
        assert published.source in layout.terms
        assert published.page.startswith("https://")
        names = [file.name for file in published.files]
        assert len(set(names)) == len(names)
        for file in published.files:
            assert re.fullmatch(r"https?://\S+/[\w.-]+", file.address)
            assert re.fullmatch("[0-9a-f]{32}|[0-9a-f]{64}", file.checksum)
            assert file.size is None or file.size > 1000
        checksums = {file.checksum for file in published.files}
        assert len(checksums) == len(names)


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get"]) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(published_layouts()) <= set(shown)
    for text in ("24.7 GB", "34.5 GB", "CC BY-NC or Sampling+"):
        assert text in shown["fsd50k"]
    assert " unknown " in shown["esc50"]


# --- downloads ---


@pytest.mark.parametrize("name", MAKERS)
def test_each_set_is_downloaded_and_read(
    name: str, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made(name, tmp_path)
    published = publish(name, files, monkeypatch)
    with serving_files(files) as (address, manners):
        assert main(["get", name, str(target), "--from", address]) == 0
        told = capsys.readouterr().out.splitlines()
        assert main(["get", name, str(target), "--from", address]) == 0
        assert manners.asked == list(files)  # each once, and none again
    assert told[0] == f"Corpus   {published.title} ({published.authors}), {published.page}"
    assert told[1] == f"Licence  {published.licence}"
    assert told[2].startswith(f"From     {address}, {len(files)} file")
    assert told[3] == f"Into     {target}"
    assert told[-2] == f"{published.title} is complete in {target}: {CLIPS[name]}."
    assert told[-1] == f"Then: python study/run.py --space augmentation --corpus {target}"
    assert f"is complete already in {target}" in capsys.readouterr().out
    assert leftovers(target) == []
    original, corpus = open_corpus(tmp_path / "original"), open_corpus(target)
    assert (corpus.kind, corpus.clips, corpus.digests) == (name, original.clips, original.digests)
    assert corpus.targets.tobytes() == original.targets.tobytes()


def test_without_a_path_it_is_below_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made("esc50", tmp_path)
    publish("esc50", files, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (archive,) = files
    Path("own.zip").write_bytes(files[archive])
    assert main(["get", "esc50", "--from", "own.zip"]) == 0
    assert open_corpus("data/esc50").kind == "esc50"
    assert Path("own.zip").read_bytes() == files[archive]
    assert "Into     data/esc50\n" in capsys.readouterr().out


def test_what_is_kept_serves_another_time(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made("fsd50k", tmp_path)
    publish("fsd50k", files, monkeypatch)
    with serving_files(files) as (address, _):
        assert main(["get", "fsd50k", str(target), "--from", address, "--keep"]) == 0
    kept = target.with_name("set.archives")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == files
    assert main(["get", "fsd50k", str(tmp_path / "again"), "--from", str(kept)]) == 0
    assert len(list(kept.iterdir())) == len(files)
    assert open_corpus(tmp_path / "again").clips == open_corpus(target).clips
    (kept / "FSD50K.eval_audio.z01").unlink()
    shutil.rmtree(target)
    line = mistake(["get", "fsd50k", str(target), "--from", str(kept)], capsys)
    assert line.endswith("FSD50K.eval_audio.z01` cannot be read (no such file or directory): give another with --from.")
    assert not target.exists()


def test_a_broken_download_of_several_files_goes_on(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made("fsd50k", tmp_path)
    publish("fsd50k", files, monkeypatch)
    monkeypatch.setattr("audiotag.downloads.transfer.TRIES", 1)
    first, second, *rest = files
    with serving_files(files, cut_after=len(files[first]), cuts=2, dies=True) as (address, manners):
        line = mistake(["get", "fsd50k", str(target), "--from", address], capsys)
        assert f"{second} is stuck at {len(files[first])} bytes" in line
        assert "run the same command again later" in line
    assert leftovers(target) == ["set.archives"]
    with serving_files(files) as (address, manners):
        assert main(["get", "fsd50k", str(target), "--from", address]) == 0
        assert manners.asked == [second, *rest]
        assert manners.seen == [f"bytes={len(files[first])}-", *[None] * len(rest)]
    assert leftovers(target) == []


@pytest.mark.slow
def test_killed_at_any_step_it_is_complete_in_the_end(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = made("sonyc_ust", tmp_path)
    publish("sonyc_ust", files, monkeypatch)
    for path, data in files.items():
        (tmp_path / path).write_bytes(data)
    words = ["get", "sonyc_ust", str(target), "--from", str(tmp_path)]
    step = kills = 0
    while True:
        shutil.rmtree(target.parent, ignore_errors=True)
        target.mkdir(parents=True)  # an empty folder, into which the files are moved one by one
        if not killed_at(step, lambda: main(words)):
            break
        there = {path.name for path in target.rglob("*.*")} if target.exists() else set()
        assert "annotations.csv" not in there or len(there) == 31  # nobody takes a part for the whole
        assert main(words) == 0
        assert len(open_corpus(target).clips) == 30
        assert leftovers(target) == []
        kills, step = kills + 1, step + 13
    assert kills > 10


# --- what goes wrong ---


@pytest.mark.parametrize("name", ["fsd50k", "speech_commands"])  # MD5 and SHA-256
def test_a_wrong_checksum(
    name: str, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made(name, tmp_path)
    publish(name, files, monkeypatch)
    *_, last = files
    damaged = files[last][:-1] + bytes([files[last][-1] ^ 1])
    algorithm, digest = ("MD5", hashlib.md5) if name == "fsd50k" else ("SHA-256", hashlib.sha256)
    with serving_files(files | {last: damaged}) as (address, _):
        line = mistake(["get", name, str(target), "--from", address], capsys)
    assert f"The {algorithm} of `" in line
    assert f"is {digest(damaged).hexdigest()}, but must be {digest(files[last]).hexdigest()}" in line
    assert not target.exists()
    with serving_files(files) as (address, manners):
        assert main(["get", name, str(target), "--from", address]) == 0
        assert manners.asked == [last]  # the others are there


def test_a_file_of_another_size_is_refused_before_it_comes(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made("esc50", tmp_path)
    publish("esc50", files, monkeypatch)
    (archive,) = files
    with serving_files({archive: files[archive] + b"more"}) as (address, _):
        line = mistake(["get", "esc50", str(target), "--from", address], capsys)
    size = len(files[archive])
    assert line.endswith(f"has {size + 4} bytes, but must have {size}: give another with --from.")
    assert leftovers(target) == []


def test_a_disk_without_room(target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    target.parent.mkdir()
    usage = shutil.disk_usage(target.parent)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=10**8))
    for name, needed in (("fsd50k", 59.2), ("sonyc_ust", 31.1), ("esc50", 0.9)):
        line = mistake(["get", name, str(target)], capsys)
        assert f"has 0.1 GB free, but {needed} GB are needed" in line
    assert leftovers(target) == []


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to make files longer than a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = made("sonyc_ust", tmp_path)
    publish("sonyc_ust", files, monkeypatch)
    table, first, second = files
    most = len(files[first]) - 1
    full = f"error: The folder `{target}` cannot be written (file too large): free space or permit it, and run the same"
    with serving_files(files) as (address, manners):
        words = ["get", "sonyc_ust", str(target), "--from", address]
        with largest_file(most):  # while it downloads
            assert mistake(words, capsys).startswith(full)
        assert manners.asked == [table, first]
        assert main([*words, "--keep"]) == 0
        assert manners.asked[2:] == [first, second]
        assert manners.seen[2:] == [f"bytes={most}-", None]
    again = ["get", "sonyc_ust", str(tmp_path / "again"), "--from", str(target.with_name("set.archives"))]
    with largest_file(1000):  # while it unpacks
        assert mistake(again, capsys).startswith(full.replace(str(target), again[2]))
    assert [path.name for path in tmp_path.iterdir() if "again" in path.name] == [".again.lock"]
    assert main(again) == 0


def test_a_set_that_lacks_recordings(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = MAKERS["sonyc_ust"](tmp_path / "original")
    (root / "audio" / "00_000007.wav").unlink()
    (root / "audio" / "00_000009.wav").write_bytes(b"")
    files = pack("sonyc_ust", root)
    publish("sonyc_ust", files, monkeypatch)
    with serving_files(files) as (address, _):
        line = mistake(["get", "sonyc_ust", str(target), "--from", address], capsys)
    assert "The archives are not all of SONYC-UST v2: `" in line
    assert "00_000007.wav` is missing or empty" in line
    assert not target.exists()


def test_an_archive_of_something_else(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"UrbanSound8K.tar.gz": packed({"thesis/chapter.tex": b"years"})}
    publish("urbansound8k", files, monkeypatch)
    with serving_files(files) as (address, _):
        line = mistake(["get", "urbansound8k", str(target), "--from", address], capsys)
    assert "is not all of UrbanSound8K" in line
    assert "metadata/UrbanSound8K.csv with audio/" in line


def test_a_folder_with_something_else_is_left_alone(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_class_folders(target)
    before = sorted(target.rglob("*"))
    assert "holds something else: name one that does not exist yet" in mistake(["get", "esc50", str(target)], capsys)
    assert sorted(target.rglob("*")) == before


def test_an_incomplete_folder_is_completed(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = made("esc50", tmp_path)
    publish("esc50", files, monkeypatch)
    (archive,) = files
    (tmp_path / archive).write_bytes(files[archive])
    words = ["get", "esc50", str(target), "--from", str(tmp_path)]
    assert main(words) == 0
    sound = min((target / "audio").iterdir())
    content = sound.read_bytes()
    sound.unlink()
    (target / "notes.txt").write_text("mine")
    (target / "clips.csv").touch()  # by which it is a folder of the user's own, too
    assert main(words) == 0
    assert sound.read_bytes() == content
    assert (target / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["esc5"], "did you mean esc50?"),
        (["class_folders"], "argument NAME: 'class_folders' is not allowed: it must be esc50, urbansound8k, "),
        (["fsd50k", "{}", "--from", "/nowhere"], "`/nowhere` is no folder: give the one that holds all 11 files"),
        (["esc50", "{}", "--from", "/nowhere/a.zip"], "`/nowhere/a.zip` cannot be read (no such file or directory)"),
        (["esc50", "{}", "--from", "http://["], "is not an address"),
        (["esc50", "{}", "--form", "x"], "there is no option --form: did you mean --from?"),
    ],
)
def test_mistakes_are_one_line(words: list[str], line: str, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert line in mistake(["get", *(word.format(target) for word in words)], capsys)
    assert not target.exists()


def test_ctrl_c_says_how_to_go_on(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("audiotag.downloads.install.unpack", interrupt)
    files = made("esc50", tmp_path)
    publish("esc50", files, monkeypatch)
    with serving_files(files) as (address, manners):
        assert main(["get", "esc50", str(target), "--from", address]) == 130
        assert capsys.readouterr().err == "Interrupted. Run the same command again: it goes on from there.\n"
        monkeypatch.undo()
        publish("esc50", files, monkeypatch)
        assert main(["get", "esc50", str(target), "--from", address]) == 0
        assert len(manners.asked) == 1
    assert open_corpus(target).kind == "esc50"
