"""An SQLite database that is there whole or not at all."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def make_database(path: Path, fill: Callable[[Any], None]) -> None:
    """Makes a database, unless it is there, and lets `fill` make its tables through an SQLAlchemy engine.

    MLflow makes its own in some sixty steps, and cannot open one in whose middle it was killed.
    """
    if path.is_file() and path.stat().st_size:
        return
    import sqlalchemy

    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    engine = sqlalchemy.create_engine(f"sqlite:///{aside}")
    try:
        fill(engine)
        engine.dispose()
        if path.is_file() and not path.stat().st_size:
            os.replace(aside, path)
        else:
            with suppress(FileExistsError):  # another process was quicker
                os.link(aside, path)
    finally:
        engine.dispose()
        aside.unlink(missing_ok=True)
