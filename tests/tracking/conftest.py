"""Fixtures of several modules: a tracking server of the test's own, and one with a single answer."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from helpers import mlflow_server


@pytest.fixture
def start_server(empty_store: Path, tmp_path: Path, free_port: int) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a tracking server on `free_port`; it is stopped after the test."""
    shutil.copy(empty_store, tmp_path / "server.db")
    servers: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        servers.append(mlflow_server.start(tmp_path, free_port))
        return servers[-1]

    yield start
    for server in servers:
        mlflow_server.end(server)


class Answer(BaseHTTPRequestHandler):
    """A server that has one answer."""

    status: int
    content: str

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
