"""A fixture of several modules: a tracking server of the test's own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def start_server(empty_store: Path, tmp_path: Path, free_port: int) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a tracking server on `free_port`; it is stopped after the test."""
    shutil.copy(empty_store, tmp_path / "server.db")
    servers: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        where = ["--port", str(free_port), "--artifacts-destination", str(tmp_path / "artifacts")]
        store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--workers", "1"]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", *where, *store]
        environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # twice as quick
        with (tmp_path / "server.log").open("wb") as log:
            process = {"stdout": log, "stderr": log, "start_new_session": True, "cwd": tmp_path}
            servers.append(subprocess.Popen(command, env=os.environ | environment, **process))
        return servers[-1]

    yield start
    for server in servers:
        os.killpg(server.pid, 15)
        server.wait(20)
