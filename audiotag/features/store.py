"""Features on disk, a few clips per file: each named by its recording's content, in a folder per front end.

A clip that is added or changed is computed alone and comes in a file of its own; clips that are gone do no harm. Files
are whole or absent, and each clip carries a checksum: studies may build at once, and a damaged clip is computed again.
(One file per clip takes 1.2 to 1.5 times as long to build on ext4. And clusters count files.)
"""

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.corpus.audio_scan import Progress
from audiotag.files import reason_of, size_of, write_whole

CLIPS_PER_TASK = 16  # clips that a thread takes at a time: 4 MB of audio, often enough for a live progress bar
DIGEST_DIGITS = 32  # hexadecimal, of a recording's hash

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
        (N, *shape) float32, read-only.

    Raises:
        CacheError: If the folder cannot be written.
    """
    folder = _settings_folder(cache, settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache) as file:  # on disk and not in memory, and gone with the last reader
            features = np.memmap(file, dtype=np.float32, mode="w+", shape=(len(digests), *shape))
        _fill(features, folder, [digest.encode() for digest in digests], compute, progress)
    except OSError as error:
        raise CacheError(
            f"The feature cache `{cache}` cannot be written ({reason_of(error)}): free space, or name another with "
            "--cache."
        ) from error
    features.flags.writeable = False
    return features


def is_cached(cache: Path, settings: dict[str, Any], digests: Sequence[str], shape: tuple[int, ...]) -> bool:
    """Return whether every clip is there; it may be damaged."""
    try:
        return {digest.encode() for digest in digests} <= _index(_settings_folder(cache, settings), shape).keys()
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


def _fill(features: np.ndarray, folder: Path, names: list[bytes], compute: Compute, progress: Progress | None) -> None:
    index = _index(folder, features.shape[1:])

    def load(clips: Sequence[int]) -> int:
        missing = [clip for clip in clips if not _read(index.get(names[clip], []), names[clip], features[clip])]
        if missing:
            values = features[missing] = compute(missing)
            _write(folder, [names[clip] for clip in missing], values)
        return len(clips)

    tasks = [range(start, min(start + CLIPS_PER_TASK, len(names))) for start in range(0, len(names), CLIPS_PER_TASK)]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        done = 0
        for clips in pool.map(load, tasks):
            done += clips
            if progress:
                progress(done, len(names))
    finally:
        pool.shutdown(cancel_futures=True)


def _read(locations: list[tuple[Path, int]], name: bytes, values: np.ndarray) -> bool:
    """Read a clip's features into `values`; False where they are missing or damaged."""
    for path, offset in locations:
        with suppress(FileNotFoundError):  # a cache may be deleted at any time
            (record,) = np.fromfile(path, _clip_dtype(values.shape), 1, offset=offset)
            if _checksum(name, record["values"]) == record["checksum"]:
                values[:] = record["values"]
                return True
    return False


def _write(folder: Path, names: list[bytes], values: np.ndarray) -> None:
    """Keep those clips of (n, *shape) whose values are finite."""
    kept = {name: row for row, name in enumerate(names) if np.isfinite(values[row]).all()}
    records = np.empty(len(kept), _clip_dtype(values.shape[1:]))
    for record, (name, row) in zip(records, kept.items(), strict=True):
        record["name"], record["values"] = name, values[row]
        record["checksum"] = _checksum(name, values[row])
    if kept:
        path = folder / f"{hashlib.sha256(b''.join(kept)).hexdigest()[:DIGEST_DIGITS]}.clips"
        write_whole(path, lambda file: file.write(records.data))


def _checksum(name: bytes, values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values, "<f4").data, zlib.crc32(name))  # against damage, not against malice
