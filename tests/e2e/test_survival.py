"""Whole studies whose workers die, or whose memory runs out."""

import os
import signal
import time

import pytest
from helpers.whole_studies import finish, mlflow_lacks, read_results, start_small, wait_for
from place import Place, trial_workers
from soak import differences, without_times

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _whole(place: Place) -> None:
    """The study with which the others are compared."""
    finish(start_small(place, "whole"), place)


# workers


def test_a_trial_whose_worker_is_killed_goes_on(place: Place) -> None:
    process = start_small(place, "worker")
    wait_for(process, place.study("worker"), "trials/*/fold_0.json")
    os.kill(trial_workers(process.pid)[0], signal.SIGKILL)
    finish(process, place)
    assert "broke off because its worker died (killed, crashed or out of memory); it goes on" in place.output()
    assert "(raylet)" not in place.output()
    assert differences(place.study("whole"), place.study("worker")) == []
    assert mlflow_lacks(place, "worker") == []


def test_a_trial_whose_worker_dies_again_and_again_fails_and_the_others_go_on(place: Place) -> None:
    process, killed = start_small(place, "doomed", "--cpus-per-trial", "2"), set()  # one trial after the other
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


class Hasty(Place):
    """A place whose drivers make short pauses where memory is low: Ray starts and ends workers all the while."""

    def command(self, *words: str) -> list[str]:
        hasty = "from study.tuning import memory; memory.PAUSES = (0.1, 0.1)"
        run = f"import runpy, sys; {hasty}; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
        python, *command = super().command(*words)
        return [python, "-c", run, *command]


def test_a_study_that_is_low_on_memory_ends_and_none_of_its_trials_has_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RAY_memory_usage_threshold", "0.001")  # of all memory: Ray ends every worker at its start
        finish(start_small(Hasty(place.root), "memory"), place, code=2)
    *_, error = place.output().splitlines()
    assert error.startswith("error: Low on memory")
    assert read_results(place, "memory")["status"] == "interrupted"
    assert not list(place.study("memory").glob("trials/*/failed.json"))
    assert "KeyError" not in place.output()
    finish(place.start("--resume", "memory", "--cpus-per-trial", "0.5"), place)
    assert differences(place.study("whole"), place.study("memory")) == []
    assert mlflow_lacks(place, "memory") == []
