"""study.tracking.tracker: the thread that keeps MLflow up to date, with stores that come, go and fail."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.tracked import (
    EPOCHS,
    client_of,
    epoch_result,
    finish,
    runs_of,
    snapshot,
    statuses,
    wait_for,
)

from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.tracking import tracker
from study.tracking.mlflow_store import check_server
from study.tracking.mlflow_sync import Live, Projection
from study.tracking.tracker import Tracker


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "INTERVAL", 0.05)


@pytest.mark.usefixtures("_hasty")
def test_tracker_follows_a_study(ledger: Ledger, uri: str) -> None:
    said: list[str] = []
    tracker = Tracker(ledger, uri, said.append)
    tracker.start()
    tracker.started("key0", {})
    for epoch in range(EPOCHS[0]):
        tracker.reported("key0", epoch_result("key0", 0, epoch) | {"fold": 0, "folds_done": 0})
    wait_for(lambda: ("fold", "key0", "0") in statuses(uri))
    finish(ledger, "key0", "key1")
    tracker.reported("key0", {"folds_done": 2})
    tracker.ended("key1", None)
    assert tracker.close("finished", 30)
    assert said == []
    assert set(statuses(uri).values()) == {"FINISHED"}
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]
    assert tracker._live == {}


@pytest.mark.usefixtures("_hasty")
def test_tracker_warns_once_and_catches_up(ledger: Ledger, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls, up = Projection.update, [], threading.Event()

    def update(self: Projection, live: Live, study_status: str) -> None:
        calls.append(live)
        if not up.is_set():
            raise RuntimeError("down\nwith details")
        original(self, live, study_status)

    monkeypatch.setattr(Projection, "update", update)
    said: list[str] = []
    tracker = Tracker(ledger, uri, said.append)
    tracker.start()
    tracker.epoch("key0", 0, epoch_result("key0", 0, 0))
    wait_for(lambda: len(calls) > 2)
    tracker.epoch("key0", 0, epoch_result("key0", 0, 1))
    assert said == ["MLflow: RuntimeError: down Training goes on and nothing is lost; it will be tried again."]
    up.set()
    wait_for(lambda: len(said) == 2)
    assert said[1] == f"MLflow at {uri} is up to date again."
    assert tracker.close("interrupted", 30)
    assert snapshot(uri)["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01)]


def test_what_breaks_after_it_was_given_up_is_not_said(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study has printed its last line by then."""
    begun, over = threading.Event(), threading.Event()

    def update(*_: object) -> None:
        begun.set()
        over.wait(30)
        raise OSError("a folder that is no more")

    monkeypatch.setattr(Projection, "update", update)
    said: list[str] = []
    tracker = Tracker(ledger, "sqlite:////nowhere/mlflow.db", said.append)
    tracker.start()
    tracker.touch()
    assert begun.wait(30)
    assert not tracker.close("interrupted", 0.01)
    over.set()
    tracker._thread.join(30)
    assert (tracker._thread.is_alive(), said) == (False, [])


@pytest.mark.usefixtures("_hasty")
def test_tracker_gives_up_when_its_time_is_over(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Projection, "update", lambda *_: time.sleep(0.05) or 1 / 0)
    tracker = Tracker(ledger, "sqlite:////nowhere/mlflow.db", lambda _: None)
    tracker.start()
    assert not tracker.close("finished", 0.3)
    tracker._thread.join(5)
    assert not tracker._thread.is_alive()


@pytest.fixture
def start_server(empty_store: Path, tmp_path: Path, free_port: int) -> Iterator[Callable[[], None]]:
    """Starts a tracking server on `free_port`; it is stopped after the test."""
    shutil.copy(empty_store, tmp_path / "server.db")
    servers: list[subprocess.Popen] = []

    def start() -> None:
        where = ["--port", str(free_port), "--artifacts-destination", str(tmp_path / "artifacts")]
        store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", *where, *store]
        environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # twice as quick
        with (tmp_path / "server.log").open("wb") as log:
            process = {"stdout": log, "stderr": log, "start_new_session": True, "cwd": tmp_path}
            servers.append(subprocess.Popen(command, env=os.environ | environment, **process))

    yield start
    for server in servers:
        os.killpg(server.pid, 15)
        server.wait(20)


@pytest.mark.slow
@pytest.mark.usefixtures("_hasty")
def test_server_that_comes_later(
    ledger: Ledger, start_server: Callable[[], None], free_port: int, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    uri, said = f"http://127.0.0.1:{free_port}", []
    tracker = Tracker(ledger, uri, said.append)
    tracker.start()
    tracker.epoch("key0", 0, epoch_result("key0", 0, 0))
    finish(ledger, "key0")
    ledger.write_results(study_results(ledger, "interrupted"))
    wait_for(lambda: len(said) == 1)
    start_server()
    assert tracker.close("interrupted", 200)
    assert said[0].startswith(f"MLflow at {uri} is not up to date (Connection refused).")
    assert said[1:] == [f"MLflow at {uri} is up to date again."]
    check_server(uri)
    database = tmp_path / "server.db"
    before = snapshot(uri, database=database)
    assert len(before) == 5
    assert before["fold", "key0", "0"]["points"]["val/loss"] == [(0, 2.0), (1, 2.01), (2, 2.02)]
    Projection(ledger, uri).update({}, "interrupted")
    assert snapshot(uri, database=database) == before
    study = next(run for run in runs_of(uri) if run.data.tags["audiotag.level"] == "study")
    assert [file.path for file in client_of(uri).list_artifacts(study.info.run_id)] == ["results.json"]
    assert capfd.readouterr() == ("", "")
