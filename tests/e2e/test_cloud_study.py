"""A study in an object store: killed on one machine, finished on another, the same as in a folder."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.ports import port_answers
from place import ROOT, Place, kill
from soak import differences

from study import cloud, load
from study.ledger import mirror
from study.ledger.store import Store

pytestmark = pytest.mark.slow
URL = "s3://lab/team"
ASKED = ["--space", "mixup_alpha", "--trials", "2", "--epochs", "2"]
# a lease that expires soon: the study of a killed driver is free for another machine
DRIVER = """
import runpy, sys
from study.ledger import driver, lease
lease.RENEWED, lease.LOOK = 0.5, 0.2
lease.EXPIRES = driver.EXPIRES = 4.0
sys.argv = ["study/run.py", *sys.argv[1:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def server(place: Place, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A server of S3's protocol on this machine, and its bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port}")
    for name, value in {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": "topsecret", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    log = place.root / "server.log"
    with log.open("wb") as file:
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(free_port)]
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        port_answers(free_port, process, log)
        bucket = urllib.request.Request(f"http://127.0.0.1:{free_port}/lab", method="PUT")
        urllib.request.urlopen(bucket, timeout=60).close()
        yield Store(URL)
    finally:
        process.kill()
        process.wait()


def start(place: Place, machine: str, *words: str) -> subprocess.Popen[bytes]:
    """A driver on a machine, that is with a cache of its own, in a session of its own."""
    cache = {"XDG_CACHE_HOME": str(place.root / machine), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", DRIVER, *words, "--corpus", str(place.root / "corpus")]
    with (place.root / f"{machine}.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--tracking-uri", place.store, "--cpus-per-trial", "0.5"],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | cache,
            cwd=ROOT,
        )


def test_a_study_goes_on_from_the_cloud(place: Place, server: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    here = start(place, "here", *ASKED, "--name", "here", "--studies", str(place.root / "studies"))
    first = start(place, "first", *ASKED, "--name", "s", "--studies", URL)
    while not (folds := [key for key in server.list("s") if key.endswith(("fold_0.json", "fold_1.json"))]):
        assert first.poll() is None, (place.root / "first.log").read_text()
        time.sleep(0.02)
    kill(first.pid)
    first.wait()
    kept = {key: found.version for key, found in server.list("s").items() if key in folds}

    second = start(place, "second", "--resume", "s", "--studies", URL)
    assert second.wait() == 0, (place.root / "second.log").read_text()
    told = (place.root / "second.log").read_text()
    assert f"study/report.py s --studies {URL}" in told
    assert "topsecret" not in told
    objects = server.list("s")
    assert kept.items() <= {key: found.version for key, found in objects.items()}.items()  # not trained again
    assert not [key for key in objects if key.endswith((".tmp", "running.pt", "driver.json"))]
    assert not [key for key in objects if "/ray/" in key]
    assert b"topsecret" not in b"".join((server.get(key) or [b""])[0] for key in objects)

    monkeypatch.setenv("XDG_CACHE_HOME", str(place.root / "third"))
    monkeypatch.setattr(cloud, "_urls", {})
    monkeypatch.setattr(mirror, "_mirrors", {})
    study = load("s", studies=URL)
    assert here.wait() == 0, (place.root / "here.log").read_text()
    assert differences(place.study("here"), study.folder) == []
    assert study.record.folder == f"{URL}/s"
    assert Path(study.folder).is_relative_to(place.root / "third")


def test_tagging_from_the_cloud_takes_the_weights_of_one_trial(place: Place, server: Store) -> None:
    """A study that was copied there by other means, such as the provider's own command."""
    study = place.study("here")
    for path in study.rglob("*"):
        if path.is_file() and "ray" not in path.parts and not path.name.startswith("."):
            server.put(f"copied/{path.relative_to(study)}", path.read_bytes())
    command = [sys.executable, str(ROOT / "study" / "tag.py"), "cop", str(place.root / "corpus" / "audio" / "3.wav")]
    done = subprocess.run(
        [*command, "--studies", URL, "--json"],
        capture_output=True,
        check=False,
        env=os.environ | {"XDG_CACHE_HOME": str(place.root / "fourth")},
    )
    assert done.returncode == 0, done.stderr
    assert b'"hum"' in done.stdout
    assert len(list((place.root / "fourth").rglob("fold_*.pt"))) == 3
    assert len([key for key in server.list("copied") if key.endswith(".pt")]) == 6
