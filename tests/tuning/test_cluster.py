"""Ray, started as a study starts it: what its workers get, how many trials fit, and what it refuses."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import ray
from ray._private import worker

from study.tuning.cluster import ALLOCATOR, ResourceError, count_slots, start_ray, stop_ray


def restored() -> ExitStack:
    """Set back on leaving what a start changes in this process."""
    stack = ExitStack()
    stack.enter_context(patch.dict(os.environ))
    stack.enter_context(patch.object(worker, "print_to_stdstream", worker.print_to_stdstream))
    return stack


def test_ray_prints_what_it_says_of_a_dead_worker_where_the_cluster_silences_it() -> None:
    assert callable(worker.print_to_stdstream)


@pytest.fixture(scope="module")
def per_trial() -> Iterator[dict[str, float]]:
    """A cluster of our own, with a share of a trial for which nothing is asked."""
    done: list[str] = []
    with restored():
        share = start_ray(None, None, None, meanwhile=lambda: done.append("imported"))
        assert done == ["imported"]
        yield share
        stop_ray()


@pytest.mark.slow
def test_a_trial_gets_one_core_and_as_many_run_as_there_are_cores(per_trial: dict[str, float]) -> None:
    cores = ray.cluster_resources()["CPU"]
    if "GPU" not in ray.cluster_resources():
        assert per_trial == {"cpu": 1.0, "gpu": 0.0}
    assert count_slots({"cpu": 1.0, "gpu": 0.0}) == cores
    assert count_slots({"cpu": 0.1, "gpu": 0.0}) == 10 * cores
    assert count_slots({"cpu": 2 * cores, "gpu": 0.0}) == 1


@pytest.mark.slow
def test_workers_have_the_settings_of_the_allocator(per_trial: dict[str, float]) -> None:
    found = ray.get(ray.remote(lambda: dict(os.environ)).remote())
    assert found.items() >= ALLOCATOR.items()


@pytest.mark.slow
def test_what_ray_says_of_a_dead_worker_goes_through_the_function_that_is_silenced(
    per_trial: dict[str, float], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    silenced, said, deadline = worker.print_to_stdstream, [], time.monotonic() + 20
    monkeypatch.setattr(worker, "print_to_stdstream", lambda *data, **how: said.append(silenced(*data, **how)))
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(ray.remote(lambda: os.kill(os.getpid(), signal.SIGKILL)).options(max_retries=0).remote())
    while not said:
        assert time.monotonic() < deadline, "Ray reports it by another way"
        time.sleep(0.02)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("address", "cpus", "outcome", "line"),
    [
        (None, None, Exception("The node timed out."), "Ray did not start: The node timed out."),
        ("10.0.0.1:6379", None, ConnectionError("refused"), "--address is 10.0.0.1:6379, but no Ray cluster answers"),
        (None, 3.0, None, "--cpus-per-trial is 3, but this Ray cluster has 2"),
    ],
)
def test_a_cluster_that_does_not_answer_or_is_too_small_is_a_mistake(
    address: str | None, cpus: float | None, outcome: Exception | None, line: str
) -> None:
    resources = patch("ray.cluster_resources", return_value={"CPU": 2.0})
    with restored(), resources, patch("ray.init", side_effect=outcome), pytest.raises(ResourceError, match=line):
        start_ray(cpus, None, address, meanwhile=lambda: None)
