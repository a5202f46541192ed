"""CHiME-Home onto the disk: downloaded, checked, unpacked; safe to run twice and to kill at any instant.

A download lies beside the folder as `<folder>.tar.gz.part` until all is done: a broken one goes on from there. When its
checksum is right, the files that are needed are unpacked into a hidden folder, which takes its name when they agree
with the lists.
"""

import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import filelock

from audiotag.audio.probe import audio_format
from audiotag.audio.read import AudioError
from audiotag.chime_home.download import ADDRESS, BLOCK, MD5, SIZE, FetchError, Report, download, require_md5
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.layouts.chime_home import LISTS, MONO, STEREO, read, read_names
from audiotag.files import reason_of

UNPACKED = {False: 900 << 20, True: 6 << 30}  # bytes, without and with the stereo recordings, rounded up


def install(
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
        FetchError: If it cannot be installed; what was downloaded stays for the next run, unless its checksum is wrong.
    """
    target = Path(os.path.abspath(target))
    part, hidden = target.with_name(f"{target.name}.tar.gz.part"), target.with_name(f".{target.name}.unpacking")
    with _locked(target):
        shutil.rmtree(hidden, ignore_errors=True)  # of a process that was killed
        complete = target.exists() and not problems_of(target, stereo)
        if not complete:
            archive = Path(source)
            remote = re.match("https?://[^/]", source) is not None
            if md5 == MD5:
                left = SIZE - (part.stat().st_size if part.exists() else 0)
                _require_space(target.parent, UNPACKED[stereo] + (left if remote else 0))
            if remote:
                download(source, archive := part, md5, report, wait)
            else:
                require_md5(archive, md5)
            _move_into_place(archive, hidden, target, stereo, report)
            if keep and part.exists():
                os.replace(part, target.with_name(f"{target.name}.tar.gz"))
        if not keep:
            part.unlink(missing_ok=True)
        return not complete


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keep other processes from the folder, which must be ours; turn errors of the disk into FetchErrors."""
    try:
        if target.exists() and any(target.iterdir()) and not any((target / name).exists() for name in LISTS):
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


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"The disk of `{folder}` has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed: free space, "
            "or name a folder on another disk."
        )


def _move_into_place(archive: Path, hidden: Path, target: Path, stereo: bool, report: Report) -> None:
    """Unpack an archive into a hidden folder, check it, and give it its name; into a folder that exists, move it."""
    folder = hidden / "chime_home"
    try:
        unpack(archive, hidden, stereo, report)
        if problems := problems_of(folder, stereo):
            raise FetchError(f"The archive `{archive}` is not all of CHiME-Home: {problems[0]}.")
        if not target.exists():
            os.replace(folder, target)
            return
        (target / "chunks").mkdir(exist_ok=True)
        for path in [*(folder / "chunks").iterdir(), *folder.glob("*.csv")]:  # the lists last
            os.replace(path, target / path.relative_to(folder))
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def unpack(archive: Path, folder: Path, stereo: bool, report: Report) -> None:
    """Unpack the files that are needed; nothing else is ever written.

    Raises:
        FetchError: For a damaged archive, or a link or a device under the name of such a file.
    """
    size = archive.stat().st_size

    def wanted(members: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        for member in members:
            if is_wanted(member.name, stereo):
                if not member.isreg():
                    raise tarfile.TarError(f"{member.name!r} is a link or a device")
                yield member
                report("unpacked", file.tell(), size)

    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz", bufsize=BLOCK) as members:
            members.extractall(folder, wanted(members), filter="data")
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise FetchError(f"The archive `{archive}` is not a complete .tar.gz archive ({error}).") from error


def is_wanted(name: str, stereo: bool) -> bool:
    """Return whether a file of the archive is needed: the lists, each chunk's table and its recording."""
    folder, _, file = name.rpartition("/")
    if folder == "chime_home":
        return file in LISTS
    suffixes = (".csv", MONO, STEREO) if stereo else (".csv", MONO)
    return folder == "chime_home/chunks" and file.endswith(suffixes) and not file.startswith(".")  # macOS adds ._*


def problems_of(folder: Path, stereo: bool) -> list[str]:
    """List what a folder lacks according to its lists, one per line; every recording's header is read."""
    absent = [f"`{folder / name}` is missing" for name in LISTS if not (folder / name).is_file()]
    if absent:  # without the evaluation list a corpus can be read, but is not all of it
        return absent
    try:
        listing, names = read(folder), read_names(folder)
    except CorpusError as error:
        return list(error.problems)
    tables = [folder / "chunks" / f"{name}.csv" for name in names]
    recordings = [table.with_name(f"{table.stem}{end}") for table in tables for end in (MONO, STEREO)[: 1 + stereo]]
    with ThreadPoolExecutor() as pool:
        wrong = [problem for problem in pool.map(_recording_problem, recordings) if problem]
    return [*listing.problems, *(f"`{table}` is missing" for table in tables if not table.is_file()), *wrong]


def _recording_problem(path: Path) -> str | None:
    try:
        rate, channels = audio_format(path)
    except AudioError as error:
        return f"`{path}`: {error.reason}"
    wanted = (16_000, 1) if path.name.endswith(MONO) else (48_000, 2)
    return None if (rate, channels) == wanted else f"`{path}` has {channels} channels at {rate} Hz"
