"""study.tracking.tracking_uri: the default, and databases of other versions of MLflow."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from study.tracking.tracking_uri import (
    StoreUnavailableError,
    _known_revisions,
    check_database,
    choose_uri,
    default_uri,
    stored,
)


def test_default_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert default_uri(Path("/50% or?/ä")) == "sqlite+pysqlite:////50%25 or%3F/ä/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert default_uri(tmp_path) == "http://there:5000"


def with_schema(store: Path, folder: Path, revision: str) -> Path:
    """A copy of a database whose tables are of another version."""
    path = Path(shutil.copy(store, folder / "mlflow.db"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (revision,))
    return path


def test_a_database_of_this_mlflow_is_taken(empty_store: Path) -> None:
    check_database(empty_store)
    known, newest = _known_revisions()
    assert len(known) > 50  # else MLflow keeps its migrations elsewhere by now
    with closing(sqlite3.connect(empty_store)) as connection:
        assert connection.execute("select version_num from alembic_version").fetchall() == [(newest,)]


@pytest.mark.parametrize(("revision", "word"), [("ffffffffffff", "newer"), ("451aebb31d03", "mlflow db upgrade")])
def test_a_database_of_another_mlflow_is_refused_at_the_start(
    revision: str, word: str, empty_store: Path, tmp_path: Path
) -> None:
    path = with_schema(empty_store, tmp_path, revision)
    with pytest.raises(StoreUnavailableError, match=word) as caught:
        check_database(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("--tracking-uri.")


def test_a_store_is_kept_without_its_password_and_found_again_with_it() -> None:
    assert stored("http://me:hush@there:5000/ml") == "http://there:5000/ml"
    assert stored("http://there:5000/?token=hush") == ""
    begun, default = "http://there:5000", "sqlite:////x/mlflow.db"
    assert choose_uri("http://other", begun, default) == "http://other"
    assert choose_uri(None, begun, default) == begun
    assert choose_uri(None, "", default) == default
    assert choose_uri(None, begun, "http://me:hush@there:5000") == "http://me:hush@there:5000"
    assert choose_uri(None, begun, "sqlite://") == begun, "a default that nobody needs may be wrong"
