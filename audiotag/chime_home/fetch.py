"""CHiME-Home onto the disk: downloaded, checked, unpacked; safe to run twice and to kill at any instant.

The archive lies beside the folder as `<folder>.tar.gz.part` until all is done: that is what a broken download goes on
from. It is read once: what is on disk first, then what the server sends; what is needed of it is unpacked meanwhile
into a folder aside, which takes its name when the archive's checksum and the lists agree.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

import filelock
import soundfile

from audiotag.audio.read import AudioError, audio_seconds
from audiotag.chime_home.download import BLOCK, Changed, Download
from audiotag.chime_home.unpack import ArchiveError, Unpacked, unpack
from audiotag.corpus.layouts import chime_home
from audiotag.corpus.tables import CorpusError

ADDRESS = "https://archive.org/download/chime-home/chime_home.tar.gz"
SIZE = 4_162_513_717  # bytes
MD5 = "9ce9d584e229b465b3aa08db2d7fee67"
MONO, STEREO = ".16kHz.wav", ".48kHz.wav"
FORMATS = {MONO: (16_000, 1), STEREO: (48_000, 2)}  # Hz, channels
UNPACKED_BYTES = {False: 900 << 20, True: 6 << 30}  # with stereo or without, with room to spare
RESTARTS = 3  # of a download whose file has changed at the server

Report = Callable[[int, int | None], None]  # (bytes read, bytes in all)


class FetchError(ValueError):
    """CHiME-Home cannot be had, in one line: what is wrong and what to do."""


def fetch(
    target: Path,
    source: str = ADDRESS,
    *,
    stereo: bool = False,
    keep: bool = False,
    md5: str = MD5,
    report: Report | None = None,
    wait: float = 1.0,
) -> bool:
    """Brings CHiME-Home to a folder; False if it was complete there already.

    Args:
        target: The folder that is to hold the lists and `chunks/`; may exist, complete or not.
        source: An address, or the path of an archive on this machine.
        stereo: Also the stereo recordings at 48 kHz.
        keep: Leave a downloaded archive beside the folder.
        md5: What the archive's checksum must be.
        wait: Seconds before a broken connection is tried again.

    Raises:
        FetchError, DownloadError: in one line, when it cannot be had; what has come stays for the next try.
    """
    target = Path(os.path.abspath(target))
    _require_own_place(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(_beside(target, ".lock"), timeout=0):
            if target.exists() and not problems_of(target, stereo):
                if not keep:  # a process that was killed at its very end has left it
                    Download(ADDRESS, _part(target)).forget()
                shutil.rmtree(_beside(target, ".unpacking"), ignore_errors=True)
                return False
            _fetch(target, source, stereo, keep, md5, report, wait)
            return True
    except filelock.Timeout as error:
        raise FetchError(f"Another process is fetching `{target}`: wait for it.") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FetchError(
            f"The folder `{target}` cannot be written ({reason}): free space or permit it, and run the same command "
            "again, it goes on from there."
        ) from error


def _require_own_place(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()) and not any((target / name).exists() for name in chime_home.LISTS):
        raise FetchError(f"The folder `{target}` holds something else: name one that does not exist yet.")
    if target.exists() and not target.is_dir():
        raise FetchError(f"`{target}` is a file: name a folder that does not exist yet.")


def _fetch(target: Path, source: str, stereo: bool, keep: bool, md5: str, report: Report | None, wait: float) -> None:
    aside = _beside(target, ".unpacking")
    download = None
    if "://" in source:
        part = _part(target)
        download = Download(source, part, SIZE if md5 == MD5 else None, wait, report)
        missing = SIZE - (part.stat().st_size if part.exists() else 0) if md5 == MD5 else 0
        _require_space(target, missing + UNPACKED_BYTES[stereo] if md5 == MD5 else 0)
    try:
        _unpack_checked(download or Path(source), aside, stereo, md5, report)
        problems = problems_of(aside, stereo)
        if problems:
            more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
            raise FetchError(f"The archive {source} is not all of CHiME-Home: {problems[0]}{more}.")
        _publish(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if download and keep:
        os.replace(download.part, target.with_name(f"{target.name}.tar.gz"))
    if download:
        download.forget()


def _unpack_checked(source: Download | Path, aside: Path, stereo: bool, md5: str, report: Report | None) -> None:
    """Unpacks into an empty folder aside, and holds the checksum against the one that is known."""
    wanted = partial(is_wanted, stereo=stereo)
    for _ in range(RESTARTS):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            found = unpack(source.pieces() if isinstance(source, Download) else _read(source, report), aside, wanted)
            break
        except Changed:
            assert isinstance(source, Download)
            source.forget()
        except ArchiveError as error:
            raise FetchError(_refused(source, str(error))) from error
    else:
        raise FetchError(_refused(source, "it keeps changing at the server"))
    if found.md5 != md5:
        raise FetchError(_refused(source, f"its MD5 is {found.md5}, but must be {md5}"))
    _flatten(aside, found)


def _refused(source: Download | Path, why: str) -> str:
    """The message about bytes that are no good; those of a download are taken away: none of them can be trusted."""
    if isinstance(source, Download):
        source.forget()
        return f"The archive of {source.address} is refused: {why}. It is deleted: run again, or give another --from."
    return f"The archive `{source}` is refused: {why}. Give another with --from."


def _read(path: Path, report: Report | None) -> Iterator[bytes]:
    try:
        total = path.stat().st_size
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                if report:
                    report(file.tell(), total)
                yield block
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FetchError(f"The archive `{path}` cannot be read ({reason}): give another with --from.") from error


def is_wanted(name: str, stereo: bool) -> bool:
    """Whether a file of the archive is needed: the lists, each chunk's table and its recording."""
    place = PurePosixPath(name)
    if len(place.parts) == 2:
        return place.parts[0] == "chime_home" and place.name in chime_home.LISTS
    suffixes = (".csv", MONO, STEREO) if stereo else (".csv", MONO)
    hidden = place.name.startswith(".")  # what macOS adds to archives
    return place.parts[:-1] == ("chime_home", "chunks") and place.name.endswith(suffixes) and not hidden


def _flatten(aside: Path, found: Unpacked) -> None:
    """The archive's own top folder out of the way."""
    if not (aside / "chime_home").is_dir():
        raise FetchError(f"The archive holds no chime_home/ ({found.size} bytes, {found.files} files of use).")
    for path in (aside / "chime_home").iterdir():
        os.replace(path, aside / path.name)
    (aside / "chime_home").rmdir()


def problems_of(folder: Path, stereo: bool) -> list[str]:
    """What the lists of a folder name and the folder lacks, a line each; every recording's header is read."""
    try:
        chime_home.read_lists(folder)
        names = chime_home.read_names(folder)
    except CorpusError as error:
        return list(error.problems)
    suffixes = (MONO, STEREO) if stereo else (MONO,)
    paths = [folder / "chunks" / f"{name}.csv" for name in names]
    recordings = [folder / "chunks" / f"{name}{suffix}" for name in names for suffix in suffixes]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_recording_problem, recordings))
    problems = [f"`{path}` is missing" for path in paths if not path.is_file()]
    return problems + [problem for problem in found if problem]


def _recording_problem(path: Path) -> str | None:
    rate, channels = FORMATS["." + ".".join(path.name.rsplit(".", 2)[1:])]
    try:
        audio_seconds(path)
        info = soundfile.info(str(path))
    except AudioError as error:
        return f"`{path}`: {error.reason}"
    if (info.samplerate, info.channels) != (rate, channels):
        return f"`{path}` has {info.channels} channels at {info.samplerate} Hz, not {channels} at {rate} Hz"
    return None


def _publish(aside: Path, target: Path) -> None:
    """The folder takes its name; into one that is there already, its files go one by one, the lists last."""
    if not target.exists():
        os.replace(aside, target)
        return
    (target / "chunks").mkdir(exist_ok=True)
    for path in sorted((aside / "chunks").iterdir()):
        os.replace(path, target / "chunks" / path.name)
    for path in sorted(aside.glob("*.csv")):
        os.replace(path, target / path.name)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}{suffix}")


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.tar.gz.part")


def _require_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise FetchError(
            f"The disk of `{target.parent}` has {free / 1e9:.1f} GB free, but {needed / 1e9:.1f} GB are needed: free "
            "space, or name a folder on another disk."
        )
