"""Recordings in a folder."""

from pathlib import Path

from audiotag.audio.read import AUDIO_SUFFIXES


def find_audio(folder: Path) -> list[Path]:
    """List the files with an audio suffix in and below a folder, sorted.

    Files and folders whose names begin with a dot are passed over; macOS leaves such files (`._a.wav`) on other disks.
    """
    named = [path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]
    return sorted(path for path in named if not any(part.startswith(".") for part in path.relative_to(folder).parts))
