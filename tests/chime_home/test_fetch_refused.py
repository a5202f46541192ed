"""Fetching CHiME-Home from servers, archives and into places that will not do: one line, and nothing left behind."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.archives import LATER, RAW, Manners, contents, md5, packed
from helpers.fetching import ARCHIVE, assert_complete, get

from audiotag.chime_home import __main__ as chime_home_command
from audiotag.chime_home import fetch as fetch_chime_home
from audiotag.chime_home.download import DownloadError
from audiotag.chime_home.fetch import FetchError, fetch


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chime_home"


# --- malformed ---

WRONG: dict[str, tuple[Manners, str]] = {
    "missing": (Manners(ARCHIVE, status=[404]), r"answers 404 \(Not Found\): give another address with --from"),
    "dead": (Manners(ARCHIVE, dies=True), "is stuck at 0 of unknown bytes .*Service Unavailable"),
    "other bytes": (
        Manners(packed({**contents(), "a": b"b"})),
        f"its MD5 is [0-9a-f]{{32}}, but must be {md5(ARCHIVE)}",
    ),
    "a page": (Manners(b"<html>log in, please</html>" * 99), "it is no whole .tar.gz archive"),
    "half an archive": (Manners(ARCHIVE[:-500]), "it is no whole .tar.gz archive"),
    "a flipped bit": (Manners(ARCHIVE[:40_000] + b"\0\1\2" + ARCHIVE[40_003:]), "it is no whole .tar.gz|its MD5 is"),
    "another range": (Manners(ARCHIVE, cut_after=9000, cuts=1, shift=7), "sends another part than it was asked for"),
    "nothing": (Manners(b""), "it is no whole .tar.gz archive|is refused"),
}


@pytest.mark.parametrize(("manners", "message"), WRONG.values(), ids=WRONG)
def test_wrong_answers_end_in_one_line_and_no_folder(target: Path, manners: Manners, message: str) -> None:
    with pytest.raises((FetchError, DownloadError), match=message) as caught:
        get(target, replace(manners, seen=[], status=list(manners.status)))
    assert "\n" not in str(caught.value)
    assert not target.exists()
    assert not target.with_name(".chime_home.unpacking").exists()
    assert get(target, Manners(ARCHIVE))  # nothing stands in the way of a better server
    assert_complete(target)


def test_a_file_of_another_size_is_refused_at_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_chime_home, "_require_space", lambda *_: None)
    message = rf"has {len(ARCHIVE)} bytes, but must have 4162513717: it is another file"
    with pytest.raises(DownloadError, match=message):
        get(target, Manners(ARCHIVE), md5=fetch_chime_home.MD5)


def test_a_disk_without_room_is_told_before_the_download(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = fetch_chime_home.shutil.disk_usage(target.parents[1])
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=10**9))
    manners = Manners(ARCHIVE)
    with pytest.raises(FetchError, match=r"has 1\.0 GB free, but 5\.1 GB are needed"):
        get(target, manners, md5=fetch_chime_home.MD5)
    assert manners.seen == []


def test_a_silent_server_is_left_after_a_while(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiotag.chime_home.download.TIMEOUT", 0.05)
    monkeypatch.setattr("audiotag.chime_home.download.TRIES", 2)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.tar.gz"
        with pytest.raises(DownloadError, match=r"is stuck at 0 of unknown bytes .*timed out"):
            fetch(target, address, md5=md5(ARCHIVE), wait=0.001)


def test_an_archive_that_lacks_recordings(target: Path) -> None:
    data = contents()
    del data[f"chime_home/chunks/{RAW}.16kHz.wav"]
    data[f"chime_home/chunks/{LATER}.16kHz.wav"] = data[f"chime_home/chunks/{LATER}.48kHz.wav"]
    lacking = packed(data)
    message = rf"is not all of CHiME-Home: .*{RAW}\.16kHz\.wav`: there is no such file .*\(and 1 more problems\)"
    with pytest.raises(FetchError, match=message):
        get(target, Manners(lacking), md5=md5(lacking))
    assert not target.exists()


def in_a_file(target: Path) -> None:
    target.parent.mkdir()
    target.write_text("a file")


def in_another_folder(target: Path) -> None:
    target.mkdir(parents=True)
    (target / "thesis.tex").write_text("years")


def under_a_file(target: Path) -> None:
    target.parent.write_text("a file")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (in_a_file, "is a file: name a folder that does not exist yet"),
        (in_another_folder, "holds something else: name one that does not exist yet"),
        (under_a_file, "cannot be written"),
    ],
)
def test_places_that_are_not_ours(target: Path, prepare: Callable[[Path], None], message: str) -> None:
    prepare(target)
    before = sorted(target.parent.rglob("*"))
    with pytest.raises(FetchError, match=message):
        get(target, Manners(ARCHIVE))
    assert sorted(target.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--from", ""], "an empty value is not allowed"),
        (["--from", "ftp://example.org/a"], "must be like http://host/file"),
        (["--from", "/nowhere.tar.gz"], r"`/nowhere.tar.gz` cannot be read (no such file or directory)"),
        (["--md5", "12"], "'12' is not allowed: it must be 32 hexadecimal digits"),
        (["--from", "http://["], "must be like http://host/file"),
    ],
)
def test_mistakes_are_one_line(
    target: Path, words: list[str], line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_chime_home, "_require_space", lambda *_: None)
    monkeypatch.setattr("audiotag.chime_home.download.LONGEST_WAIT", 0.0)
    with pytest.raises(SystemExit) as end:
        chime_home_command.main([str(target), *words])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert any(text in told for text in line.split("|"))
    assert not target.exists()
    assert os.listdir(target.parent) in ([], [".chime_home.lock"]) if target.parent.exists() else True
