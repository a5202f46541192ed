"""One large file over HTTP, checked: the bytes that came stay on disk, and a broken connection goes on."""

import errno
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from audiotag.downloads.published import RemoteFile
from audiotag.files import reason_of

BLOCK = 1 << 18  # bytes
TIMEOUT = 30.0  # s without a byte
TRIES = 6  # connections in a row that bring nothing new
LONGEST_WAIT = 20.0  # s between connections
PASSING = (408, 425, 429)  # answers of 4xx that may change
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # errors of the disk, among those of the network
CHECKSUMS = {32: ("MD5", hashlib.md5), 64: ("SHA-256", hashlib.sha256)}  # by hexadecimal digits

Report = Callable[[str, int, int | None], None]  # (what is done with the bytes, bytes done, bytes in all)


class FetchError(ValueError):
    """A data set cannot be fetched, in one line: what is wrong and what to do."""


def download(file: RemoteFile, part: Path, report: Report, wait: float = 1.0) -> None:
    """Download a file to `part`; its bytes there, if any, are taken for its beginning.

    Bytes of an earlier run that turn out to be another file's are replaced.

    Args:
        file: Where it is, and the checksum that it must have.
        part: The file on disk.
        report: Called as the bytes come and are checked.
        wait: Seconds before the second connection; doubled each time that nothing new has come.

    Raises:
        FetchError: If the server refuses, brings nothing new any more, or brings a file of another size or checksum.
        OSError: If the disk is full.
    """
    resumed = part.exists()
    _receive_all(file, part, report, wait)
    try:
        require_checksum(part, file.checksum, report)
    except FetchError:
        part.unlink()
        if not resumed:
            raise
        download(file, part, report, wait)


def require_checksum(path: Path, checksum: str, report: Report) -> None:
    """Compare the checksum of a file.

    Raises:
        FetchError: If it is another, or the file cannot be read.
    """
    name, algorithm = CHECKSUMS[len(checksum)]
    digest = algorithm(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            while block := file.read(BLOCK):
                digest.update(block)
                report("checked", file.tell(), size)
    except OSError as error:
        raise FetchError(f"`{path}` cannot be read ({reason_of(error)}): give another with --from.") from error
    if (found := digest.hexdigest()) != checksum:
        raise FetchError(f"The {name} of `{path}` is {found}, but must be {checksum}: give another with --from.")


def _receive_all(file: RemoteFile, part: Path, report: Report, wait: float) -> None:
    """Connect until everything is there."""
    furthest = failures = 0
    while True:
        there = part.stat().st_size if part.exists() else 0
        if there == file.size:
            return
        reason = "the connection ended early"
        try:
            if _receive(file, part, report):
                return
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            if getattr(error, "errno", None) in DISK:
                raise
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        there = part.stat().st_size if part.exists() else 0
        failures = 0 if there > furthest else failures + 1
        furthest = max(there, furthest)
        if failures >= TRIES:
            raise FetchError(
                f"The download of {file.address} is stuck at {there} bytes ({reason}): run the same command again "
                "later, it goes on from there."
            )
        if failures:
            time.sleep(min(wait * 2 ** (failures - 1), LONGEST_WAIT))


def _receive(file: RemoteFile, part: Path, report: Report) -> bool:
    """Append what one connection brings; whether that was the rest of the file."""
    there = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "audiotag-study"} | ({"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(file.address, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing follows
            return True
        if error.code < 500 and error.code not in PASSING:
            raise FetchError(
                f"{file.address} answers {error.code} ({error.reason}): give another with --from."
            ) from error
        raise
    except (ValueError, http.client.InvalidURL) as error:
        raise FetchError(f"{file.address} is not an address ({error}): give another with --from.") from error
    with response:
        resumed = response.status == 206  # without ranges a server begins anew
        total = None if response.length is None else response.length + (there if resumed else 0)
        if file.size is not None and total not in (None, file.size):
            raise FetchError(f"{file.address} has {total} bytes, but must have {file.size}: give another with --from.")
        with part.open("ab" if resumed else "wb") as content:
            while block := response.read1(BLOCK):
                content.write(block)
                report("downloaded", content.tell(), total)
            return total is None or content.tell() == total
