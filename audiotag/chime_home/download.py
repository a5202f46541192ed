"""One large file over HTTP, checked by its MD5: the bytes that came stay on disk, and a broken connection goes on."""

import errno
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from audiotag.files import reason_of

ADDRESS = "https://archive.org/download/chime-home/chime_home.tar.gz"
MD5 = "9ce9d584e229b465b3aa08db2d7fee67"
SIZE = 4_162_513_717  # bytes of the archive with this checksum
BLOCK = 1 << 18  # bytes
TIMEOUT = 30.0  # s without a byte
TRIES = 6  # connections in a row that bring nothing new
LONGEST_WAIT = 20.0  # s between connections
PASSING = (408, 425, 429)  # answers of 4xx that may change
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # errors of the disk, among those of the network

Report = Callable[[str, int, int | None], None]  # (what is done with the bytes, bytes done, bytes in all)


class FetchError(ValueError):
    """CHiME-Home cannot be fetched, in one line: what is wrong and what to do."""


def download(address: str, part: Path, md5: str, report: Report, wait: float = 1.0) -> None:
    """Download a file to `part`; its bytes there, if any, are taken for its beginning.

    Bytes of an earlier run that turn out to be another file's are replaced.

    Args:
        address: http:// or https://.
        part: The file on disk.
        md5: The checksum that it must have.
        report: Called as the bytes come.
        wait: Seconds before the second connection; doubled each time that nothing new has come.

    Raises:
        FetchError: If the server refuses, brings nothing new any more, or brings a file with another checksum.
        OSError: If the disk is full.
    """
    resumed = part.exists()
    _receive_all(address, part, report, wait)
    try:
        require_md5(part, md5)
    except FetchError:
        part.unlink()
        if not resumed:
            raise
        download(address, part, md5, report, wait)


def require_md5(archive: Path, md5: str) -> None:
    """Compare the checksum of a file.

    Raises:
        FetchError: If it is another, or the file cannot be read.
    """
    try:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise FetchError(f"`{archive}` cannot be read ({reason_of(error)}): give another with --from.") from error
    if found != md5:
        raise FetchError(f"The MD5 of `{archive}` is {found}, but must be {md5}: give another with --from.")


def _receive_all(address: str, part: Path, report: Report, wait: float) -> None:
    """Connect until everything is there."""
    furthest = failures = 0
    while True:
        reason = "the connection ended early"
        try:
            if _receive(address, part, report):
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
                f"The download of {address} is stuck at {there} bytes ({reason}): run the same command again later, it "
                "goes on from there."
            )
        if failures:
            time.sleep(min(wait * 2 ** (failures - 1), LONGEST_WAIT))


def _receive(address: str, part: Path, report: Report) -> bool:
    """Append what one connection brings; whether that was the rest of the file."""
    there = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "audiotag-study"} | ({"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing follows
            return True
        if error.code < 500 and error.code not in PASSING:
            raise FetchError(f"{address} answers {error.code} ({error.reason}): give another with --from.") from error
        raise
    except (ValueError, http.client.InvalidURL) as error:
        raise FetchError(f"{address} is not an address ({error}): give another with --from.") from error
    resumed = response.status == 206  # without ranges a server begins anew
    with response, part.open("ab" if resumed else "wb") as file:
        total = None if response.length is None else response.length + (there if resumed else 0)
        while block := response.read1(BLOCK):
            file.write(block)
            report("downloaded", file.tell(), total)
        return total is None or file.tell() == total
