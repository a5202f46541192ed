"""Ports of this machine: a free one, and waiting until a server listens at its own."""

import socket
import subprocess
import time
from pathlib import Path


def find_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something listens at a port, or the process has ended, which fails with its log."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
