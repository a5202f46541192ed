"""Fixtures that several test modules share."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
RATE = 8000


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
    """Writes a folder corpus from (filename, fold, tags, ...) rows, one short WAV a row; returns its root."""

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


def _folder(root: Path) -> Path:
    (root / "audio").mkdir(parents=True)
    return root
