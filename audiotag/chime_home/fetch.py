"""CHiME-Home onto the disk: downloaded, checked, unpacked; safe to run twice and to kill at any instant.

A download lies beside the folder as `<folder>.tar.gz.part` until all is done: a broken one goes on from there. When its
checksum is right, the files that are needed are unpacked into a hidden folder, which takes its name when they agree
with the lists.
"""

import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import filelock

from audiotag.audio.probe import audio_format
from audiotag.audio.read import AudioError
from audiotag.chime_home.download import BLOCK, FetchError, Report, download, require_address
from audiotag.corpus.errors import CorpusError, count
from audiotag.corpus.layouts.chime_home import LISTS, MONO, STEREO, read, read_names
from audiotag.files import reason_of

ADDRESS = "https://archive.org/download/chime-home/chime_home.tar.gz"
SIZE = 4_162_513_717  # bytes
MD5 = "9ce9d584e229b465b3aa08db2d7fee67"
FORMATS = {MONO: (16_000, 1), STEREO: (48_000, 2)}  # Hz, channels
UNPACKED_BYTES = {False: 900 << 20, True: 6 << 30}  # without stereo and with, rounded up


def fetch(
    target: Path,
    source: str = ADDRESS,
    *,
    stereo: bool = False,
    keep: bool = False,
    md5: str = MD5,
    report: Report = lambda *_: None,
    wait: float = 1.0,
) -> bool:
    """Bring CHiME-Home to a folder; False if it was complete there already.

    Args:
        target: The folder for the lists and `chunks/`; may exist, complete or not.
        source: An address, or the path of an archive on this machine.
        stereo: Also the stereo recordings at 48 kHz.
        keep: Leave a downloaded archive beside the folder.
        md5: The archive's checksum.
        report: Called with the progress.
        wait: Seconds before a broken connection is tried again.

    Raises:
        FetchError: If it cannot be fetched; the bytes that came stay for the next run, unless their checksum is wrong.
    """
    target = Path(os.path.abspath(target))
    _require_own_place(target)
    part, hidden = target.with_name(f"{target.name}.tar.gz.part"), target.with_name(f".{target.name}.unpacking")
    with _locked(target):
        shutil.rmtree(hidden, ignore_errors=True)
        complete = target.exists() and not problems_of(target, stereo)
        if not complete:
            if "://" in source:
                _download(source, part, target, stereo, md5, report, wait)
            elif (found := _md5_of(Path(source))) != md5:
                raise FetchError(f"The archive `{source}` is refused: its MD5 is {found}, but must be {md5}.")
            try:
                unpack(part if "://" in source else Path(source), hidden, stereo, report)
                if problems := problems_of(hidden, stereo):
                    more = f" (and {count(len(problems) - 1, 'more problem')})" if len(problems) > 1 else ""
                    raise FetchError(f"The archive {source} is not all of CHiME-Home: {problems[0]}{more}.")
                _publish(hidden, target)
            finally:
                shutil.rmtree(hidden, ignore_errors=True)
            if keep and part.exists():
                os.replace(part, target.with_name(f"{target.name}.tar.gz"))
        if not keep:
            part.unlink(missing_ok=True)
        return not complete


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(f".{target.name}.lock"), timeout=0):
            yield
    except filelock.Timeout as error:
        raise FetchError(f"Another process is fetching `{target}`: wait for it.") from error
    except OSError as error:
        raise FetchError(
            f"The folder `{target}` cannot be written ({reason_of(error)}): free space or permit it, and run the same "
            "command again, it goes on from there."
        ) from error


def _require_own_place(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()) and not any((target / name).exists() for name in LISTS):
        raise FetchError(f"The folder `{target}` holds something else: name one that does not exist yet.")
    if target.exists() and not target.is_dir():
        raise FetchError(f"`{target}` is a file: name a folder that does not exist yet.")


def _download(address: str, part: Path, target: Path, stereo: bool, md5: str, report: Report, wait: float) -> None:
    """Download the archive and check it; bytes of an earlier run that turn out to be another file's are replaced."""
    require_address(address)
    size = SIZE if md5 == MD5 else None
    resumed = part.exists()
    if size:
        _require_space(target, size - (part.stat().st_size if resumed else 0) + UNPACKED_BYTES[stereo])
    download(address, part, size, report, wait)
    found = _md5_of(part)
    if found != md5 and resumed:
        part.unlink()
        download(address, part, size, report, wait)
        found = _md5_of(part)
    if found != md5:
        part.unlink()
        raise FetchError(
            f"The archive of {address} is refused: its MD5 is {found}, but must be {md5}. It is deleted: run again, or "
            "give another --from."
        )


def _md5_of(archive: Path) -> str:
    try:
        with archive.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise FetchError(
            f"The archive `{archive}` cannot be read ({reason_of(error)}): give another with --from."
        ) from error


def unpack(archive: Path, folder: Path, stereo: bool, report: Report) -> None:
    """Unpack the files that are needed, without the archive's own top folder; nothing else is ever written.

    Raises:
        FetchError: For a damaged archive, or a link, a device or a second file under the name of such a file.
    """
    (folder / "chunks").mkdir(parents=True)
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz", bufsize=BLOCK) as members:
            for member in members:
                if is_wanted(member.name, stereo):
                    if not member.isreg():
                        raise tarfile.TarError(f"{member.name!r} is a link or a device")
                    source = members.extractfile(member)
                    assert source is not None, "a regular file has content"
                    with folder.joinpath(*PurePosixPath(member.name).parts[1:]).open("xb") as target:
                        shutil.copyfileobj(source, target, BLOCK)
                    report("unpacked", file.tell(), archive.stat().st_size)
    except (tarfile.TarError, EOFError, zlib.error, FileExistsError, ValueError) as error:
        raise FetchError(f"The archive `{archive}` is no whole .tar.gz archive ({error}).") from error


def is_wanted(name: str, stereo: bool) -> bool:
    """Return whether a file of the archive is needed: the lists, each chunk's table and its recording."""
    *folders, file = PurePosixPath(name).parts or ("",)
    if folders == ["chime_home"]:
        return file in LISTS
    suffixes = (".csv", MONO, STEREO) if stereo else (".csv", MONO)
    plain = not file.startswith(".") and "\\" not in file  # macOS adds ._*
    return folders == ["chime_home", "chunks"] and file.endswith(suffixes) and plain


def problems_of(folder: Path, stereo: bool) -> list[str]:
    """List what a folder lacks according to its lists, one per line; every recording's header is read."""
    absent = [f"`{folder / name}` is missing" for name in LISTS if not (folder / name).is_file()]
    if absent:  # without the evaluation list a corpus can be read, but is not all of it
        return absent
    try:
        listing, names = read(folder), read_names(folder)
    except CorpusError as error:
        return list(error.problems)
    if listing.problems:
        return list(listing.problems)
    ends = (MONO, STEREO) if stereo else (MONO,)
    recordings = [(folder / "chunks" / f"{name}{end}", FORMATS[end]) for name in names for end in ends]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_recording_problem, recordings))
    missing = [f"`{path}` is missing" for name in names if not (path := folder / "chunks" / f"{name}.csv").is_file()]
    return [*missing, *filter(None, found)]


def _recording_problem(recording: tuple[Path, tuple[int, int]]) -> str | None:
    path, wanted = recording
    try:
        rate, channels = audio_format(path)
    except AudioError as error:
        return f"`{path}`: {error.reason}"
    if (rate, channels) != wanted:
        return f"`{path}` has {count(channels, 'channel')} at {rate} Hz, not {wanted[1]} at {wanted[0]} Hz"
    return None


def _publish(folder: Path, target: Path) -> None:
    """Give the folder its name; if it exists, move the files there one by one, the lists last."""
    if not target.exists():
        os.replace(folder, target)
        return
    (target / "chunks").mkdir(exist_ok=True)
    for path in [*sorted((folder / "chunks").iterdir()), *sorted(folder.glob("*.csv"))]:
        os.replace(path, target / path.relative_to(folder))


def _require_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise FetchError(
            f"The disk of `{target.parent}` has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed: free "
            "space, or name a folder on another disk."
        )
