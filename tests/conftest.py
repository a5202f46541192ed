"""Fixtures that several test modules share."""

import csv
import importlib
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from helpers.ports import find_port

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
RATE = 8000
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # an activated environment
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"  # the tests' own servers, whatever the proxy


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than cores: whole studies wait, for Ray, for MLflow and for what they are to survive."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole studies first: the longest tests of all would be the last alone."""
    items.sort(key=lambda item: item.path.parent.name != "e2e")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads and wait for them where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the repository: CHiME-Home metadata and six chunks, ESC-10."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def folder_corpus(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder corpus from (filename, fold, tags, ...) rows, one short WAV per row; return its root."""

    def write(
        rows: Iterable[tuple], header: str = "filename,fold,tags", seconds: float = 0.05, name: str = "own"
    ) -> Path:
        root = tmp_path / name
        with (_folder(root) / "clips.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header.split(","), *rows])
        for number, row in enumerate(rows):
            path = root / "audio" / row[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(number).uniform(-0.1, 0.1, round(RATE * seconds))
            soundfile.write(path, noise, RATE)
        return root

    return write


@pytest.fixture
def space_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str | bytes], Path]]:
    """Write the file of a search space, or of a module beside it, into a folder without other spaces; return its path.

    What was imported of it is forgotten, so that it is read again.
    """
    import search_spaces

    folder, before = tmp_path / "spaces", set(sys.modules)
    folder.mkdir()
    monkeypatch.setattr(search_spaces, "__path__", [str(folder)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would hide a second version of a file

    def forget() -> None:
        for name in set(sys.modules) - before:
            if name.startswith("search_spaces."):
                del sys.modules[name]
                vars(search_spaces).pop(name.split(".")[1], None)
        importlib.invalidate_caches()

    def write(name: str, text: str | bytes) -> Path:
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        forget()
        return path

    yield write
    forget()


def _folder(root: Path) -> Path:
    (root / "audio").mkdir(parents=True)
    return root


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in it: making one takes seconds, copying it does not.

    Most tests import MLflow, Alembic and SQLAlchemy here first. A warning of theirs would be an error in every one.
    """
    from study.tracking.mlflow_store import open_client

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    """A tracking store of the test's own."""
    from study.tracking.tracking_uri import default_uri

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return default_uri(tmp_path)


@pytest.fixture(autouse=True)
def _no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    """A study with two trials that have not begun, of two folds each, with an evaluation split."""
    from helpers.tracked import make_ledger

    return make_ledger(tmp_path / "studies" / "first", "a" * 32)


@pytest.fixture
def free_port() -> int:
    return find_port()
