"""study.tracking.mlflow_store: which store, whether it can be used, and how its database comes to be."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from helpers.tracked import wait_for

from study.tracking import mlflow_store
from study.tracking.mlflow_store import check_server, open_client, reason, server_version
from study.tracking.tracking_uri import (
    StoreUnavailableError,
    TrackingError,
    _known_revisions,
    database_uri,
    default_uri,
)


def test_default_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert default_uri(Path("/50% or?/ä")) == "sqlite+pysqlite:////50%25 or%3F/ä/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert default_uri(tmp_path) == "http://there:5000"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///{tmp}/none/mlflow.db", r"mlflow\.db cannot be used \(there is no folder .*/none\): choose another"),
        ("sqlite:///{tmp}/file/mlflow.db", r"there is no folder"),
        ("sqlite:///{tmp}/file", r"something else than an SQLite database"),
        ("sqlite:///{tmp}", r"Is a directory"),
        ("sqlite://", r"'sqlite://', but must name a file"),
        ("sqlite:///:memory:", r"but must name a file"),
        ("postgresql://me:secret@there/db", r"'postgresql://there/db', but must begin with sqlite:///, http://"),
        ("./mlruns", r"'./mlruns', but must begin with"),
        ("http://127.0.0.1:{port}", r"http://127.0.0.1:\d+ does not answer as an MLflow server \(Connection refused\)"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused(uri: str, message: str, tmp_path: Path, free_port: int) -> None:
    (tmp_path / "file").write_text("no database, but some text")
    with pytest.raises(TrackingError, match=message) as caught:
        check_server(uri.format(tmp=tmp_path, port=free_port))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_check_of_a_database_is_quick_and_leaves_nothing(tmp_path: Path) -> None:
    code = f"from study.tracking.mlflow_store import *; check_server('{default_uri(tmp_path)}'); import sys; "
    subprocess.run([sys.executable, "-c", code + "sys.exit('mlflow' in sys.modules)"], check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_server_that_is_something_else_is_refused() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(TrackingError, match="does not answer as an MLflow server"):
            check_server(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


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


def with_schema(store: Path, folder: Path, revision: str) -> Path:
    """A copy of a database whose tables are of another version."""
    path = Path(shutil.copy(store, folder / "mlflow.db"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (revision,))
    return path


def test_a_database_of_this_mlflow_is_taken(empty_store: Path) -> None:
    check_server(database_uri(empty_store))
    known, newest = _known_revisions()
    assert len(known) > 50  # else MLflow keeps its migrations elsewhere by now
    with closing(sqlite3.connect(empty_store)) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(newest,)]


@pytest.mark.parametrize(("revision", "word"), [("ffffffffffff", "newer"), ("451aebb31d03", "mlflow db upgrade")])
def test_a_database_of_another_mlflow_is_refused_at_the_start(
    revision: str, word: str, empty_store: Path, tmp_path: Path
) -> None:
    path = with_schema(empty_store, tmp_path, revision)
    with pytest.raises(StoreUnavailableError, match=word) as caught:
        check_server(database_uri(path))
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("--tracking-uri.")


class Answer(BaseHTTPRequestHandler):
    """A server that has one answer."""

    status, content = 401, "You are not authenticated.\nPlease see the manual."

    def do_POST(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.content.encode())

    do_GET = do_POST

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server_that_says() -> Iterator[Callable[[int, str], str]]:
    """Start a server with one answer; return its URI, with a password."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, content: str) -> str:
        handler = type("Own", (Answer,), {"status": status, "content": content})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://me:hush@127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "content", "asked"),
    [
        (401, "You are not authenticated.\nSee the manual.", True),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "not for you"}', True),
        (500, "out of order", False),
    ],
)
def test_credentials_are_asked_for_where_they_are_refused(
    status: int, content: str, asked: bool, server_that_says: Callable[[int, str], str]
) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        check_server(server_that_says(status, content))
    line = str(caught.value)
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    assert [name in line for name in names] == [asked] * 3
    assert "hush" not in line
    assert "\n" not in line


@pytest.mark.parametrize(("location", "missing"), [("s3://bucket/x", "boto3"), ("mlflow-artifacts:/1", None)])
def test_a_package_that_artifacts_need_is_named_at_the_start(
    location: str, missing: str | None, server_that_says: Callable[[int, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_store, "find_spec", lambda module: None)
    experiment = {"experiment_id": "1", "name": "joint", "artifact_location": location, "lifecycle_stage": "active"}
    uri = server_that_says(200, json.dumps({"experiment": experiment, "experiments": [experiment]}))
    for space in (None, "joint"):
        if missing is None:
            check_server(uri, space)
        else:
            with pytest.raises(StoreUnavailableError, match=f"pip install {missing}"):
                check_server(uri, space)


def test_a_long_reason_ends_at_a_word() -> None:
    line = reason(ValueError("word " * 500))
    assert line.endswith("word ...")
    assert len(line) < 400


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
