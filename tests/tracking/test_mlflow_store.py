"""study.tracking.mlflow_store: which store, whether it can be used, and how its database comes to be."""

import os
import signal
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from helpers.tracked import wait_for

from study.tracking.mlflow_store import TrackingError, check_server, default_uri, open_client


def test_default_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert default_uri(Path("/50% or?/ä")) == "sqlite:////50%25 or%3F/ä/mlflow.db"
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


MAKE = "import sys; from study.tracking.mlflow_store import open_client\nopen_client(sys.argv[1]).search_experiments()"


@pytest.mark.slow
def test_a_database_is_made_whole_by_one_process_even_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "50% or?"
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
