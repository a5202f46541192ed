"""Whole studies whose disk is full, or whose tracking server goes away and comes back."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import mlflow_server
from helpers.whole_studies import finish, mlflow_lacks, start_small, wait_for
from place import Place
from soak import differences

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _whole(place: Place) -> None:
    """The study with which the others are compared."""
    finish(start_small(place, "whole"), place)


# the disk


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[Path]:
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(root)], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_a_full_disk_ends_the_study_in_a_line_and_room_continues_it(place: Place) -> None:
    with small_disk(place.root / "disk", "24m") as disk:
        small = Place(place.root, studies=Path(disk.name))
        process = start_small(small, "full")
        wait_for(process, small.study("full"), "trials/*/fold_0.json")
        ballast, said = disk / "ballast", place.output()
        filled = subprocess.run(
            ["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], stderr=subprocess.DEVNULL, check=False
        )
        assert filled.returncode != 0
        finish(process, place, code=2)
        errors = [line for line in place.output()[len(said) :].splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "cannot be written (No space left on device)" in errors[0]
        assert "Traceback" not in place.output()
        ballast.unlink()
        finish(small.start("--resume", "full", "--cpus-per-trial", "0.5"), place)
        assert differences(place.study("whole"), small.study("full")) == []
        assert mlflow_lacks(small, "full") == []


# the tracking server


def test_a_tracking_server_that_dies_and_comes_back_lacks_nothing(place: Place, free_port: int) -> None:
    served = Place(place.root, f"http://127.0.0.1:{free_port}")
    server = mlflow_server.serve(place.root, free_port)
    try:
        said = place.output()
        process = start_small(served, "served")
        wait_for(process, place.study("served"), "trials/*/fold_0.json")
        mlflow_server.end(server)
        wait_for(process, place.study("served"), "trials/*/fold_1.json")
        server = mlflow_server.serve(place.root, free_port)
        finish(process, place)
        output = [line for line in place.output()[len(said) :].splitlines() if served.store in line]
        outages = sum("Training goes on and nothing is lost" in line for line in output)
        assert outages <= sum("is up to date again" in line for line in output) + 1, "an outage is reported once"
        assert outages or any("MLflow is behind" in line for line in output)
        assert mlflow_lacks(served, "served") == []
    finally:
        mlflow_server.end(server)
    assert differences(place.study("whole"), place.study("served")) == []
