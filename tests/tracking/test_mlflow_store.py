"""study.tracking.mlflow_store: how a database comes to be, what a server says, and several writers at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.tracked import wait_for

from study.tracking.mlflow_store import open_client, reason, server_version
from study.tracking.tracking_uri import default_uri

MAKE = (
    "import os, sys; from study.tracking.mlflow_store import open_client\n"
    "os.link = os.symlink = None  # as on exFAT\n"
    "open_client(sys.argv[1]).search_experiments()"
)


@pytest.mark.slow
def test_a_database_is_made_whole_by_one_process_even_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "50%41 or?"
    folder.mkdir()
    command = [sys.executable, "-c", MAKE, default_uri(folder)]
    with subprocess.Popen(command) as killed:
        aside = folder / "mlflow.db-new"
        wait_for(lambda: aside.is_file() and aside.stat().st_size > 0)
        os.kill(killed.pid, signal.SIGKILL)
    assert not (folder / "mlflow.db").exists()
    (folder / "mlflow.db").touch()  # SQLite leaves an empty file where it was only opened
    racing = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=120)[1] for process in racing] == [b"", b""]
    assert [process.returncode for process in racing] == [0, 0]
    assert sorted(path.name for path in folder.iterdir()) == ["mlflow.db", "mlflow.db-lock"]
    assert [experiment.name for experiment in open_client(default_uri(folder)).search_experiments()] == ["Default"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_long_reason_ends_at_a_word() -> None:
    line = reason(ValueError("word " * 500))
    assert line.endswith("word ...")
    assert len(line) < 400


@pytest.mark.parametrize(
    ("status", "content", "version"),
    [
        (200, "2.14.3", (2, 14)),
        (200, "3.17.0rc1", (3, 17)),
        (200, "<html>3.17</html>", None),
        (404, "404 page not found", None),
        (401, "You are not authenticated.", None),
    ],
)
def test_the_version_of_a_server(
    status: int, content: str, version: tuple[int, int] | None, server_that_says: Callable[[int, str], str]
) -> None:
    assert server_version(server_that_says(status, content)) == version


def test_a_database_and_a_server_that_is_away_have_no_version(free_port: int) -> None:
    assert server_version("sqlite:////nowhere/mlflow.db") is None
    assert server_version(f"http://127.0.0.1:{free_port}") is None
