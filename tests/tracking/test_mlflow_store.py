"""study.tracking.mlflow_store: how a database comes to be, what a server says, and several writers at a time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.tracked import wait_for

from study.ledger.ledger import Ledger
from study.tracking import mlflow_store
from study.tracking.mlflow_store import SIDE_BY_SIDE, Store, count_writers, open_client, server_version
from study.tracking.tracking_uri import default_uri

WRITERS = SIDE_BY_SIDE
MAKE = (
    "import os, sys; from study.tracking.mlflow_store import open_client\n"
    "os.link = os.symlink = None  # as on exFAT\n"
    "open_client(sys.argv[1]).search_experiments()"
)


@pytest.mark.slow
def test_a_database_is_made_whole_by_one_process_even_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "50%41 or?"
    folder.mkdir()
    command = [sys.executable, "-c", MAKE, default_uri(folder)]
    with subprocess.Popen(command) as killed:
        aside = folder / "mlflow.db-new"
        wait_for(lambda: aside.is_file() and aside.stat().st_size > 0)
        os.kill(killed.pid, signal.SIGKILL)
    assert not (folder / "mlflow.db").exists()
    (folder / "mlflow.db").touch()  # SQLite leaves an empty file where it was only opened
    racing = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=120)[1] for process in racing] == [b"", b""]
    assert [process.returncode for process in racing] == [0, 0]
    assert sorted(path.name for path in folder.iterdir()) == ["mlflow.db", "mlflow.db-lock"]
    assert [experiment.name for experiment in open_client(default_uri(folder)).search_experiments()] == ["Default"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


# several writers at a time


@pytest.fixture
def distant(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that is written to like a server."""
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_store, "count_writers", lambda uri: WRITERS)
        return Store(uri, ledger.study)


def test_a_server_gets_several_writers_and_a_database_one(ledger: Ledger, uri: str, distant: Store) -> None:
    assert [count_writers(uri), count_writers("https://there")] == [1, WRITERS]
    met, threads = threading.Barrier(WRITERS, timeout=60), list[int]()
    distant.each(lambda _: met.wait(), range(WRITERS))  # none goes on until all are there
    Store(uri, ledger.study).each(lambda _: threads.append(threading.get_ident()), range(20))
    assert threads == [threading.get_ident()] * 20


def test_a_failure_is_raised_when_no_writer_is_at_work_any_more(distant: Store) -> None:
    begun, ended, failed = list[int](), list[int](), threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 3:
            failed.set()
            raise ConnectionError("cut off")
        failed.wait(60)
        time.sleep(0.2)  # a call that goes on while another has failed
        ended.append(item)

    with pytest.raises(ConnectionError, match="cut off"):
        distant.each(work, range(1000))
    assert sorted(ended) == sorted(item for item in begun if item != 3)
    assert len(begun) < 1000


def test_ctrl_c_waits_for_no_writer(distant: Store) -> None:
    begun, ended, go_on, met = list[int](), list[int](), threading.Event(), threading.Barrier(WRITERS, timeout=60)

    def work(item: int) -> None:
        begun.append(item)
        if met.wait() == 0:  # in one of them
            os.kill(os.getpid(), signal.SIGINT)
        go_on.wait(60)
        ended.append(item)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            distant.each(work, range(1000))
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == []
    go_on.set()
    wait_for(lambda: len(ended) == WRITERS)
    assert len(begun) == WRITERS  # and none goes on with another


STUCK = """
import os, signal, sys, threading, time
from pathlib import Path
from study.ledger.ledger import Ledger
from study.tracking import mlflow_store
mlflow_store.count_writers = lambda uri: 8
store = mlflow_store.Store(sys.argv[2], Ledger.open(Path(sys.argv[1])).study)
signal.signal(signal.SIGINT, signal.default_int_handler)
met = threading.Barrier(8)
def wait(item):
    if met.wait() == 0:
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(600)
store.each(wait, range(20))
"""


@pytest.mark.slow
def test_a_program_ends_while_writers_wait_for_a_server(ledger: Ledger, uri: str) -> None:
    command = [sys.executable, "-c", STUCK, str(ledger.root), uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stderr.endswith("KeyboardInterrupt\n")


# what a server says


@pytest.mark.parametrize(
    ("status", "content", "version"),
    [
        (200, "2.14.3", (2, 14)),
        (200, "3.17.0rc1", (3, 17)),
        (200, "<html>3.17</html>", None),
        (404, "404 page not found", None),
        (401, "You are not authenticated.", None),
    ],
)
def test_the_version_of_a_server(
    status: int, content: str, version: tuple[int, int] | None, server_that_says: Callable[[int, str], str]
) -> None:
    assert server_version(server_that_says(status, content)) == version


def test_a_database_and_a_server_that_is_away_have_no_version(free_port: int) -> None:
    assert server_version("sqlite:////nowhere/mlflow.db") is None
    assert server_version(f"http://127.0.0.1:{free_port}") is None
