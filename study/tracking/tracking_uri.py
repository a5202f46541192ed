"""Where MLflow's copy of a study goes: the URI, and whether the database file that it names can be used.

Nothing here imports MLflow, which takes seconds.
"""

import os
import re
import sqlite3
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote, unquote, urlsplit

from audiotag.files import size_of
from audiotag.uris import MASK, public

OTHER = "choose another --tracking-uri"


class TrackingError(ValueError):
    """A tracking URI that names no store; one line for the user."""


class StoreUnavailableError(TrackingError):
    """A tracking store that cannot be used now. A study that has begun does without, and MLflow catches up later."""


class TrackingWarning(UserWarning):
    """What a tracking store does not take; one line for the user."""


def default_uri(project_root: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else the database mlflow.db in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or database_uri(project_root.absolute() / "mlflow.db")


def stored(uri: str) -> str:
    """A tracking URI as a study keeps it: without a password; empty where it has a token, which it needs."""
    if uri.startswith("sqlite"):
        return database_uri(database_path(uri))  # relative to no folder
    return "" if MASK in (shown := public(uri)) else shown


def choose_uri(given: str | None, begun: str, default: str) -> str:
    """The store for a study: the one that is given, else that in which it was begun, else the default.

    Args:
        given: With the command, if any.
        begun: As the study keeps it (`stored`).
        default: See `default_uri`; it may be the one in which the study was begun, with its password.
    """
    return given or (default if not begun or public(default) == begun else begun)


def check_address(uri: str) -> None:
    """Look whether the URI of a server has a host, and a port that is one.

    Raises:
        TrackingError: Where it has not, which quotes nothing of it: parts of a password may be anywhere.
    """
    try:
        parts = urlsplit(uri)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise TrackingError(
            "The tracking URI has no usable host and port: write http://HOST:PORT, and in a user name or password %2F "
            "for /, %23 for #, %3F for ?, %40 for @; or set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )


def database_path(uri: str) -> Path:
    """The file that an SQLite URI names.

    Raises:
        TrackingError: Where it names none.
    """
    path, _, query = uri.partition(":///")[2].partition("?")
    if query and "=" not in query:
        raise TrackingError(f"The tracking URI is {public(uri)!r}, in which `?` ends the file's name: write it as %3F.")
    if path in ("", ":memory:"):
        shown = public(uri)
        raise TrackingError(f"The tracking URI is {shown!r}, but must name a file: sqlite:////absolute/path/mlflow.db.")
    return Path(unquote(path)).absolute()


def database_uri(path: Path) -> str:
    """The URI of an SQLite file, as SQLAlchemy reads it.

    Where a character is quoted it names the driver, too: MLflow makes the folder of a plain `sqlite:///` URI as it is
    written, so beside the right one.
    """
    quoted = str(path).replace("%", "%25").replace("?", "%3F")
    return f"sqlite{'' if quoted == str(path) else '+pysqlite'}:///{quoted}"


def check_database(path: Path) -> None:
    """Look at a database file, or at the folder in which it would be made.

    Raises:
        StoreUnavailableError: When MLflow could not use it.
    """
    if (why := _why_unusable(path)) is not None:
        raise StoreUnavailableError(f"The tracking database {path} cannot be used ({why}): {OTHER}.")
    found, (known, newest) = _revision(path), _known_revisions()
    if found is None or not known or found == newest:
        return
    if found in known:
        maker, remedy = "an older", f"copy it, then run `mlflow db upgrade {database_uri(path)}`"
    else:
        maker, remedy = "a newer", "install that version"
    raise StoreUnavailableError(
        f"The tracking database {path} was made by {maker} MLflow than {version('mlflow')}, with schema {found}: "
        f"{remedy}, or {OTHER}."
    )


def _why_unusable(path: Path) -> str | None:
    try:
        with path.open("r+b") if size_of(path) is not None else TemporaryFile(dir=path.parent) as file:
            if file.read(16) not in (b"", b"SQLite format 3\0"):
                return "it is not an SQLite database"
    except OSError as error:
        return str(error.strerror) if path.parent.is_dir() else f"there is no folder {path.parent}"
    return None


def _revision(path: Path) -> str | None:
    """The version of the tables in a database; None where it has no MLflow tables, or is in use."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            row = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return row and row[0]


def _known_revisions() -> tuple[set[str], str | None]:
    """The versions of its tables that the installed MLflow knows, and the newest.

    They stand in its migrations, which are read as text. That is no public API: where there are none, none are known.
    """
    package = find_spec("mlflow")
    places = package.submodule_search_locations if package else None
    folders = [Path(place) / "store" / "db_migrations" / "versions" for place in places or ()]
    known, followed = set(), set()
    for path in (path for folder in folders for path in folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        known |= set(re.findall(r"^revision = [\"'](\w+)", text, re.MULTILINE))
        followed |= set(re.findall(r"[\"'](\w+)[\"']", "".join(re.findall(r"^down_revision = .*", text, re.MULTILINE))))
    return known, next(iter(known - followed), None)
