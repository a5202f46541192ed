"""MLflow's tracking server, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


def start(root: Path, port: int, workers: int = 1) -> subprocess.Popen[bytes]:
    """Start a server on root/server.db, with its artifacts and server.log in the same folder."""
    store = ["--backend-store-uri", f"sqlite:///{root}/server.db", "--workers", str(workers)]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *store]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # twice as quick
    with (root / "server.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=root)


def serve(root: Path, port: int, workers: int = 1) -> subprocess.Popen[bytes]:
    """Start a server, and wait until it answers."""
    server = start(root, port, workers)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
            return server
        except OSError:
            time.sleep(0.2)
    raise AssertionError((root / "server.log").read_text())


def end(server: subprocess.Popen[bytes]) -> None:
    """Kill a server, with its workers."""
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
