"""Helper: what tests of whole studies wait for and read; benchmarks/place.py starts them."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from place import Place


def wait_for(process: subprocess.Popen[bytes], study: Path, pattern: str, count: int = 1) -> None:
    """Wait until a study in progress has so many files of a pattern."""
    while process.poll() is None and len(list(study.glob(pattern))) < count:
        time.sleep(0.02)
    assert process.poll() is None, "the study ended before it had come so far"


def finish(process: subprocess.Popen[bytes], place: Place, code: int = 0, seconds: float = 300) -> None:
    """Wait until a driver ends, which must be with this exit code."""
    assert process.wait(timeout=seconds) == code, place.output()


def read_results(place: Place, name: str) -> dict[str, Any]:
    return json.loads((place.study(name) / "results.json").read_text())
