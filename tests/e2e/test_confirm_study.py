"""A whole confirmation, as a user starts it, killed and continued."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.whole_studies import finish, mlflow_lacks, read_results, wait_for, write_noise
from place import ROOT, Place, kill
from soak import differences

STUDY = ("--space", "augmentation", "--trials", "3", "--epochs", "2", "--cpus-per-trial", "0.5")
pytestmark = pytest.mark.slow


def start(place: Place, *words: str) -> subprocess.Popen[bytes]:
    """The command of a confirmation, in a session of its own."""
    command = [sys.executable, str(ROOT / "study" / "confirm.py"), "s", "--studies", str(place.root / place.studies)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(place.root / "cache")}
    with (place.root / "output.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--cpus-per-trial", "0.5", *words],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )


def test_a_confirmation_killed_at_any_time_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    place, corpus = Place(tmp_path), str(write_noise(tmp_path / "corpus"))
    finish(place.start(*STUDY, "--corpus", corpus, "--name", "s"), place)
    before = read_results(place, "s")
    finish(start(place), place)
    whole = place.study("s-confirmed").rename(tmp_path / "whole")
    process = start(place, "--tracking-uri", f"sqlite:///{tmp_path / 'again.db'}")
    wait_for(process, place.study("s-confirmed"), "trials/*/fold_0.json")
    kill(process.pid)
    process.wait()
    finish(start(place), place)
    assert differences(whole, place.study("s-confirmed")) == []
    results = read_results(place, "s-confirmed")
    assert [trial["status"] for trial in results["trials"]] == ["finished", "finished"]
    assert results["seed"] != before["seed"]
    assert read_results(place, "s") == before
    assert "To quote: trained again on folds and seeds" in (place.study("s") / "table.md").read_text()
    assert mlflow_lacks(place, "s") == []
