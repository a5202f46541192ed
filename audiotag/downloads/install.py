"""A published data set in a folder: downloaded, checked, unpacked; safe to run twice and to kill at any instant.

Downloads lie beside the folder as `.part` until all is done: broken ones go on from there. When all checksums are
right, the files that are needed are unpacked into a hidden folder, which takes the folder's name when nothing is
missing.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import filelock

from audiotag.downloads.archives import Archive, gather, unpack
from audiotag.downloads.published import Published, RemoteFile
from audiotag.downloads.transfer import FetchError, Report, download, require_checksum
from audiotag.files import reason_of

Check = Callable[[Path], list[str]]  # what a folder lacks, one per line


def install(
    target: Path,
    published: Published,
    check: Check,
    *,
    source: str | None = None,
    keep: bool = False,
    report: Report = lambda *_: None,
    wait: float = 1.0,
) -> bool:
    """Bring a data set to a folder; False if it was complete there already.

    Args:
        target: The folder; may exist, complete or not.
        published: The data set.
        check: Tells what a folder lacks of it, one per line.
        source: Where its files are, if not at their addresses: another address, that of a folder if there are several
            files, or the path on this machine of a folder, or of the only file.
        keep: Leave downloaded files beside the folder.
        report: Called with the progress.
        wait: Seconds before a broken connection is tried again.

    Raises:
        FetchError: If it cannot be installed; what was downloaded stays for the next run, unless its checksum is wrong.
    """
    target = Path(os.path.abspath(target))
    hidden, parts = target.with_name(f".{target.name}.unpacking"), _parts(target, published)
    with _locked(target, published, hidden):
        complete = target.exists() and not check(target)
        if not complete:
            paths = _bring(published, parts, target.parent, source, report, wait)
            _clear(hidden)
            _unpack_all(published, gather(paths), hidden, check, report)
            _move(_only_folder(hidden), target, published.tables)
        shutil.rmtree(hidden, ignore_errors=True)
        _tidy(parts, keep=keep, done=not complete)
        return not complete


def _parts(target: Path, published: Published) -> dict[str, Path]:
    """Where each file is downloaded to: beside the folder, several ones in a folder of their own."""
    if len(published.files) > 1:
        beside = target.with_name(f"{target.name}.archives")
        return {file.name: beside / f"{file.name}.part" for file in published.files}
    (file,) = published.files
    suffix = ".tar.gz" if file.name.endswith(".tar.gz") else Path(file.name).suffix
    return {file.name: target.with_name(f"{target.name}{suffix}.part")}


@contextmanager
def _locked(target: Path, published: Published, hidden: Path) -> Iterator[None]:
    """Keep other processes from the folder, which must be ours; turn errors of the disk into FetchErrors."""
    try:
        known = hidden.exists() or any((target / name).exists() for name in published.tables)
        if not known and target.exists() and any(target.iterdir()):
            raise FetchError(f"The folder `{target}` holds something else: name one that does not exist yet.")
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.lock")
        lock.touch()  # where that is impossible FileLock only waits
        with filelock.FileLock(lock, timeout=0):
            yield
    except filelock.Timeout as error:
        raise FetchError(f"Another process is fetching `{target}`: wait for it.") from error
    except OSError as error:
        raise FetchError(
            f"The folder `{target}` cannot be written ({reason_of(error)}): free space or permit it, and run the same "
            "command again, it goes on from there."
        ) from error


def _clear(hidden: Path) -> None:
    """Empty the hidden folder, which says that what lies in the target came from here."""
    hidden.mkdir(exist_ok=True)
    for path in hidden.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _bring(
    published: Published, parts: dict[str, Path], disk: Path, source: str | None, report: Report, wait: float
) -> dict[str, Path]:
    """Download the files, unless they are on this machine, and check them; where each of them is, by name."""
    remote = source is None or re.match("https?://[^/]", source) is not None
    files, paths = published.files, parts
    if remote:
        files = tuple(replace(file, address=_address(file, files, source)) for file in files)
        there = sum(part.stat().st_size for part in parts.values() if part.exists())
        _require_space(disk, (published.unpacked or 0) + max(0, (published.size or 0) - there))
    else:
        paths = _local(files, Path(source or ""))
        _require_space(disk, published.unpacked or 0)
    for number, (name, file) in enumerate(zip(parts, files, strict=True), start=1):
        told = _numbering(report, number, len(files))
        if remote:
            paths[name].parent.mkdir(exist_ok=True)
            download(file, paths[name], told, wait)
        else:
            require_checksum(paths[name], file.checksum, told)
    return paths


def _address(file: RemoteFile, files: Sequence[RemoteFile], source: str | None) -> str:
    if source is None:
        return file.address
    return source if len(files) == 1 and not source.endswith("/") else f"{source.rstrip('/')}/{file.name}"


def _local(files: Sequence[RemoteFile], source: Path) -> dict[str, Path]:
    if source.is_dir():
        return {file.name: source / file.name for file in files}
    if len(files) > 1:
        raise FetchError(f"`{source}` is no folder: give the one that holds all {len(files)} files with --from.")
    return {files[0].name: source}


def _numbering(report: Report, number: int, of: int) -> Report:
    name = f" ({number} of {of})" if of > 1 else ""
    return lambda step, done, total: report(f"{step}{name}", done, total)


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"The disk of `{folder}` has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed: free space, "
            "or name a folder on another disk."
        )


def _unpack_all(published: Published, archives: Sequence[Archive], hidden: Path, check: Check, report: Report) -> None:
    """Unpack archives into the hidden folder, and check what came of it; without success nothing of it stays."""
    try:
        for number, archive in enumerate(archives, start=1):
            unpack(archive, hidden, published.place, _numbering(report, number, len(archives)))
        if problems := check(_only_folder(hidden)):
            what = f"The archive `{archives[0].path}` is" if len(archives) == 1 else "The archives are"
            raise FetchError(f"{what} not all of {published.title}: {problems[0]}.")
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def _only_folder(hidden: Path) -> Path:
    """The folder that an archive packed everything in, or else the one that it was unpacked into."""
    paths = list(hidden.iterdir())
    return paths[0] if len(paths) == 1 and paths[0].is_dir() else hidden


def _move(folder: Path, target: Path, tables: Sequence[str]) -> None:
    """Give a folder its name; if there is one of that name, move its files, the tables last."""
    if not target.exists():
        os.replace(folder, target)
        return
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    for name in sorted(names, key=lambda name: name.as_posix() in tables):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / name, target / name)


def _tidy(parts: dict[str, Path], *, keep: bool, done: bool) -> None:
    """Delete what was downloaded, or keep it under its own name."""
    for part in parts.values():
        if not keep:
            part.unlink(missing_ok=True)
        elif done and part.exists():
            os.replace(part, part.with_suffix(""))
    folders = {part.parent for part in parts.values()} if len(parts) > 1 else set()
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
