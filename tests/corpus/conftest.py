"""The real lists of CHiME-Home for the tests of the corpus."""

import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def metadata(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("metadata")
    with tarfile.open(shared_data / "chime_home_metadata.tar.gz") as archive:
        archive.extractall(root, filter="data")
    return root
