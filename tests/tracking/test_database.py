from pathlib import Path

import pytest
import sqlalchemy

from study.tracking.database import make_database


def make_table(engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table t (x)"))


def names(path: Path) -> list[str]:
    return sqlalchemy.inspect(sqlalchemy.create_engine(f"sqlite:///{path}")).get_table_names()


def test_a_database_whose_making_breaks_off_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"

    def break_off(engine: sqlalchemy.Engine) -> None:
        make_table(engine)
        assert not path.exists()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        make_database(path, break_off)
    assert list(tmp_path.iterdir()) == []
    path.touch()  # what SQLite leaves that was only opened
    make_database(path, make_table)
    assert names(path) == ["t"]
    make_database(path, break_off)  # it is there
    assert list(tmp_path.iterdir()) == [path]
