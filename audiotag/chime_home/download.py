"""One large file over HTTP: the bytes that came stay on disk, and a broken connection goes on from them."""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from audiotag.files import reason_of

BLOCK = 1 << 18  # bytes
TIMEOUT = 30.0  # s without a byte
TRIES = 6  # connections in a row that bring nothing new
LONGEST_WAIT = 20.0  # s between connections
FINAL = (400, 401, 403, 404, 405, 410, 451)  # answers that will not change

Report = Callable[[str, int, int | None], None]  # (what is done with the bytes, bytes done, bytes in all)


class FetchError(ValueError):
    """CHiME-Home cannot be fetched, in one line: what is wrong and what to do."""


def require_address(address: str) -> None:
    """Refuse an address that is not http:// or https://.

    Raises:
        FetchError: For such an address.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise FetchError(f"The address is {address}, but must be like http://host/file or https://host/file.")


def download(address: str, part: Path, size: int | None, report: Report, wait: float = 1.0) -> None:
    """Download a file to `part`, whose bytes there, if any, are taken for its beginning; a checksum must decide.

    Args:
        address: http:// or https://.
        part: The file on disk.
        size: Bytes it must have, if known.
        report: Called as the bytes come.
        wait: Seconds before the second connection; doubled each time that nothing new has come.

    Raises:
        FetchError: If the server refuses, brings nothing new any more, or the disk is full.
    """
    furthest = failures = 0
    while True:
        there = part.stat().st_size if part.exists() else 0
        if there == size:
            return
        reason = "the connection ended early"
        try:
            if _receive(address, part, there, size, report):
                return
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        there = part.stat().st_size if part.exists() else 0
        failures = 0 if there > furthest else failures + 1
        furthest = max(there, furthest)
        if failures >= TRIES:
            raise FetchError(
                f"The download of {address} is stuck at {there} of {size or 'unknown'} bytes ({reason}): run the same "
                "command again later, it goes on from there."
            )
        if failures:
            time.sleep(min(wait * 2 ** (failures - 1), LONGEST_WAIT))


def _receive(address: str, part: Path, there: int, size: int | None, report: Report) -> bool:
    """Append what one connection brings; whether that was the rest of the file."""
    headers = {"User-Agent": "audiotag-study", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={there}-"} if there else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing follows
            return True
        if error.code in FINAL:
            raise FetchError(
                f"The server of {address} answers {error.code} ({error.reason}): give another address with --from."
            ) from error
        raise
    with response:
        there = there if response.status == 206 else 0  # without ranges a server begins anew
        length = response.headers.get("Content-Length", "")
        total = there + int(length) if length.isdigit() else None
        if size and total and total != size:
            raise FetchError(
                f"The file at {address} has {total} bytes, but must have {size}: it is another file, give the right "
                "address with --from."
            )
        with part.open("ab") as kept:
            kept.truncate(there)
            while block := response.read1(BLOCK):
                try:
                    kept.write(block)
                    kept.flush()
                except OSError as error:
                    raise FetchError(
                        f"The file `{part}` cannot be written ({reason_of(error)}): free space and run the same "
                        "command again."
                    ) from error
                there += len(block)
                report("downloaded", there, total)
    return total is None or there == total
