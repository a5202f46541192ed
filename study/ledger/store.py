"""An object store, as the ledger uses it: objects that are whole or absent, conditional writes, errors in one line."""

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

R = TypeVar("R")
INSTALL = "pip install 'obstore==0.12.1'"  # the extra `cloud` of pyproject.toml
ATTEMPT = timedelta(seconds=5)  # in which the library itself tries again
TIMEOUT = timedelta(seconds=120)  # of a request
PATIENCE = 300.0  # s in which a server that does not answer may come back before a session ends
READ_PATIENCE = 10.0  # s of that for who only reads: a person waits for it
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)  # s before the next attempts, the last one from then on
STATUS = re.compile(r"status code: (\d{3})")
DENIED, MISSING, FULL = (401, 403), 404, 507
BUSY = (408, 409, 429)  # besides those from 500 on: worth another attempt
NO_CREDENTIALS = "no usable credentials: set those of the environment, a profile or the machine"
METADATA = ("//169.254.", "//metadata.google")  # of cloud machines, where the library looks last
ENVIRONMENT = ("AWS_", "AZURE_", "GOOGLE_")  # begin the names of variables that the libraries look at
NO_IDENTITY = ("MissingAccount", "CredentialRetrievalError", "SSOToken")


class StoreError(ValueError):
    """An object store that cannot be used as asked.

    Attributes:
        reason: Why, in a few words.
        may_pass: Whether it is one of the reasons that pass by themselves, such as a server that does not answer.
    """

    def __init__(self, where: str, verb: str, reason: str, may_pass: bool = False) -> None:
        super().__init__(f"{where} cannot be {verb} ({reason}).")
        self.reason, self.may_pass = reason, may_pass


class ConflictError(Exception):
    """An object that is there although it should not be, or is not the one that was to be replaced."""


@dataclass(frozen=True)
class Version:
    """What tells an object's content from earlier and later ones."""

    tag: str
    number: str | None = None

    @classmethod
    def of(cls, found: Any) -> "Version":
        """The version that the library names."""
        return cls(found.get("e_tag") or found.get("version") or "", found.get("version"))


@dataclass(frozen=True)
class Found:
    """An object: its version, its size in bytes, and when it was written by the server's clock."""

    version: Version
    size: int
    written: datetime


class Store:
    """The objects under a URL, by keys such as "mixup-1/study.json".

    Methods raise StoreError where the store refuses, or does not answer for too long.

    Args:
        url: As `study.cloud.tidy` gives it.
        objects: The library's store, for tests.
        patience: For how long it is asked again (s).
    """

    def __init__(self, url: str, objects: Any = None, patience: float = PATIENCE) -> None:
        self.url, self.patience = url, patience
        self._objects = objects or _connect(url)

    def impatient(self) -> "Store":
        """The same one, which is asked once."""
        return Store(self.url, self._objects, 0)

    def put(self, key: str, content: bytes) -> Version:
        """Write an object, in the place of an old one."""
        return self._put(key, content, "overwrite")

    def create(self, key: str, content: bytes) -> Version:
        """Write a new object.

        Raises:
            ConflictError: If there is one.
        """
        return self._put(key, content, "create")

    def replace(self, key: str, content: bytes, version: Version) -> Version:
        """Write an object in the place of this version of it.

        Raises:
            ConflictError: If it has another one, or is gone.
        """
        known = {"e_tag": version.tag, "version": version.number}
        return self._put(key, content, {name: value for name, value in known.items() if value})

    def _put(self, key: str, content: bytes, mode: Any) -> Version:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def put() -> Version:
            try:
                return Version.of(obstore.put(self._objects, key, content, mode=mode, use_multipart=False))
            except (AlreadyExistsError, PreconditionError):
                found = None if mode == "overwrite" else self.get(key)
                if found is not None and found[0] == content:  # ours: the answer to an earlier attempt was lost
                    return found[1].version
                raise ConflictError(key) from None

        return self._ask(key, "written", put)

    def get(self, key: str) -> tuple[bytes, Found] | None:
        """An object's content; None where there is none."""
        import obstore

        def get() -> tuple[bytes, Found] | None:
            try:
                answer = obstore.get(self._objects, key)
                return bytes(answer.bytes()), _found(answer.meta)
            except FileNotFoundError as error:
                _require_bucket(error)
                return None

        return self._ask(key, "read", get)

    def head(self, key: str) -> Found | None:
        """What is known of an object without its content; None where there is none."""
        import obstore

        def head() -> Found | None:
            try:
                return _found(obstore.head(self._objects, key))
            except FileNotFoundError:
                return None

        return self._ask(key, "read", head)

    def list(self, folder: str) -> dict[str, Found]:
        """All objects whose keys begin with a folder, by key."""
        import obstore

        def list_all() -> dict[str, Found]:
            pages = obstore.list(self._objects, folder, chunk_size=1000)
            return {meta["path"]: _found(meta) for page in pages for meta in page}

        return self._ask(folder, "read", list_all)

    def folders(self) -> Sequence[str]:
        """The names at the beginning of keys, before a slash."""
        import obstore

        return self._ask("", "read", lambda: list(obstore.list_with_delimiter(self._objects)["common_prefixes"]))

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        import obstore

        def remove() -> None:
            with suppress(FileNotFoundError):
                obstore.delete(self._objects, key)

        self._ask(key, "written", remove)

    def now(self) -> datetime:
        """The server's clock, as a small object tells it; so a store that cannot be written is noticed, too."""
        key = f".probe-{uuid4().hex}"
        self.put(key, b"")
        try:
            found = self.head(key)
        finally:
            self.remove(key)
        if found is None:
            raise StoreError(self.url, "used", "what is written there cannot be read")
        return found.written

    def _ask(self, key: str, verb: str, ask: Callable[[], R]) -> R:
        """Ask the server, again after a pause where it does not answer.

        The pauses are Python's: signals are handled in them.
        """
        from obstore.exceptions import BaseError

        patience = self.patience if verb == "written" else min(self.patience, READ_PATIENCE)
        end, attempt = time.monotonic() + patience, 0
        while True:
            try:
                return ask()
            except (BaseError, FileNotFoundError, TimeoutError) as error:
                pause, may_pass = PAUSES[min(attempt, len(PAUSES) - 1)], _may_pass(error)
                if not may_pass or time.monotonic() + pause > end:
                    raise StoreError("/".join(filter(None, [self.url, key])), verb, why(error), may_pass) from None
                time.sleep(pause)
                attempt += 1


def why(error: Exception) -> str:
    """Why the library failed, in a few words; its own text has many lines, and addresses."""
    text, status = str(error), _status(error)
    if _has_no_identity(text):
        return NO_CREDENTIALS
    if status in DENIED or type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return "access denied: look at the credentials and what they allow"
    if status == MISSING or isinstance(error, FileNotFoundError):
        return "there is no such bucket"
    if status == FULL:
        return "no room is left there"
    return f"HTTP status {status}" if status else "no answer from the server"


def _has_no_identity(text: str) -> bool:
    return any(sign in text for sign in (*METADATA, *NO_IDENTITY))


def _status(error: Exception) -> int | None:
    found = STATUS.search(str(error))
    return int(found[1]) if found else None


def _may_pass(error: Exception) -> bool:
    """Whether it makes sense to ask once more."""
    from obstore.exceptions import GenericError

    status = _status(error)
    if status is None:
        return isinstance(error, GenericError) and not _has_no_identity(str(error))
    return status in BUSY or (status >= 500 and status != FULL)


def _require_bucket(error: FileNotFoundError) -> None:
    if "NoSuchBucket" in str(error):
        raise error


def _found(meta: Any) -> Found:
    return Found(Version.of(meta), meta["size"], meta["last_modified"])


def _connect(url: str) -> Any:
    """The library's store of a URL.

    Raises:
        StoreError: Where the library is not installed, or credentials lack a part.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise StoreError(url, "used", f"the package obstore is not installed: {INSTALL}") from None
    retries: Any = {"max_retries": 3, "retry_timeout": ATTEMPT}
    options: Any = {"timeout": TIMEOUT, "allow_http": True}  # http:// is for an endpoint that says so itself
    try:
        provider = _profile() if url.startswith("s3://") else {}
        return from_url(url, client_options=options, retry_config=retries, **provider)
    except BaseError as error:
        raise StoreError(url, "used", why(error)) from None
    except ValueError as error:
        raise StoreError(url, "used", str(error)) from None


def cloud_environment() -> dict[str, str]:
    """What of this process's environment says where a store is and who we are; not to be kept or shown."""
    return {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}


def _profile() -> dict[str, Any]:
    """The credentials of an AWS profile, which the library itself does not read; none where the environment has some.

    Raises:
        ValueError: For a profile that cannot be used.
    """
    named, home = os.environ.get("AWS_PROFILE"), Path.home() / ".aws"
    if os.environ.get("AWS_ACCESS_KEY_ID") or not (
        named or (home / "credentials").exists() or (home / "config").exists()
    ):
        return {}
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if named:
            raise ValueError("a profile needs the package boto3: pip install boto3") from None
        return {}
    try:
        session = boto3.Session()
        return {"credential_provider": Boto3CredentialProvider(session)} if session.get_credentials() else {}
    except BotoCoreError as error:
        raise ValueError(f"{NO_CREDENTIALS}; {error}") from None
