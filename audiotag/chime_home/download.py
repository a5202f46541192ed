"""A large file over HTTP: what has come is kept on disk, broken connections go on where they ended."""

import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 1 << 18  # bytes
TIMEOUT = 30.0  # s without a byte
TRIES = 6  # connections in a row that bring nothing new
MOST_CONNECTIONS = 10_000
LONGEST_WAIT = 20.0  # s between connections
FINAL = (400, 401, 403, 404, 405, 410, 451)  # answers that will not change


class DownloadError(ValueError):
    """A download that cannot be finished, in one line: what is wrong and what to do."""


class Changed(Exception):
    """The file at the address is another one than that of which the beginning is on disk."""


@dataclass
class Download:
    """The file at an address, whose beginning may be on disk already.

    Args:
        address: http:// or https://.
        part: Where its bytes are kept; the file `<part>.json` beside it says what they are of.
        size: Bytes it must have, if known.
        wait: Seconds before the second connection; doubled each time that nothing new has come.
        progress: Called with (bytes there, bytes in all or None).
    """

    address: str
    part: Path
    size: int | None = None
    wait: float = 1.0
    progress: Callable[[int, int | None], None] | None = None
    total: int | None = field(default=None, init=False)
    validator: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        try:
            parts = urllib.parse.urlsplit(self.address)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise DownloadError(
                f"The address is {self.address}, but must be like http://host/file or https://host/file."
            )

    def pieces(self) -> Iterator[bytes]:
        """All bytes of the file in their order: those on disk, then what the server sends, which is kept as it comes.

        Raises:
            Changed: when the bytes on disk are of another file; `forget` them and begin again.
            DownloadError: when the server refuses, brings nothing new any more, or the disk takes no more.
        """
        self._recall()
        position = 0
        with open(self.part, "ab+") as kept:
            kept.seek(0)
            while block := kept.read(BLOCK):
                position += len(block)
                yield self._told(block, position)
            if self.total is not None and position > self.total:
                raise Changed
            failures = 0
            for _ in range(MOST_CONNECTIONS):
                if self.total is not None and position >= self.total:
                    break
                before, reason = position, "the connection ended early"
                try:
                    for block in self._receive(position):
                        _write(kept, block)
                        position += len(block)
                        yield self._told(block, position)
                    if self.total is None:  # the server never said how much there is: this is the end
                        return
                except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
                    reason = _reason(error)
                    if isinstance(
                        getattr(error, "reason", error), ssl.SSLCertVerificationError | http.client.InvalidURL
                    ):
                        failures = TRIES  # it will not change
                kept.flush()
                failures = 0 if position > before else failures + 1
                if failures >= TRIES:
                    raise DownloadError(
                        f"The download of {self.address} is stuck at {position} of {self.total or 'unknown'} bytes "
                        f"({reason}): run the same command again later, it goes on from there."
                    )
                if failures:
                    time.sleep(min(self.wait * 2 ** (failures - 1), LONGEST_WAIT))
        if self.total is None or position != self.total:
            raise DownloadError(f"The server of {self.address} sent {position} bytes, but said {self.total}.")

    def forget(self) -> None:
        """Takes the bytes on disk away."""
        for path in (self.part, self._note):
            path.unlink(missing_ok=True)
        self.total = self.validator = None

    @property
    def _note(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")

    def _told(self, block: bytes, position: int) -> bytes:
        if self.progress:
            self.progress(position, self.total or self.size)
        return block

    def _recall(self) -> None:
        """What the bytes on disk are of. Another address may be a mirror: its checksum decides in the end."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            note = json.loads(self._note.read_text(encoding="utf-8"))
            total = note.get("total")
            self.total = total if isinstance(total, int) and total > 0 else None
            if note.get("address") == self.address and isinstance(note.get("validator"), str):
                self.validator = note["validator"]

    def _remember(self) -> None:
        note = {"address": self.address, "total": self.total, "validator": self.validator}
        aside = self._note.with_name(f"{self._note.name}.new")
        try:
            aside.write_text(json.dumps(note), encoding="utf-8")
            os.replace(aside, self._note)
        except OSError as error:
            raise DownloadError(f"The file `{self._note}` cannot be written ({_reason(error)}): free space.") from error

    def _receive(self, position: int) -> Iterator[bytes]:
        """What one connection brings from `position` on."""
        headers = {"User-Agent": "audiotag-study", "Accept-Encoding": "identity"}
        if position:
            headers["Range"] = f"bytes={position}-"
            if self.validator:
                headers["If-Range"] = self.validator
        request = urllib.request.Request(self.address, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # shorter than what is on disk
                raise Changed from error
            if error.code in FINAL:
                raise DownloadError(
                    f"The server of {self.address} answers {error.code} ({error.reason}): give another address "
                    "with --from."
                ) from error
            raise
        with response:
            left = self._check(response, position)
            skip = position if response.status != 206 else 0
            while block := response.read1(BLOCK):
                useful = block[skip:]
                skip = max(0, skip - len(block))
                if left is not None and len(useful) > left:
                    raise DownloadError(f"The server of {self.address} sends more than the {self.total} bytes it said.")
                left = left - len(useful) if left is not None else None
                if useful:
                    yield useful

    def _check(self, response: Any, position: int) -> int | None:
        """Holds an answer against what is known; the bytes that are still to come, if known."""
        validator = response.headers.get("ETag") or ""
        if not validator.startswith('"'):  # a weak one says nothing of bytes
            validator = response.headers.get("Last-Modified")
        if response.status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
            if found is None or int(found[1]) != position:
                raise DownloadError(f"The server of {self.address} sends another part than it was asked for.")
            total = int(found[2]) if found[2] != "*" else self.total
        else:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
        if self.size is not None and total is not None and total != self.size:
            raise DownloadError(
                f"The file at {self.address} has {total} bytes, but must have {self.size}: it is another file, give "
                "the right address with --from."
            )
        known = self.total is not None and total is not None
        if position and ((known and total != self.total) or (self.validator and validator != self.validator)):
            raise Changed
        self.total, self.validator = total if total is not None else self.size, validator or None
        self._remember()
        return self.total - position if self.total is not None else None


def _write(kept: Any, block: bytes) -> None:
    try:
        kept.write(block)
    except OSError as error:
        raise DownloadError(
            f"The file `{kept.name}` cannot be written ({_reason(error)}): free space and run the same command again."
        ) from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return str(reason) or type(error).__name__
