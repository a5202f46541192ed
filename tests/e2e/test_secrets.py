"""A password in the tracking URI stands nowhere, whatever a study does; without it the study goes on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import mlflow_server
from helpers.guarded import USER, guarded
from helpers.whole_studies import finish, wait_for
from place import ROOT, Place
from soak import mlflow_differences

pytestmark = pytest.mark.slow
PASSWORD = "hush4711"


@pytest.fixture
def ray_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Ray's logs in a folder of their own, whose path is short enough for its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def files_with(secret: str, *roots: Path) -> list[Path]:
    paths = [path for root in roots for path in root.rglob("*") if path.is_file()]
    assert len(paths) > 20
    return [path for path in paths if secret.encode() in path.read_bytes()]


def report(place: Place, name: str, *options: str) -> str:
    command = [sys.executable, str(ROOT / "study" / "report.py"), name, *options]
    done = subprocess.run([*command, "--studies", str(place.root / "studies")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_password_is_stored_and_shown_nowhere(
    place: Place, free_port: int, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mlflow_server.serve(place.root, free_port)
    try:
        with guarded(f"http://127.0.0.1:{free_port}", PASSWORD) as address:
            secret = Place(place.root, f"http://{USER}:{PASSWORD}@{address}")
            words = ["--space", "mixup_alpha", "--trials", "2", "--epochs", "3", "--corpus", str(place.root / "corpus")]
            process = secret.start(*words, "--name", "s")
            wait_for(process, place.study("s"), "trials/*/fold_0.json")
            os.kill(process.pid, signal.SIGINT)
            finish(process, place, code=130)
            *_, last = place.output().splitlines()
            assert last.endswith(f"--tracking-uri http://{address}")
            # what is printed, without the password: refused by the server, and the study ends all the same
            finish(Place(place.root, f"http://{address}").start("--resume", "s"), place)
            assert "MLFLOW_TRACKING_PASSWORD" in place.output()
            assert "MLflow is behind" in place.output()
            said = report(place, "s", "--tracking-uri", f"http://{address}")
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
            said += report(place, "s")  # into the store in which it was begun
        assert said.count("warning") == said.count("the study folder has everything") == 1  # without the password
        assert mlflow_differences(f"http://127.0.0.1:{free_port}", place.study("s")) == []
        said += report(place, "s", "--tracking-uri", secret.store)  # nobody answers there any more
        finish(secret.start(*words, "--name", "none"), place, code=2)
        finish(secret.start(*words, f"--tracking-url={secret.store}"), place, code=2)
    finally:
        mlflow_server.end(server)
    assert files_with(PASSWORD, place.root, ray_folder) == []
    assert PASSWORD not in said
