"""A helper of tests: machines that keep their studies in one object store, which is in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from study import cloud
from study.ledger import mirror
from study.ledger.mirror import Mirror
from study.ledger.store import Store

URL = "s3://lab/team"
Machines = Callable[..., Path]


def make_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any = Store) -> Machines:
    """A function that gives the folder of studies of a machine, by its name; all have one store, of a kind."""
    objects = MemoryStore()

    def machine(name: str, url: str = URL) -> Path:
        folder = tmp_path / name
        if folder not in mirror._mirrors:
            monkeypatch.setitem(cloud._urls, folder, url)
            monkeypatch.setitem(mirror._mirrors, folder, Mirror(folder, kind(url, objects, patience=0)))
        mirror._mirrors[folder]._fetched.clear()  # as a new process
        return folder

    return machine
