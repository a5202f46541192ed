"""A helper of tests: wait until a server that was started in a process of its own listens."""

import socket
import subprocess
import time
from pathlib import Path


def port_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something listens at a port, or the process has ended, which fails with its log."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
