"""Whole studies: the folder that the tests of a file share."""

import pytest
from place import Place, write_sounds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with a corpus."""
    root = tmp_path_factory.mktemp("place")
    write_sounds(root / "corpus")
    return Place(root)
