"""CHiME-Home over connections that break, from servers that lie, into folders that hold something already."""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from archives import LATER, NAMES, RAW, Manners, contents, md5, packed, serving

from audiotag import chime_home_command, fetch_chime_home
from audiotag.chime_home import read_lists
from audiotag.download import DownloadError
from audiotag.fetch_chime_home import FetchError, fetch, problems_of

ARCHIVE = packed(contents())
MONO = sorted(f"{name}.{kind}" for name in [*NAMES, LATER, RAW] for kind in ("16kHz.wav", "csv"))
LISTS = sorted(name.split("/")[1] for name in contents() if name.count("/") == 1 and name.endswith("csv"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chime_home"


def get(target: Path, manners: Manners, **options) -> bool:
    with serving(manners) as address:
        return fetch(target, address, **{"md5": md5(ARCHIVE), "wait": 0.001, **options})


def assert_complete(target: Path) -> None:
    assert sorted(path.name for path in (target / "chunks").iterdir()) == MONO
    assert sorted(path.name for path in target.glob("*.*")) == LISTS
    for name, data in contents().items():
        path = target / name.removeprefix("chime_home/")
        assert not path.exists() or path.read_bytes() == data
    assert [path.name for path in target.parent.iterdir() if path != target] == [".chime_home.lock"]
    assert len(read_lists(target).clips) == 7


# --- reference: the matrix of servers ---

SERVERS = {
    "good": Manners(ARCHIVE),
    "cuts": Manners(ARCHIVE, cut_after=9000, cuts=4),
    "cuts, no etag": Manners(ARCHIVE, cut_after=9000, cuts=4, etag=None),
    "cuts, weak etag": Manners(ARCHIVE, cut_after=9000, cuts=4, etag='W/"one"'),
    "cuts, ignores ranges": Manners(ARCHIVE, cut_after=60_000, cuts=2, ranges=False),
    "cuts at once": Manners(ARCHIVE, cut_after=0, cuts=4),
    "no length": Manners(ARCHIVE, length=False),
    "busy at first": Manners(ARCHIVE, status=[503, 429, 500]),
    "moved": Manners(ARCHIVE, location="/moved"),
}


@pytest.mark.parametrize("manners", SERVERS.values(), ids=SERVERS)
def test_servers_that_bring_it_in_the_end(target: Path, manners: Manners) -> None:
    manners = replace(manners, seen=[], status=list(manners.status))
    cuts = manners.cuts
    assert get(target, manners)
    assert_complete(target)
    asked = [wanted for wanted in manners.seen if wanted]
    if manners.cut_after and manners.ranges:
        assert asked == [f"bytes={9000 * (number + 1)}-" for number in range(cuts)]


def test_a_second_run_asks_for_nothing(target: Path) -> None:
    manners = Manners(ARCHIVE)
    assert get(target, manners)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert not get(target, manners)
    assert len(manners.seen) == 1
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before


def begin(target: Path, content: bytes = ARCHIVE, **options) -> None:
    """A first run that gets 9000 bytes and no more."""
    with pytest.raises(DownloadError, match=r"stuck at 9000 of \d+ bytes .*run the same command again later"):
        get(target, Manners(content, cut_after=9000, cuts=1, dies=True, **options))
    assert not target.exists()
    assert part_of(target).stat().st_size == 9000


def part_of(target: Path) -> Path:
    return target.with_name("chime_home.tar.gz.part")


def test_what_has_come_is_not_asked_for_again(target: Path) -> None:
    begin(target)
    manners = Manners(ARCHIVE)
    assert get(target, manners)
    assert manners.seen == ["bytes=9000-"]
    assert_complete(target)


def test_a_whole_part_needs_no_server(target: Path) -> None:
    begin(target)
    part_of(target).write_bytes(ARCHIVE)
    manners = Manners(ARCHIVE)
    assert get(target, manners)
    assert manners.seen == []
    assert_complete(target)


@pytest.mark.parametrize("stereo", [False, True])
def test_an_archive_on_this_machine_is_left_as_it_is(target: Path, tmp_path: Path, stereo: bool) -> None:
    archive = tmp_path / "own.tar.gz"
    archive.write_bytes(ARCHIVE)
    calls: list[tuple[int, int | None]] = []
    assert fetch(target, str(archive), md5=md5(ARCHIVE), stereo=stereo, report=lambda *call: calls.append(call))
    assert archive.read_bytes() == ARCHIVE
    assert calls[-1] == (len(ARCHIVE), len(ARCHIVE))
    there = {path.name for path in (target / "chunks").iterdir()}
    assert {f"{name}.48kHz.wav" for name in [*NAMES, LATER, RAW]} <= there if stereo else there == set(MONO)
    assert problems_of(target, stereo) == []


def test_the_archive_can_be_kept(target: Path) -> None:
    assert get(target, Manners(ARCHIVE), keep=True)
    assert target.with_name("chime_home.tar.gz").read_bytes() == ARCHIVE
    assert not part_of(target).exists()


def test_the_command(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Manners(ARCHIVE)) as address:
        words = [str(target), "--from", address, "--md5", md5(ARCHIVE).upper()]
        assert chime_home_command.main(words) == 0
        assert chime_home_command.main(words) == 0
    shown = capsys.readouterr().out
    assert f"CHiME-Home is complete in {target}: 6 clips in 2 folds, 1 for evaluation." in shown
    assert f"CHiME-Home is complete already in {target}" in shown
    assert f"{len(ARCHIVE) / 1e6:.0f} of {len(ARCHIVE) / 1e6:.0f} MB read" in shown


# --- property ---


def killed_at(step: int, target: Path, address: str) -> bool:
    """Fetches in a process that ends without ado at its `step`th touch of the disk; whether it came so far."""
    process = os.fork()
    if process == 0:
        steps = iter(range(step, 0, -1))

        def touch(event: str, arguments: tuple) -> None:
            if event in DISK and next(steps, 0) == 0:
                os._exit(9)

        signal.alarm(60)
        sys.addaudithook(touch)
        try:
            fetch(target, address, md5=md5(ARCHIVE))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9


DISK = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "socket.connect")


@pytest.mark.parametrize("there", [False, True], ids=["new", "into a folder"])
def test_killed_at_any_step_it_is_complete_in_the_end(target: Path, there: bool) -> None:
    manners = Manners(ARCHIVE)
    with serving(manners) as address:
        step = kills = 0
        while True:
            shutil.rmtree(target.parent, ignore_errors=True)
            if there:
                (target / "chunks").mkdir(parents=True)
                (target / LISTS[0]).write_bytes(b"0,torn")
            if not killed_at(step, target, address):
                break
            problems = problems_of(target, False) if target.exists() else ["no folder"]
            assert there or not target.exists() or problems == []  # a new folder is there as a whole or not at all
            fetch(target, address, md5=md5(ARCHIVE))
            assert_complete(target)
            kills, step = kills + 1, step + 7
    assert kills > 10


def test_an_incomplete_folder_is_completed_and_keeps_what_else_is_in_it(target: Path) -> None:
    assert get(target, Manners(ARCHIVE))
    (target / "chunks" / MONO[3]).unlink()
    torn = target / "chunks" / f"{NAMES[0]}.16kHz.wav"
    torn.write_bytes(torn.read_bytes()[:500])
    (target / "notes.txt").write_text("mine")
    assert [problem.split("`")[2] for problem in problems_of(target, False)] != []
    assert get(target, Manners(ARCHIVE))
    assert (target / "notes.txt").read_text() == "mine"
    (target / "notes.txt").unlink()
    assert_complete(target)


def test_stereo_comes_later(target: Path) -> None:
    assert get(target, Manners(ARCHIVE))
    assert get(target, Manners(ARCHIVE), stereo=True)
    assert not get(target, Manners(ARCHIVE), stereo=True)
    assert (target / "chunks" / f"{RAW}.48kHz.wav").is_file()


# --- degenerate ---


def test_what_a_killed_process_left_at_its_very_end_is_taken_away(target: Path) -> None:
    assert get(target, Manners(ARCHIVE))
    part_of(target).write_bytes(ARCHIVE)
    target.with_name(".chime_home.unpacking").mkdir()
    assert not get(target, Manners(ARCHIVE))
    assert_complete(target)


def test_a_damaged_note_costs_nothing(target: Path) -> None:
    begin(target)
    target.with_name("chime_home.tar.gz.part.json").write_text("[{")
    assert get(target, Manners(ARCHIVE))
    assert_complete(target)


def test_a_file_that_changed_at_the_server_is_begun_again(target: Path) -> None:
    begin(target, content=packed({"other": os.urandom(90_000)}), etag='"old"')
    manners = Manners(ARCHIVE, etag='"new"')
    assert get(target, manners)
    assert manners.seen[-1] is None
    assert_complete(target)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_that_is_longer_than_the_file_is_begun_again(target: Path, ranges: bool) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(ARCHIVE + b"more")
    if not ranges:
        note = {"address": "elsewhere", "total": len(ARCHIVE)}
        target.with_name("chime_home.tar.gz.part.json").write_text(json.dumps(note))
    assert get(target, Manners(ARCHIVE, ranges=ranges))
    assert_complete(target)


def test_two_at_once(target: Path) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def report(done: int, total: int | None) -> None:
        waiting.set()
        go_on.wait(30)

    first = threading.Thread(target=get, args=(target, Manners(ARCHIVE)), kwargs={"report": report})
    first.start()
    assert waiting.wait(30)
    try:
        with pytest.raises(FetchError, match="Another process is fetching"):
            get(target, Manners(ARCHIVE))
    finally:
        go_on.set()
        first.join(30)
    assert_complete(target)


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
    monkeypatch.setattr("audiotag.download.TIMEOUT", 0.05)
    monkeypatch.setattr("audiotag.download.TRIES", 2)
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
    monkeypatch.setattr("audiotag.download.LONGEST_WAIT", 0.0)
    with pytest.raises(SystemExit) as end:
        chime_home_command.main([str(target), *words])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert any(text in told for text in line.split("|"))
    assert not target.exists()
    assert os.listdir(target.parent) in ([], [".chime_home.lock"]) if target.parent.exists() else True
