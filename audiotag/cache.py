"""Features on disk, one file a clip: named by the content of the recording and by how the features are computed.

A clip that is added, changed or removed touches its own file only. Each file carries a checksum and gets its name when
it is whole: studies that build at once do no harm to each other, and a damaged file is computed again.
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
CHECKSUM = 4  # bytes at the end of a file

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
        fingerprints: (N,) hexadecimal hashes of the recordings.
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
        paths = [_path(folder, name) for name in fingerprints]
        for parent in {path.parent for path in paths}:
            parent.mkdir(exist_ok=True)
        _fill(features, paths, compute, progress)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CacheError(
            f"The feature cache `{cache}` cannot be written ({reason}): free space, or name another with --cache."
        ) from error
    features.flags.writeable = False
    return features


def is_cached(cache: Path, settings: dict[str, Any], fingerprints: Sequence[str]) -> bool:
    """Whether there is a file of each clip; it may be damaged."""
    folder = settings_folder(cache, settings)
    return all(_path(folder, name).is_file() for name in fingerprints)


def settings_folder(cache: Path, settings: dict[str, Any]) -> Path:
    """The folder of all features that are computed in one way."""
    return cache / hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _path(folder: Path, name: str) -> Path:
    return folder / name[:2] / f"{name}.f32"


def cache_bytes(cache: Path) -> int:
    """How much disk a cache takes."""
    return sum(path.stat().st_size for path in cache.rglob("*.f32")) if cache.is_dir() else 0


def _fill(
    features: np.ndarray,
    paths: list[Path],
    compute: Callable[[Sequence[int]], np.ndarray],
    progress: Progress | None,
) -> None:
    def take(clips: Sequence[int]) -> int:
        missing = [clip for clip in clips if not _read(paths[clip], features[clip])]
        if missing:
            for clip, values in zip(missing, compute(missing), strict=True):
                features[clip] = values
                if np.isfinite(values).all():
                    _write(paths[clip], values)
        return len(clips)

    tasks = [range(start, min(start + CLIPS_A_TASK, len(paths))) for start in range(0, len(paths), CLIPS_A_TASK)]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        done = 0
        for clips in pool.map(take, tasks):
            done += clips
            if progress:
                progress(done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)


def _read(path: Path, values: np.ndarray) -> bool:
    """Reads a clip's features into `values`; False where they are missing or damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    content, checksum = data[:-CHECKSUM], data[-CHECKSUM:]
    if len(content) != values.nbytes or _checksum(content) != checksum:
        return False
    values[:] = np.frombuffer(content, dtype="<f4").reshape(values.shape)
    return True


def _write(path: Path, values: np.ndarray) -> None:
    content = np.ascontiguousarray(values, "<f4").data
    with _aside(path) as file:
        file.write(content)
        file.write(_checksum(content))


def _checksum(content: bytes | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM, "little")  # against damage, not against malice


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
