"""One driver at a time in an object store: a record that its holder renews, and that others take once it does not.

Only the server's clock counts. Whoever has the record writes it anew, on the condition that nobody else has meanwhile;
so of two that take it, one does.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from study.ledger.store import ConflictError, Store, StoreError, Version

RENEWED = 20.0  # s between renewals
EXPIRES = 90.0  # s after which one that was not renewed may be taken
LOOK = 5.0  # s between looks at one that is perhaps not renewed any more
Holder = dict[str, Any]  # who has it, as others are told


class HeldError(Exception):
    """A lease that another one holds.

    Attributes:
        holder: Who.
    """

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


@dataclass(frozen=True)
class Watcher:
    """Whoever is told, from a thread, how a lease goes.

    Attributes:
        renewed: It was.
        silent: It could not be, with the reason; that is tried again.
        lost: Another one has it, who is named.
    """

    renewed: Callable[[], None]
    silent: Callable[[str], None]
    lost: Callable[[Holder], None]


class Lease:
    """The right to write a study.

    Args:
        store: Where the study is.
        key: Of the lease's record.
        holder: Who has it.
        watcher: Is told how it goes.
    """

    def __init__(self, store: Store, key: str, holder: Holder, watcher: Watcher) -> None:
        self._store, self._key, self._watcher = store, key, watcher
        self._holder, self._renewals = {**holder, "token": uuid4().hex}, 0
        self._version: Version | None = None  # None: not held
        self._ended, self._thread = threading.Event(), threading.Thread(target=self._keep, daemon=True)

    def take(self, died: Callable[[Holder], bool], waits: Callable[[Holder, float], None]) -> None:
        """Take it, and renew it in a thread from now on.

        Where another holder's lease has not expired, wait until it does, or until it is renewed.

        Args:
            died: Whether a holder is known to have ended.
            waits: Called once, with the holder and the longest wait (s).

        Raises:
            HeldError: If another one holds it.
            StoreError: If the store cannot be used.
        """
        seen: Version | None = None
        while self._version is None:
            with suppress(ConflictError):
                self._version = self._store.create(self._key, self._content())
                break
            if (answer := self._store.get(self._key)) is None:
                continue
            (content, found), left = answer, 0.0
            holder = _read(content)
            if not died(holder):
                left = EXPIRES - (self._store.now() - found.written).total_seconds()
            if left <= 0:
                with suppress(ConflictError):
                    self._version = self._store.replace(self._key, self._content(), found.version)
            elif seen is None:
                waits(holder, left)
                seen = found.version
            elif seen != found.version:
                raise HeldError(holder)
            else:
                time.sleep(min(LOOK, left))
        self._thread.start()

    def release(self) -> None:
        """Give it back, unless it was lost."""
        self._ended.set()
        self._thread.join(RENEWED)
        if self._version is not None:
            with suppress(StoreError, ConflictError):  # then it expires
                self._store.replace(self._key, self._content(), self._version)  # nobody takes it in the next moment
                self._store.remove(self._key)

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED):
            try:
                self._renew()
            except StoreError as error:
                if error.may_pass:  # else the next write tells it
                    self._watcher.silent(error.reason)
            except ConflictError:  # two changed it at once: looked at again
                continue
            if self._version is None:
                return

    def _renew(self) -> None:
        assert self._version is not None, "renewed as long as it is held"
        try:
            self._version = self._store.replace(self._key, self._content(), self._version)
        except ConflictError:
            answer = self._store.get(self._key)
            if answer is None:  # somebody has removed it
                self._version = self._store.create(self._key, self._content())
            elif (holder := _read(answer[0])).get("token") == self._holder["token"]:
                self._version = answer[1].version  # the answer to an earlier renewal was lost
            else:
                self._version = None
                self._watcher.lost(holder)
                return
        self._watcher.renewed()

    def _content(self) -> bytes:
        """The record, which is another one each time: it has its content's version."""
        self._renewals += 1
        return json.dumps(self._holder | {"renewals": self._renewals}).encode()


def _read(content: bytes) -> Holder:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
