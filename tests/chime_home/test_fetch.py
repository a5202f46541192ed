"""CHiME-Home over connections that break, from servers that lie, into folders that hold something already."""

import json
import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.archives import LATER, NAMES, RAW, Manners, md5, packed, serving
from helpers.fetching import ARCHIVE, LISTS, MONO, assert_complete, begin, get, part_of

from audiotag.chime_home import __main__ as chime_home_command
from audiotag.chime_home.fetch import FetchError, fetch, problems_of


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chime_home"


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
