"""Recordings in a folder."""

from pathlib import Path

from audiotag.audio.read import AUDIO_SUFFIXES


def find_audio(folder: Path) -> list[Path]:
    """List the files with an audio suffix in and below a folder, sorted.

    Files and folders whose names begin with a dot are passed over; macOS leaves such files (`._a.wav`) on other disks.
    """
    return [path for path in _find_files(folder) if path.suffix.lower() in AUDIO_SUFFIXES]


def find_others(folder: Path) -> list[Path]:
    """List the files that `find_audio` leaves out because of their suffix, sorted."""
    return [path for path in _find_files(folder) if path.suffix.lower() not in AUDIO_SUFFIXES]


def _find_files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
