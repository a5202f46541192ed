"""What is known of audio files from an earlier look: a file that the kernel says has not changed is not read again.

One file a corpus, below the feature cache. It may be deleted at any time, and where it cannot be read or written the
audio is looked at anew.
"""

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from audiotag.audio.read import AudioFacts

VERSION = 2  # raised when files are looked at in another way
SETTLED = 2.0  # s that a file must have been left alone: within a tick of its clock a second change has the same stamp

Stamp = tuple[int, ...]
Known = dict[str, tuple[Stamp, AudioFacts]]  # by path


def memory_path(cache: Path, root: str | Path) -> Path:
    """Where the audio of a corpus is remembered."""
    return cache / "audio" / f"{hashlib.sha256(os.fsencode(os.path.abspath(root))).hexdigest()[:16]}.json"


def stamp_of(path: Path) -> Stamp | None:
    """What changes when a file does: size, times of change (ns), and which file it is; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def is_settled(stamp: Stamp) -> bool:
    """Whether a file has been left alone for so long that any later change gives another stamp."""
    return time.time_ns() - max(stamp[1:3]) > SETTLED * 1e9


def recall(memory: Path | None) -> Known:
    """What an earlier look has kept; nothing where there is none, or one of another version."""
    if memory is None:
        return {}
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        content = json.loads(memory.read_bytes())
        if content["version"] == VERSION:
            return {path: (tuple(stamp), AudioFacts(**facts)) for path, (stamp, facts) in content["files"].items()}
    return {}


def remember(memory: Path, known: Known) -> None:
    """Replaces what is kept, whole or not at all; a folder that cannot be written is no matter."""
    files = {path: (stamp, asdict(facts)) for path, (stamp, facts) in known.items()}
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=memory.parent, prefix=".", suffix=".new")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump({"version": VERSION, "files": files}, file)
            os.replace(aside, memory)
        finally:
            Path(aside).unlink(missing_ok=True)
