"""Studies in the cloud: which folders are working copies of what an object store has, and of which URL.

All that handles a study works on files. Studies in an object store therefore have a working copy in the cache, which
`study.ledger.mirror` keeps the same; whoever shows a path asks here for what the user typed.
"""

import hashlib
import re
from pathlib import Path

SCHEMES = ("s3", "gs", "az")
URL = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*)://(?P<bucket>[^/?#]*)(?P<prefix>[^?#]*)(?P<more>.*)", re.DOTALL)
_urls: dict[Path, str] = {}  # by working copy


class PlaceError(ValueError):
    """A URL that names no place for studies; the message is one line for the user."""


def is_url(text: object) -> bool:
    """Whether a place of studies is a URL rather than a folder."""
    return isinstance(text, str) and URL.fullmatch(text) is not None


def folder_of(place: str | Path) -> Path:
    """The folder of a place of studies: its own path, or the working copy of a URL, which is known from now on.

    Raises:
        PlaceError: For a URL that names no place in an object store, or that holds a password.
    """
    if not is_url(place):
        return Path(place)
    from audiotag.features.load import default_cache

    url = tidy(str(place))
    folder = default_cache().absolute() / "studies" / hashlib.sha256(url.encode()).hexdigest()[:12]
    register(folder, url)
    return folder


def tidy(url: str) -> str:
    """A URL as it is kept: without empty parts, so that one place has one name.

    Raises:
        PlaceError: As `folder_of`.
    """
    parts = URL.fullmatch(url)
    assert parts is not None, "asked before"
    scheme, bucket, prefix = parts["scheme"].lower(), parts["bucket"], parts["prefix"]
    names = [name for name in prefix.split("/") if name]
    if "@" in bucket or parts["more"]:
        raise PlaceError(
            "A URL of studies has neither passwords nor options: credentials are those of the environment, "
            "a profile or the machine."
        )
    if scheme not in SCHEMES:
        kinds = ", ".join(f"{known}://" for known in SCHEMES)
        raise PlaceError(f"Studies cannot be kept at {url}: name a folder, or a URL that begins with {kinds}.")
    if not bucket or {".", ".."} & set(names):
        raise PlaceError(f"Studies cannot be kept at {url}: a URL is {scheme}://bucket or {scheme}://bucket/prefix.")
    return "/".join([f"{scheme}://{bucket}", *names])


def register(folder: Path, url: str) -> None:
    """Make a folder known as the working copy of a URL."""
    _urls[folder] = url


def copied_folder(path: Path) -> Path | None:
    """The working copy in which a path is; None for one that is a place of its own."""
    return next((folder for folder in (path, *path.parents) if folder in _urls), None) if _urls else None


def url_of(path: Path) -> str | None:
    """The URL of which a path is the working copy; None for one that is a place of its own."""
    folder = copied_folder(path)
    return None if folder is None else "/".join([_urls[folder], *path.relative_to(folder).parts])


def shown(path: Path) -> str:
    """A path as the user knows it: the URL where it is a working copy."""
    return url_of(path) or str(path)
