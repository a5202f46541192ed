"""The command that downloads CHiME-Home, and what it holds to be all of it."""

from pathlib import Path

import pytest
from helpers.archives import LATER, RAW, Manners, contents, md5, packed, serving
from helpers.installing import ARCHIVE, LISTS, get

from audiotag.chime_home.__main__ import main
from audiotag.corpus.layouts.chime_home import place, problems_of
from audiotag.downloads.transfer import FetchError

pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chime_home"


def test_the_command(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Manners(ARCHIVE)) as address:
        words = [str(target), "--from", address, "--md5", md5(ARCHIVE).upper()]
        assert main(words) == 0
        assert main(words) == 0
    shown = capsys.readouterr().out
    assert "MB downloaded" in shown  # not a terminal: lines in place of a bar
    assert f"CHiME-Home is complete in {target}: 6 clips in 2 folds, 1 for evaluation." in shown
    assert f"CHiME-Home is complete already in {target}" in shown


def test_stereo_comes_later(target: Path) -> None:
    assert get(target, Manners(ARCHIVE))
    assert get(target, Manners(ARCHIVE), stereo=True)
    assert not get(target, Manners(ARCHIVE), stereo=True)
    assert (target / "chunks" / f"{RAW}.48kHz.wav").is_file()


def test_files_that_are_needed() -> None:
    raw, chunk = "chime_home/development_chunks_raw.csv", "chime_home/chunks/a.s0_chunk1"
    for name in (raw, f"{chunk}.csv", f"{chunk}.16kHz.wav"):
        assert place(name) == name
    assert place(f"{chunk}.48kHz.wav") is None
    assert place(f"{chunk}.48kHz.wav", stereo=True) == f"{chunk}.48kHz.wav"
    for name in ("chunks/deeper/a.csv", "._development_chunks_raw.csv", "README", "chunks/._a.s0_chunk1.16kHz.wav"):
        assert place(f"chime_home/{name}", stereo=True) is None
    for name in ("elsewhere/chunks/a.csv", "development_chunks_raw.csv", ""):
        assert place(name, stereo=True) is None


@pytest.mark.parametrize("name", LISTS)
def test_a_folder_without_one_of_its_lists_is_not_complete(target: Path, name: str) -> None:
    assert get(target, Manners(ARCHIVE))
    (target / name).unlink()
    assert len(problems_of(target, False)) == 1


def test_an_archive_that_lacks_recordings(target: Path) -> None:
    data = contents()
    del data[f"chime_home/chunks/{RAW}.16kHz.wav"]
    data[f"chime_home/chunks/{LATER}.16kHz.wav"] = data[f"chime_home/chunks/{LATER}.48kHz.wav"]
    lacking = packed(data)
    with pytest.raises(FetchError, match=rf"is not all of CHiME-Home: .*{RAW}\.16kHz\.wav`: there is no such file"):
        get(target, Manners(lacking), md5=md5(lacking))
    assert not target.exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--from", ""], "an empty value is not allowed"),
        (["--from", "ftp://example.org/a"], "cannot be read (no such file or directory)"),
        (["--from", "http://["], "is not an address"),
        (["--from", "/nowhere.tar.gz"], "`/nowhere.tar.gz` cannot be read (no such file or directory)"),
        (["--md5", "12"], "'12' is not allowed: it must be 32 hexadecimal digits"),
    ],
)
def test_mistakes_are_one_line(target: Path, words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(target), *words])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert line in told
    assert not target.exists()
