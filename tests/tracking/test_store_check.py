"""study.tracking.store_check: stores that cannot be used are refused at the start."""

import json
import subprocess
import sys
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from study.tracking import store_check
from study.tracking.store_check import check_store
from study.tracking.tracking_uri import (
    StoreUnavailableError,
    TrackingError,
    default_uri,
)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlite:///{tmp}/none/mlflow.db", r"mlflow\.db cannot be used \(there is no folder .*/none\): choose another"),
        ("sqlite:///{tmp}/file/mlflow.db", r"there is no folder"),
        ("sqlite:///{tmp}/file", r"it is not an SQLite database"),
        ("sqlite:///{tmp}", r"Is a directory"),
        ("sqlite://", r"'sqlite://', but must name a file"),
        ("sqlite:///:memory:", r"but must name a file"),
        ("postgresql://me:secret@there/db", r"'postgresql://there/db', but must begin with sqlite:///, http://"),
        ("./mlruns", r"'./mlruns', but must begin with"),
        ("me:secret@there:5000", r"'there:5000', but must begin with"),
        ("http:/me:secret@there:5000", r"'there:5000', but must begin with"),
        ("http://me:secret/x@there:5000", r"has no usable host and port: write http://HOST:PORT"),
        ("http://me:secret#x@there:5000", r"has no usable host and port"),
        ("http://[::1:5090", r"has no usable host and port"),
        ("http://there:99999", r"has no usable host and port"),
        ("http://", r"has no usable host and port"),
        ("http://127.0.0.1:{port}", r"http://127.0.0.1:\d+ does not answer as an MLflow server \(Connection refused\)"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused(uri: str, message: str, tmp_path: Path, free_port: int) -> None:
    (tmp_path / "file").write_text("no database, but some text")
    with pytest.raises(TrackingError, match=message) as caught:
        check_store(uri.format(tmp=tmp_path, port=free_port))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_check_of_a_database_is_quick_and_leaves_nothing(tmp_path: Path) -> None:
    code = f"from study.tracking.store_check import *; check_store('{default_uri(tmp_path)}'); import sys; "
    subprocess.run([sys.executable, "-c", code + "sys.exit('mlflow' in sys.modules)"], check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_server_that_is_something_else_is_refused() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(TrackingError, match="does not answer as an MLflow server"):
            check_store(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


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
        check_store(server_that_says(status, content))
    line = str(caught.value)
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    assert [name in line for name in names] == [asked] * 3
    assert ("refuses access" in line, "start it" in line) == (asked, not asked)
    assert "hush" not in line
    assert "\n" not in line


@pytest.mark.parametrize(("location", "missing"), [("s3://bucket/x", "boto3"), ("mlflow-artifacts:/1", None)])
def test_a_package_that_artifacts_need_is_named_at_the_start(
    location: str, missing: str | None, server_that_says: Callable[[int, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_check, "find_spec", lambda module: None)
    experiment = {"experiment_id": "1", "name": "joint", "artifact_location": location, "lifecycle_stage": "active"}
    uri = server_that_says(200, json.dumps({"experiment": experiment, "experiments": [experiment]}))
    for space in (None, "joint"):
        if missing is None:
            check_store(uri, space)
        else:
            with pytest.raises(StoreUnavailableError, match=f"pip install {missing}"):
                check_store(uri, space)
