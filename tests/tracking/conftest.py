"""Fixtures of several modules: a tracking server of the test's own, and one with a single answer."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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
