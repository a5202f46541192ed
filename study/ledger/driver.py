"""The process that runs a study: who it is, and how there is one at a time.

In a folder a lock of the kernel's, which ends with its process, keeps others out; in an object store a lease does, too.
"""

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from audiotag.files import stat_of
from study.cloud import url_of
from study.ledger.files import LedgerError, LedgerWarning, WriteError, read_json, write_json
from study.ledger.lease import EXPIRES, HeldError, Holder, Lease, Watcher
from study.ledger.mirror import LOCK, Mirror, is_locked, mirror_of
from study.ledger.schema import RecordError, read_record, write_record
from study.ledger.store import PATIENCE, StoreError

DRIVER_FILE = ".driver.json"


@dataclass(frozen=True)
class DriverRecord:
    """.driver.json: the process that runs the study."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


def read_driver(root: Path) -> DriverRecord | None:
    """The process that runs the study in a folder, or was killed while it did; None where none does."""
    return read_json(root / DRIVER_FILE, partial(read_record, DriverRecord), keep=True)


@contextmanager
def held(root: Path, driver: DriverRecord) -> Iterator[None]:
    """Hold a study for a driver.

    Raises:
        LedgerError: While another driver holds it, or if the folder cannot be written.
        StoreError: If its object store cannot be used.
    """
    lock = FileLock(root / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LedgerError(_held_by(root, read_driver(root))) from None
    except OSError as error:
        raise WriteError(root, error) from error
    try:
        with _leased(root, driver):
            yield
    finally:
        with suppress(OSError):
            (root / DRIVER_FILE).unlink()
        lock.release()


def is_driven(root: Path) -> bool:
    """Whether a driver runs the study now; of one in an object store by this machine's clock."""
    if (mirror := mirror_of(root)) is not None:
        found = mirror.store.head(_key(root))
        return found is not None and (datetime.now(UTC) - found.written).total_seconds() < EXPIRES
    return is_locked(root)


def guard(root: Path, driver: DriverRecord) -> None:
    """Let this process write to a study in an object store only as long as its driver has the lease."""
    if (mirror := mirror_of(root)) is not None:
        mirror.guard = partial(_require_lease, root, driver)


@contextmanager
def _leased(root: Path, driver: DriverRecord) -> Iterator[None]:
    """Hold the lease on a study in an object store; a folder that is its own place needs no more than the lock."""
    if (mirror := mirror_of(root)) is None:
        write_json(root / DRIVER_FILE, write_record(driver))
        yield
        return
    lease = _take(root, driver, mirror)
    try:
        mirror.fetch(root, driven=True)
        write_json(root / DRIVER_FILE, write_record(driver))
        guard(root, driver)
        try:
            yield
        except BaseException:
            with suppress(StoreError):  # reported already, where that is why
                mirror.put_rest(root)
            raise
        mirror.put_rest(root)
    finally:
        mirror.guard = lambda path: None
        lease.release()


def _take(root: Path, driver: DriverRecord, mirror: Mirror) -> Lease:
    """Take the lease on a study; that of a driver which was killed on this machine at once, as its lock is ours."""
    killed = read_driver(root)

    def waits(holder: Holder, seconds: float) -> None:
        by = _driver_in(holder) or "another process"
        text = f"The study `{root.name}` is held by {by}: waiting up to {seconds:.0f} s to see if it runs ..."
        warnings.warn(text, LedgerWarning, stacklevel=5)

    def silent(reason: str) -> None:
        text = f"{url_of(root)} cannot be reached ({reason}): trials wait for it, up to {PATIENCE / 60:.0f} minutes."
        warnings.warn(text, LedgerWarning, stacklevel=2)

    def lost(holder: Holder) -> None:
        found = _driver_in(holder) or DriverRecord("another machine", 0, "now")
        with suppress(LedgerError):
            write_json(root / DRIVER_FILE, write_record(found))

    def renewed() -> None:
        with suppress(OSError):
            os.utime(root / DRIVER_FILE)

    watcher = Watcher(renewed, silent, lost)
    lease = Lease(mirror.store.impatient(), _key(root), write_record(driver), watcher)
    try:
        lease.take(lambda holder: killed is not None and _driver_in(holder) == killed, waits)
    except HeldError as error:
        raise LedgerError(_held_by(root, _driver_in(error.holder))) from None
    return lease


def _require_lease(root: Path, driver: DriverRecord, path: Path) -> None:
    """Refuse to write a study that another driver has; wait while its lease is not renewed.

    The driver's file says both, to all processes of this machine: who has it, and when it was last renewed.
    """
    if root not in path.parents:
        return
    end, where = time.monotonic() + PATIENCE, str(url_of(root))
    while True:
        if (now := read_driver(root)) != driver:
            raise StoreError(where, "written", f"it is being run by {now}" if now else "the session has ended")
        status = stat_of(root / DRIVER_FILE)
        if status is not None and time.time() - status.st_mtime < EXPIRES:
            return
        if time.monotonic() > end:
            raise StoreError(where, "written", "no answer from the server")
        time.sleep(1)


def _held_by(root: Path, driver: DriverRecord | None) -> str:
    return f"The study `{root.name}` is being run by {driver or 'another process'}: wait for it, or stop it first."


def _driver_in(holder: Holder) -> DriverRecord | None:
    try:
        return read_record(DriverRecord, {name: holder[name] for name in ("host", "pid", "since")})
    except (RecordError, KeyError):
        return None


def _key(root: Path) -> str:
    return f"{root.name}/{DRIVER_FILE}"
