"""Features on disk, memory-mapped: each clip is named by its recording's content, in a folder per front end.

Clips that are computed come in files of a few each, so that a load that is killed loses little. Once all clips of a
corpus are there they are gathered in one file, in the corpus's order, which is what trials map; files of which it has
every clip are deleted then, unless a study maps them. A clip that is added or changed is computed alone; clips that are
gone do no harm. Files are whole or absent, and each clip carries a checksum: studies may build at once, and a damaged
clip is computed again.
(One file per clip takes 1.2 to 1.5 times as long to build on ext4. And clusters count files.)
"""

import fcntl
import hashlib
import json
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from audiotag.corpus.audio_scan import Progress
from audiotag.files import reason_of, size_of, write_whole

CLIPS_PER_TASK = 16  # clips that a thread takes at a time: 4 MB of audio, often enough for a live progress bar
DIGEST_DIGITS = 32  # hexadecimal, of a recording's hash
GATHERING = ".gathering-"  # begins the names of files that are being gathered
LEFT_ALONE = 60.0  # s after which one that nobody has locked is deleted

Compute = Callable[[Sequence[int]], np.ndarray]  # indices of clips (n,) to their features (n, ...)


class CacheError(ValueError):
    """A cache folder that cannot be used, in one line."""


def cached_features(
    cache: Path,
    settings: dict[str, Any],
    digests: Sequence[str],
    shape: tuple[int, ...],
    compute: Compute,
    progress: Progress | None = None,
) -> np.ndarray:
    """Read the features of N clips from the cache, and compute and keep those that it lacks.

    Args:
        cache: The folder; made if need be.
        settings: Everything but the recordings that the features depend on, as JSON holds it.
        digests: (N,) hashes of the recordings, 32 hexadecimal digits each.
        shape: Of a clip's features.
        compute: Called by several threads; features that are not finite are not kept.
        progress: Called with (clips done, clips in all).

    Returns:
        (N, *shape) float32, read-only: a view of the mapped file, whose pages all processes share.

    Raises:
        CacheError: If the folder cannot be written.
    """
    folder, names = _settings_folder(cache, settings), [digest.encode() for digest in digests]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        features = _map_intact(folder, names, shape, progress)
        return _gather(folder, names, shape, compute, progress) if features is None else features
    except OSError as error:
        raise CacheError(
            f"The feature cache `{cache}` cannot be written ({reason_of(error)}): free space, or name another with "
            "--cache."
        ) from error


def is_cached(cache: Path, settings: dict[str, Any], digests: Sequence[str], shape: tuple[int, ...]) -> bool:
    """Return whether every clip is there; it may be damaged."""
    folder, names = _settings_folder(cache, settings), [digest.encode() for digest in digests]
    try:
        return _has_all(_file_of(folder, names), names, shape) or set(names) <= _index(folder, shape).keys()
    except OSError:
        return False


def _settings_folder(cache: Path, settings: dict[str, Any]) -> Path:
    return cache / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def cache_bytes(cache: Path) -> int:
    """Return how much disk a cache takes, files half written by other processes aside."""
    return sum(size_of(path) or 0 for path in cache.rglob("*.clips"))


def _clip_dtype(shape: tuple[int, ...]) -> np.dtype:
    return np.dtype([("name", f"S{DIGEST_DIGITS}"), ("checksum", "<u4"), ("values", "<f4", shape)])


def _index(folder: Path, shape: tuple[int, ...]) -> dict[bytes, list[tuple[Path, int]]]:
    """The files that hold each clip, according to its name there, and the offsets in them (bytes)."""
    locations: dict[bytes, list[tuple[Path, int]]] = {}
    size = _clip_dtype(shape).itemsize
    for path in folder.glob("*.clips"):
        with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:  # gone since the folder was listed
            for offset in range(0, os.fstat(file.fileno()).st_size - size + 1, size):
                file.seek(offset)
                locations.setdefault(file.read(DIGEST_DIGITS), []).append((path, offset))
    return locations


def _file_of(folder: Path, names: Sequence[bytes]) -> Path:
    """The file of clips in this order."""
    return folder / f"{hashlib.sha256(b''.join(names)).hexdigest()[:DIGEST_DIGITS]}.clips"


def _has_all(path: Path, names: list[bytes], shape: tuple[int, ...]) -> bool:
    return size_of(path) == len(names) * _clip_dtype(shape).itemsize > 0


def _map_intact(
    folder: Path, names: list[bytes], shape: tuple[int, ...], progress: Progress | None
) -> np.ndarray | None:
    """Map the file that holds all clips in their order; None where there is none, or a clip in it is damaged."""
    path = _file_of(folder, names)
    if not _has_all(path, names, shape):
        return None
    with suppress(FileNotFoundError):
        records = _map(path, shape)

        def check(clips: Sequence[int]) -> bool:
            return all(_is_intact(records[clip], names[clip]) for clip in clips)

        if all(_in_tasks(check, len(names), progress)):
            return _read_only(records["values"])
    return None


def _read_only(features: np.ndarray) -> np.ndarray:
    """The features as a plain array, which is read-only."""
    plain = np.asarray(features)
    plain.flags.writeable = False
    return plain


def _map(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Map a file of clips, read-only. While a map lives nobody deletes the file (`_delete_gathered`)."""
    with open(os.fspath(path), "rb") as file:  # NumPy keeps the name if it is a str
        _lock(file, fcntl.LOCK_SH)
        return np.memmap(file, _clip_dtype(shape), mode="r")


def _lock(file: IO[bytes], kind: int) -> None:
    """Lock a file as long as it is open or mapped: a map has a descriptor of its own."""
    with suppress(OSError):  # a disk that knows no locks, where nothing is deleted
        fcntl.flock(file, kind | fcntl.LOCK_NB)


def _gather(
    folder: Path, names: list[bytes], shape: tuple[int, ...], compute: Compute, progress: Progress | None
) -> np.ndarray:
    """Gather clips in a file, in their order, from the files that hold them; compute and keep those that none holds.

    Where features are not finite nothing is kept of the file, which goes with its last reader.
    """
    index, path = _index(folder, shape), _file_of(folder, names)
    _sweep(folder)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=GATHERING, suffix=".tmp")
    gathering = Path(name)
    try:
        with open(descriptor, "r+b") as file:
            _lock(file, fcntl.LOCK_EX)
            records = np.memmap(file, _clip_dtype(shape), mode="w+", shape=len(names))

            def fill(clips: Sequence[int]) -> bool:
                return _fill(records, clips, names, index, folder, compute)

            if not all(list(_in_tasks(fill, len(names), progress))):
                return _read_only(records["values"])
            os.replace(gathering, path)
            _lock(file, fcntl.LOCK_SH)
            features = _read_only(_map(path, shape)["values"])
    finally:
        gathering.unlink(missing_ok=True)
    _delete_gathered(path, set(names), shape)
    return features


def _fill(
    records: np.ndarray,
    clips: Sequence[int],
    names: list[bytes],
    index: dict[bytes, list[tuple[Path, int]]],
    folder: Path,
    compute: Compute,
) -> bool:
    """Fill in the records of some clips; False where the features of one are not finite."""
    missing = []
    for clip in clips:
        if (record := _read(index.get(names[clip], []), names[clip], records.dtype)) is None:
            missing.append(clip)
        else:
            records[clip] = record
    if missing:
        values = compute(missing)
        _write(folder, [names[clip] for clip in missing], values)
        for clip, own in zip(missing, values, strict=True):
            records[clip] = names[clip], _checksum(names[clip], own), own
        return bool(np.isfinite(values).all())
    return True


def _in_tasks(work: Callable[[Sequence[int]], bool], number: int, progress: Progress | None) -> Iterator[bool]:
    """Do some work on so many clips, a few at a time in several threads; give the outcomes."""
    tasks = [range(start, min(start + CLIPS_PER_TASK, number)) for start in range(0, number, CLIPS_PER_TASK)]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for clips, outcome in zip(tasks, pool.map(work, tasks), strict=True):
            if progress:
                progress(clips[-1] + 1, number)
            yield outcome
    finally:
        pool.shutdown(cancel_futures=True)


def _delete_gathered(path: Path, names: set[bytes], shape: tuple[int, ...]) -> None:
    """Delete the other files that have clips of `path` alone, but for those that somebody maps."""
    held: dict[Path, set[bytes]] = {}
    for name, locations in _index(path.parent, shape).items():
        for other, _ in locations:
            held.setdefault(other, set()).add(name)
    for other, own in held.items():
        if other != path and own <= names:
            _delete_unlocked(other)


def _sweep(folder: Path) -> None:
    """Delete what processes left that were killed while they gathered."""
    for path in folder.glob(f"{GATHERING}*"):
        if time.time() - path.stat().st_mtime > LEFT_ALONE:
            _delete_unlocked(path)


def _delete_unlocked(path: Path) -> None:
    """Delete a file, unless a process has it locked, or the disk knows no locks."""
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _read(locations: list[tuple[Path, int]], name: bytes, dtype: np.dtype) -> np.void | None:
    """Read a clip's record; None where it is missing or damaged."""
    for path, offset in locations:
        with suppress(FileNotFoundError):  # a cache may be deleted at any time
            (record,) = np.fromfile(path, dtype, 1, offset=offset)
            if _is_intact(record, name):
                found: np.void = record
                return found
    return None


def _is_intact(record: np.void, name: bytes) -> bool:
    return bool(record["name"] == name and _checksum(name, record["values"]) == record["checksum"])


def _write(folder: Path, names: list[bytes], values: np.ndarray) -> None:
    """Keep those clips of (n, *shape) whose values are finite."""
    kept = {name: row for row, name in enumerate(names) if np.isfinite(values[row]).all()}
    records = np.empty(len(kept), _clip_dtype(values.shape[1:]))
    for record, (name, row) in zip(records, kept.items(), strict=True):
        record["name"], record["values"] = name, values[row]
        record["checksum"] = _checksum(name, values[row])
    if kept:
        write_whole(_file_of(folder, list(kept)), lambda file: file.write(records.data))


def _checksum(name: bytes, values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values, "<f4").data, zlib.crc32(name))  # against damage, not against malice
