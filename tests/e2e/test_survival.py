"""Whole studies whose workers die, whose disk is full, or whose tracking server goes away; and one that grows."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.guarded import end_server, serve
from helpers.whole_studies import finish, mlflow_lacks, read_results, wait_for
from place import Place, trial_workers
from soak import differences, without_times

STUDY = ("--space", "mixup_alpha", "--trials", "2", "--epochs", "3", "--cpus-per-trial", "0.5")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _whole(place: Place) -> None:
    """The study with which the others are compared."""
    finish(start(place, "whole"), place)


def start(place: Place, name: str, *words: str) -> subprocess.Popen[bytes]:
    return place.start(*STUDY, "--name", name, "--corpus", str(place.root / "corpus"), *words)


# workers


def test_a_trial_whose_worker_is_killed_goes_on(place: Place) -> None:
    process = start(place, "worker")
    wait_for(process, place.study("worker"), "trials/*/fold_0.json")
    os.kill(trial_workers(process.pid)[0], signal.SIGKILL)
    finish(process, place)
    assert "broke off because its worker died (killed, crashed or out of memory); it goes on" in place.output()
    assert "(raylet)" not in place.output()
    assert differences(place.study("whole"), place.study("worker")) == []
    assert mlflow_lacks(place, "worker") == []


def test_a_trial_whose_worker_dies_again_and_again_fails_and_the_others_go_on(place: Place) -> None:
    process, killed = start(place, "doomed", "--cpus-per-trial", "2"), set()  # one trial after the other
    study = place.study("doomed")
    while process.poll() is None and not any(study.glob("trials/*/failed.json")):
        running = list(study.glob("trials/*/running.pt"))
        for worker in set(trial_workers(process.pid)) - killed if running else ():
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        time.sleep(0.02)
    finish(process, place, code=3)
    failed, finished = read_results(place, "doomed")["trials"]
    assert (failed["status"], finished["status"]) == ("failed", "finished")
    assert failed["reason"].startswith("it broke off 4 times, the last time because its worker died")
    assert f"(trial {failed['key']}) failed: {failed['reason']}" in place.output()
    whole = read_results(place, "whole")["trials"]
    assert without_times(finished) == without_times(whole[1])


# memory


def test_a_study_that_is_low_on_memory_ends_and_none_of_its_trials_has_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", "0.001")  # of all memory: Ray ends every worker at its start
        finish(start(place, "memory"), place, code=2)
    *_, error = place.output().splitlines()
    assert error.startswith("error: Low on memory")
    assert read_results(place, "memory")["status"] == "interrupted"
    assert not list(place.study("memory").glob("trials/*/failed.json"))
    assert "KeyError" not in place.output()
    finish(place.start("--resume", "memory", "--cpus-per-trial", "0.5"), place)
    assert differences(place.study("whole"), place.study("memory")) == []
    assert mlflow_lacks(place, "memory") == []


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
        process = start(small, "full")
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
    server = serve(place.root, free_port)
    try:
        said = place.output()
        process = start(served, "served")
        wait_for(process, place.study("served"), "trials/*/fold_0.json")
        end_server(server)
        wait_for(process, place.study("served"), "trials/*/fold_1.json")
        server = serve(place.root, free_port)
        finish(process, place)
        output = [line for line in place.output()[len(said) :].splitlines() if served.store in line]
        outages = sum("Training goes on and nothing is lost" in line for line in output)
        assert outages <= sum("is up to date again" in line for line in output) + 1, "an outage is reported once"
        assert outages or any("MLflow is behind" in line for line in output)
        assert mlflow_lacks(served, "served") == []
    finally:
        end_server(server)
    assert differences(place.study("whole"), place.study("served")) == []


# a larger goal


def test_a_sampled_study_grows(place: Place) -> None:
    words = ["--space", "joint", "--epochs", "1", "--cpus-per-trial", "0.5", "--corpus", str(place.root / "corpus")]
    finish(place.start(*words, "--trials", "1", "--name", "grows"), place)
    (first,) = read_results(place, "grows")["trials"]
    finish(place.start("--resume", "grows", "--trials", "2"), place)
    kept, added = read_results(place, "grows")["trials"]
    assert kept == first
    assert added["params"] != first["params"]
    assert mlflow_lacks(place, "grows") == []
