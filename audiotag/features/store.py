"""Features on disk, some clips a file: each named by its recording's content, in a folder for how they are computed.

A clip that is added or changed is computed alone and comes in a file of its own; clips that are gone do no harm. Files
are written once and get their names when they are whole, and each clip carries a checksum: studies that build at once
do no harm to each other, and a damaged clip is computed again. (One file a clip took 1.1 times as long in all on
ext4, 1.5 times where many files had lately been deleted. And clusters count files.)
"""

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

CLIPS_A_TASK = 16  # clips a thread takes at a time: 4 MB of audio, often enough for a live progress bar
NAME = 32  # hexadecimal digits of a recording's hash

Progress = Callable[[int, int], None]  # (clips done, clips in all)


class CacheError(ValueError):
    """A cache folder that cannot be used, in one line."""


def cached_features(
    cache: Path,
    settings: dict[str, Any],
    fingerprints: Sequence[str],
    shape: tuple[int, ...],
    compute: Callable[[Sequence[int]], np.ndarray],
    progress: Progress | None = None,
) -> np.ndarray:
    """Features of N clips, (N, *shape) float32, read-only: from the cache, and computed where it lacks them.

    Args:
        cache: The folder; made if need be.
        settings: Everything but the recordings that the features depend on, as JSON holds it.
        fingerprints: (N,) hashes of the recordings, 32 hexadecimal digits each.
        shape: Of a clip's features.
        compute: Takes positions of clips and gives their features; those that are not finite are not kept. It is
            called by several threads.
        progress: Called with (clips done, clips in all).

    Raises:
        CacheError: if the folder cannot be written.
    """
    folder = settings_folder(cache, settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache) as file:  # on disk and not in memory, and gone with the last reader
            features = np.memmap(file, dtype=np.float32, mode="w+", shape=(len(fingerprints), *shape))
        _fill(features, folder, [name.encode() for name in fingerprints], compute, progress)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CacheError(
            f"The feature cache `{cache}` cannot be written ({reason}): free space, or name another with --cache."
        ) from error
    features.flags.writeable = False
    return features


def is_cached(cache: Path, settings: dict[str, Any], fingerprints: Sequence[str], shape: tuple[int, ...]) -> bool:
    """Whether every clip is there; it may be damaged."""
    try:
        return {name.encode() for name in fingerprints} <= _index(settings_folder(cache, settings), shape).keys()
    except OSError:
        return False


def settings_folder(cache: Path, settings: dict[str, Any]) -> Path:
    """The folder of all features that are computed in one way."""
    return cache / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def cache_bytes(cache: Path) -> int:
    """How much disk a cache takes."""
    return sum(path.stat().st_size for path in cache.rglob("*.clips"))  # others' half-written files come and go


def _record(shape: tuple[int, ...]) -> np.dtype:
    """A clip in a file."""
    return np.dtype([("name", f"S{NAME}"), ("checksum", "<u4"), ("values", "<f4", shape)])


def _index(folder: Path, shape: tuple[int, ...]) -> dict[bytes, list[tuple[Path, int]]]:
    """Where each clip is said to be: files, and offsets in them (bytes)."""
    places: dict[bytes, list[tuple[Path, int]]] = {}
    size = _record(shape).itemsize
    for path in folder.glob("*.clips"):
        with path.open("rb", buffering=0) as file:
            for offset in range(0, path.stat().st_size - size + 1, size):
                file.seek(offset)
                places.setdefault(file.read(NAME), []).append((path, offset))
    return places


def _fill(
    features: np.ndarray,
    folder: Path,
    names: list[bytes],
    compute: Callable[[Sequence[int]], np.ndarray],
    progress: Progress | None,
) -> None:
    index = _index(folder, features.shape[1:])

    def take(clips: Sequence[int]) -> int:
        missing = [clip for clip in clips if not _read(index.get(names[clip], []), names[clip], features[clip])]
        if missing:
            values = features[missing] = compute(missing)
            _write(folder, [names[clip] for clip in missing], values)
        return len(clips)

    tasks = [range(start, min(start + CLIPS_A_TASK, len(names))) for start in range(0, len(names), CLIPS_A_TASK)]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        done = 0
        for clips in pool.map(take, tasks):
            done += clips
            if progress:
                progress(done, len(names))
    finally:
        pool.shutdown(cancel_futures=True)


def _read(places: list[tuple[Path, int]], name: bytes, values: np.ndarray) -> bool:
    """Reads a clip's features into `values`; False where they are missing or damaged."""
    kind = _record(values.shape)
    for path, offset in places:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(kind.itemsize)
        if len(data) == kind.itemsize:
            record = np.frombuffer(data, kind)[0]
            if _checksum(name, record["values"]) == record["checksum"]:
                values[:] = record["values"]
                return True
    return False


def _write(folder: Path, names: list[bytes], values: np.ndarray) -> None:
    """Keeps those clips of (n, *shape) whose values are finite."""
    kept = {name: row for row, name in enumerate(names) if np.isfinite(values[row]).all()}
    records = np.empty(len(kept), _record(values.shape[1:]))
    for record, (name, row) in zip(records, kept.items(), strict=True):
        record["name"], record["values"] = name, values[row]
        record["checksum"] = _checksum(name, values[row])
    if kept:
        with _aside(folder / f"{hashlib.sha256(b''.join(kept)).hexdigest()[:NAME]}.clips") as file:
            file.write(records.data)


def _checksum(name: bytes, values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values, "<f4").data, zlib.crc32(name))  # against damage, not against malice


@contextmanager
def _aside(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file in the same folder that takes the name `path` when all went well, and is gone when not."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
