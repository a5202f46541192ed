"""A data set over broken connections, from bad servers and archives, into folders that hold something already.

It is CHiME-Home, small: one archive, of which some files are needed.
"""

import os
import shutil
import socket
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.archives import LATER, NAMES, RAW, Manners, md5, packed, serving
from helpers.installing import ARCHIVE, LISTS, MONO, assert_complete, begin, get, install, killed_at, part_of

from audiotag.corpus.layouts.chime_home import problems_of
from audiotag.downloads.transfer import FetchError

pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chime_home"


SERVERS = {
    "cuts": Manners(ARCHIVE, cut_after=9000, cuts=4),
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
    if manners.cut_after and manners.ranges:
        assert [wanted for wanted in manners.seen if wanted] == [f"bytes={9000 * (n + 1)}-" for n in range(cuts)]


def test_a_second_run_asks_for_nothing(target: Path) -> None:
    manners = Manners(ARCHIVE)
    assert get(target, manners)
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert not get(target, manners)
    assert len(manners.seen) == 1
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before


@pytest.mark.parametrize("there", [9000, len(ARCHIVE)])
def test_bytes_on_disk_are_not_asked_for_again(target: Path, there: int) -> None:
    begin(target)
    part_of(target).write_bytes(ARCHIVE[:there])
    manners = Manners(ARCHIVE)
    assert get(target, manners)
    assert manners.seen == [f"bytes={there}-"]
    assert_complete(target)


@pytest.mark.parametrize("stereo", [False, True])
def test_an_archive_on_this_machine_is_left_as_it_is(target: Path, tmp_path: Path, stereo: bool) -> None:
    archive = tmp_path / "own.tar.gz"
    archive.write_bytes(ARCHIVE)
    calls: list[tuple] = []
    assert install(target, str(archive), md5=md5(ARCHIVE), stereo=stereo, report=lambda *call: calls.append(call))
    assert archive.read_bytes() == ARCHIVE
    assert calls[-1] == ("unpacked", len(ARCHIVE), len(ARCHIVE))
    there = {path.name for path in (target / "chunks").iterdir()}
    assert {f"{name}.48kHz.wav" for name in [*NAMES, LATER, RAW]} <= there if stereo else there == set(MONO)
    assert problems_of(target, stereo) == []


def test_the_archive_can_be_kept(target: Path) -> None:
    assert get(target, Manners(ARCHIVE), keep=True)
    assert target.with_name("chime_home.tar.gz").read_bytes() == ARCHIVE
    assert not part_of(target).exists()


@pytest.mark.parametrize("there", [False, True], ids=["new", "into a folder"])
def test_killed_at_any_step_it_is_complete_in_the_end(target: Path, there: bool) -> None:
    with serving(Manners(ARCHIVE)) as address:
        step = kills = 0
        while True:
            shutil.rmtree(target.parent, ignore_errors=True)
            if there:
                (target / "chunks").mkdir(parents=True)
                (target / LISTS[0]).write_bytes(b"0,torn")
            if not killed_at(step, lambda: install(target, address, md5=md5(ARCHIVE))):
                break
            problems = problems_of(target, False) if target.exists() else ["no folder"]
            assert there or not target.exists() or problems == []  # a new folder is there as a whole or not at all
            install(target, address, md5=md5(ARCHIVE))
            assert_complete(target)
            kills, step = kills + 1, step + 5
    assert kills > 10


def test_an_incomplete_folder_is_completed_and_keeps_other_files(target: Path) -> None:
    assert get(target, Manners(ARCHIVE))
    (target / "chunks" / MONO[3]).unlink()
    torn = target / "chunks" / f"{NAMES[0]}.16kHz.wav"
    torn.write_bytes(torn.read_bytes()[:500])
    (target / "notes.txt").write_text("mine")
    assert problems_of(target, False) != []
    assert get(target, Manners(ARCHIVE))
    assert (target / "notes.txt").read_text() == "mine"
    (target / "notes.txt").unlink()
    assert_complete(target)


def test_a_part_of_another_file_is_replaced(target: Path) -> None:
    begin(target, content=packed({"other": os.urandom(90_000)}))
    assert get(target, Manners(ARCHIVE))
    assert_complete(target)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_that_is_longer_than_the_file_is_replaced(target: Path, ranges: bool) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(ARCHIVE + b"more")
    assert get(target, Manners(ARCHIVE, ranges=ranges))
    assert_complete(target)


def test_remains_of_a_killed_process_are_removed(target: Path) -> None:
    assert get(target, Manners(ARCHIVE))
    part_of(target).write_bytes(ARCHIVE)
    target.with_name(".chime_home.unpacking").mkdir()
    assert not get(target, Manners(ARCHIVE))
    assert_complete(target)


def test_two_at_once(target: Path) -> None:
    waiting, go_on = threading.Event(), threading.Event()

    def report(*call: object) -> None:
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


WRONG: dict[str, tuple[Manners, str]] = {
    "missing": (Manners(ARCHIVE, status=[404]), r"answers 404 \(Not Found\): give another with --from"),
    "dead": (Manners(ARCHIVE, dies=True), "is stuck at 0 bytes .*Service Unavailable"),
    "a page": (Manners(b"<html>log in, please</html>" * 99), f"is [0-9a-f]{{32}}, but must be {md5(ARCHIVE)}"),
}


@pytest.mark.parametrize(("manners", "message"), WRONG.values(), ids=WRONG)
def test_wrong_answers_end_in_one_line_and_no_folder(target: Path, manners: Manners, message: str) -> None:
    with pytest.raises(FetchError, match=message) as caught:
        get(target, replace(manners, seen=[], status=list(manners.status)))
    assert "\n" not in str(caught.value)
    assert not target.exists()
    assert get(target, Manners(ARCHIVE))  # nothing stands in the way of a better server
    assert_complete(target)


def test_a_silent_server_is_left_after_a_while(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiotag.downloads.transfer.TIMEOUT", 0.05)
    monkeypatch.setattr("audiotag.downloads.transfer.TRIES", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.tar.gz"
        with pytest.raises(FetchError, match=r"is stuck at 0 bytes .*timed out"):
            install(target, address, md5=md5(ARCHIVE), wait=0.001)


def link(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


LIST = "chime_home/evaluation_chunks_raw.csv"
HOSTILE = {
    "parent": packed({"../evil.csv": b"", "chime_home/../../evil.csv": b"", "chime_home/chunks/../evil.csv": b""}),
    "absolute": packed({"/tmp/data/evil.csv": b"", "//chime_home/evil.csv": b""}),
    "folder": packed({"chime_home/chunks/a.csv": b"evil"}, [link("chime_home/chunks", tarfile.SYMTYPE, "/tmp")]),
    "symbolic link": packed({LIST: b"evil"}, [link(LIST, tarfile.SYMTYPE, "../../evil.csv")]),
    "hard link": packed({}, [link(LIST, tarfile.LNKTYPE, "/etc/passwd")]),
    "pipe": packed({}, [link(LIST, tarfile.FIFOTYPE)]),
    "device": packed({}, [link(LIST, tarfile.CHRTYPE)]),
    "a file in place of a folder": packed({"chime_home/chunks": b"file", "chime_home/chunks/a.csv": b"below"}),
    "no archive": b"this is no archive",
    "half an archive": ARCHIVE[:-500],
}


@pytest.mark.parametrize("archive", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_write_nothing(target: Path, archive: bytes) -> None:
    """Their checksum is given as the right one."""
    outside = sorted(Path("/tmp").glob("*.csv"))
    with pytest.raises(FetchError):
        get(target, Manners(archive), md5=md5(archive))
    assert {path.name for path in target.parents[1].rglob("*")} <= {"data", part_of(target).name, ".chime_home.lock"}
    assert sorted(Path("/tmp").glob("*.csv")) == outside


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (".", "cannot be written"),
        ("thesis.tex", "holds something else: name one that does not exist yet"),
        ("..", "cannot be written"),
    ],
)
def test_places_that_are_not_ours(target: Path, file: str, message: str) -> None:
    path = Path(os.path.normpath(target / file))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("years")
    with pytest.raises(FetchError, match=message):
        get(target, Manners(ARCHIVE))
    assert path.read_text() == "years"
    assert len(list(target.parents[1].rglob("*"))) == len(path.relative_to(target.parents[1]).parts)


def test_a_disk_without_room_is_found_out_before_the_download(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(target.parents[1])
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=10**9))
    with pytest.raises(FetchError, match=r"has 1\.0 GB free, but 5\.1 GB are needed"):
        install(target)
    assert not target.exists()
