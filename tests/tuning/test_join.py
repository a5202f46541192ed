"""Joining a cluster that runs already, with Ray's own ways to start one: with a token and without."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.ports import port_answers
from place import kill

pytestmark = pytest.mark.slow
JOIN = """
import ray
from study.tuning.cluster import ResourceError, start_ray
try:
    start_ray("127.0.0.1:{port}")
    print(ray.get(ray.remote(lambda: "a worker ran").remote()))
except ResourceError as error:
    print("refused:", error)
"""


def home_of(folder: Path, token: str | None) -> Path:
    """The home of a user who has a token, or none."""
    (folder / ".ray").mkdir(parents=True)
    if token is not None:
        (folder / ".ray" / "auth_token").write_text(token)
    return folder


@contextmanager
def cluster(port: int, home: Path, mode: str) -> Iterator[None]:
    """A cluster of one node, as `ray start --head` makes it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # a short path: sockets are in it
    words = ["start", "--head", "--block", "--port", str(port), "--num-cpus", "1", "--include-dashboard", "false"]
    environment = {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": mode, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *words, "--temp-dir", str(folder)]
    with (home / "cluster.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        port_answers(port, process, home / "cluster.log")
        yield
    finally:
        kill(process.pid)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def join(port: int, home: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    words = [sys.executable, "-c", JOIN.format(port=port)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_cluster_that_wants_a_token(tmp_path: Path, free_port: int) -> None:
    owner, stranger = home_of(tmp_path / "owner", 64 * "a"), home_of(tmp_path / "stranger", 64 * "b")
    nobody = home_of(tmp_path / "nobody", None)
    with cluster(free_port, owner, "token"):
        assert "a worker ran" in join(free_port, owner)
        for user, variables in ((stranger, {}), (nobody, {}), (nobody, {"RAY_AUTH_MODE": "token"})):
            said = join(free_port, user, **variables)
            assert said.startswith("refused: ")
            assert "auth_token" in said
        assert "unset RAY_AUTH_MODE" in join(free_port, owner, RAY_AUTH_MODE="disabled")


def test_a_cluster_that_wants_none_is_not_shown_the_token_that_a_user_has(tmp_path: Path, free_port: int) -> None:
    home = home_of(tmp_path / "owner", 64 * "a")
    with cluster(free_port, home, "disabled"):
        assert "a worker ran" in join(free_port, home)
