"""The working copy of studies that are in an object store: what is written goes there first, what is read comes here.

The store is the truth. A file counts as written when its object is in the store; so records that are written last in a
folder are last there, too. Which version of an object a local file is a copy of stands in an index beside the studies;
a file that is none of these versions is fetched again.
"""

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from audiotag.files import size_of, stat_of, write_whole
from study.cloud import copied_folder, url_of
from study.ledger.store import Store, StoreError

AT_ONCE = 16  # requests
FRESH = 5.0  # s for which what was fetched is not fetched again
LOCK = ".lock"  # in a study's folder: of the driver on this machine
WEIGHTS = "fold_*.pt"  # are fetched when they are used
OWN = ("ray",)  # folders of this machine alone
_mirrors: dict[Path, "Mirror"] = {}  # by working copy
NOT_HERE = 0  # instead of a time of change, of an object that has not been fetched
Copy = tuple[str, int, int]  # of an object: its tag, and size and time of change (ns) of the file
Known = dict[Path, set[Copy]]


def mirror_of(path: Path) -> "Mirror | None":
    """What keeps the working copy in which a path is; None for one that is a place of its own.

    Raises:
        StoreError: Where the library is not installed, or credentials lack a part.
    """
    if (folder := copied_folder(path)) is None:
        return None
    if folder not in _mirrors:
        _mirrors[folder] = Mirror(folder, Store(url_of(folder) or ""))
    return _mirrors[folder]


def fetch(root: Path) -> None:
    """Bring the working copy of a study up to date; a folder that is none stays as it is.

    Raises:
        StoreError: If the store cannot be read, or the copy not be written.
    """
    if (mirror := mirror_of(root)) is not None:
        mirror.fetch(root)


class Mirror:
    """A folder of studies, and the store that it is a working copy of.

    Files whose names begin with a dot are this machine's own.

    Attributes:
        folder: The working copy.
        store: The truth.
        guard: Called before each write with the file's path; refuses, with a StoreError, what is no longer allowed.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.guard: Callable[[Path], None] = lambda path: None
        self._fetched: dict[Path, float] = {}
        self._read: tuple[Any, Known] = (None, {})  # the index that was read last
        folder.mkdir(parents=True, exist_ok=True)

    def key(self, path: Path) -> str | None:
        """The key of a file's object; None for one of this machine alone."""
        names = path.relative_to(self.folder).parts
        is_own = any(name.startswith(".") for name in names) or names[1:2] in [(own,) for own in OWN]
        return None if is_own else "/".join(names)

    def write(self, path: Path, write: Callable[[IO[bytes]], Any]) -> int:
        """Write an object and then the file; return its size in bytes.

        Raises:
            StoreError: If the store does not take it; the file is as before.
            OSError: If the disk does not take it.
        """
        buffer = io.BytesIO()
        write(buffer)
        return self._keep(path, buffer.getvalue())

    def create(self, path: Path, content: bytes) -> None:
        """Write an object that is new, and not the file.

        Raises:
            ConflictError: If there is one.
            StoreError: If the store does not take it.
        """
        self.store.create(self._key(path), content)

    def remove(self, path: Path) -> None:
        """Remove an object and its file, if they are there.

        Raises:
            StoreError: If the store does not do it.
            OSError: If the disk does not.
        """
        if (key := self.key(path)) is not None:
            self.guard(path)
            self.store.remove(key)
        path.unlink(missing_ok=True)

    def rename(self, path: Path, name: str) -> None:
        """Rename an object and its file.

        Raises:
            FileNotFoundError: If there is none.
            StoreError: If the store does not do it.
        """
        self.fetch_file(path)
        self._keep(path.with_name(name), path.read_bytes())
        self.remove(path)

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.store.head(key) is not None

    def names_with(self, file: str) -> list[str]:
        """The folders that have such a file, sorted."""
        names = [name for name in self.store.folders() if not name.startswith(".")]
        has = self._all(lambda name: self.has(f"{name}/{file}"), names)
        return sorted(name for name, there in zip(names, has, strict=True) if there)

    def fetch(self, root: Path, *, driven: bool = False) -> None:
        """Bring a study's folder up to date: fetch what is new there, remove what is gone.

        Weights come when they are used. Where a driver on this machine has the study, its folder is up to date.

        Args:
            root: The study's.
            driven: This process is that driver.

        Raises:
            StoreError: If the store cannot be read, or the folder not be written.
        """
        if not driven and time.monotonic() - self._fetched.get(root, -FRESH) < FRESH:
            return
        index = self._index(root)
        try:
            index.parent.mkdir(exist_ok=True)
            with FileLock(f"{index}.lock"):
                if driven or not is_locked(root):
                    self._fetch(root)
        except OSError as error:
            reason = f"{error.strerror or error}; XDG_CACHE_HOME names another place for the copy"
            raise StoreError(str(self.folder), "written", reason) from None
        self._fetched[root] = time.monotonic()

    def _fetch(self, root: Path) -> None:
        keys = self.store.list(root.name)
        there = {path: found for key, found in keys.items() if self.key(path := self.folder / key) is not None}
        if not there:
            shutil.rmtree(root, ignore_errors=True)  # of a study that was removed there
            return
        known, missing = self._known(root), []
        here: dict[Path, Copy] = {}
        left: dict[Path, Copy] = {}
        for path, found in there.items():
            copy = _copy_in(path, found.version.tag)
            if copy is not None and copy in known.get(path, ()):
                here[path] = copy
            elif path.match(WEIGHTS):
                left[path] = found.version.tag, found.size, NOT_HERE
            else:
                missing.append(path)
        for path in set(self._local(root)) - here.keys():
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in there}:
            folder.mkdir(parents=True, exist_ok=True)
        lines = [self._line(path, copy) for path, copy in (here | left).items()]
        write_whole(self._index(root), lambda file: file.write(b"".join(lines)))
        self._all(self._download, missing)

    def fetch_file(self, path: Path) -> None:
        """Fetch a file unless it is there, say weights that are used now.

        Raises:
            StoreError: If the store cannot be read.
        """
        if size_of(path) is None:
            self._download(path)

    def size_there(self, path: Path) -> int | None:
        """The size in bytes of an object that has not been fetched; None where none is known."""
        copies = self._known(self._root(path)).get(path, ())
        return next((size for _, size, changed in copies if changed == NOT_HERE), None)

    def put_rest(self, root: Path) -> None:
        """Write those files of a study that others have written here, say optuna.db.

        Raises:
            StoreError: If the store does not take them.
        """
        known = self._known(root)
        for path in self._local(root):
            copy = _copy_in(path, "")
            if copy is not None and copy[1:] not in {of[1:] for of in known.get(path, ())}:
                self._note(path, self._put(path, path.read_bytes()))

    def _download(self, path: Path) -> None:
        answer = self.store.get(self._key(path))
        if answer is None:  # removed meanwhile
            return
        content, found = answer
        write_whole(path, lambda file: file.write(content))
        self._note(path, found.version.tag)

    def _keep(self, path: Path, content: bytes) -> int:
        """Write an object and then the file."""
        tag = None if self.key(path) is None else self._put(path, content)
        size = write_whole(path, lambda file: file.write(content))
        if tag is not None:
            self._note(path, tag)
        return size

    def _put(self, path: Path, content: bytes) -> str:
        self.guard(path)
        return self.store.put(self._key(path), content).tag

    def _key(self, path: Path) -> str:
        key = self.key(path)
        assert key is not None, "not for files of this machine alone"
        return key

    def _root(self, path: Path) -> Path:
        return self.folder / path.relative_to(self.folder).parts[0]

    def _index(self, root: Path) -> Path:
        return self.folder / ".index" / f"{root.name}.jsonl"

    def _local(self, root: Path) -> Iterator[Path]:
        """The files of a study's folder that belong to the store."""
        for place, folders, files in os.walk(root):
            folders[:] = [name for name in folders if self.key(Path(place, name)) is not None]
            yield from (path for name in files if self.key(path := Path(place, name)) is not None)

    def _note(self, path: Path, tag: str) -> None:
        """Note in the index which version a file is a copy of; several processes append to it."""
        copy = _copy_in(path, tag)
        if copy is None or path.parent == self.folder:  # a file beside the studies is not read again
            return
        index = self._index(self._root(path))
        index.parent.mkdir(exist_ok=True)
        number = os.open(index, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(number, self._line(path, copy))
        finally:
            os.close(number)

    def _line(self, path: Path, copy: Copy) -> bytes:
        return json.dumps([str(path.relative_to(self.folder)), *copy]).encode() + b"\n"

    def _known(self, root: Path) -> Known:
        """What the index has, by file."""
        index = self._index(root)
        status = stat_of(index)
        state = (index, status and (status.st_ino, status.st_size))
        if state != self._read[0]:
            known: Known = {}
            for line in index.read_bytes().splitlines() if status else ():
                with suppress(ValueError, TypeError):  # torn, as a killed process leaves it
                    name, *copy = json.loads(line)
                    known.setdefault(self.folder / name, set()).add(tuple(copy))
            self._read = state, known
        return self._read[1]

    def _all(self, do: Callable[[Any], Any], things: list[Any]) -> list[Any]:
        """Do something with each thing, many at a time."""
        if not things:
            return []
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(do, things))


def _copy_in(path: Path, tag: str) -> Copy | None:
    """What the index says of a file that is a copy of such a version; None where there is no file."""
    status = stat_of(path)
    return None if status is None else (tag, status.st_size, status.st_mtime_ns)


def is_locked(root: Path) -> bool:
    """Whether a driver on this machine has the study in a folder; no where there is none, or it cannot be written."""
    if not (root / LOCK).is_file():
        return False
    try:
        with FileLock(root / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False
