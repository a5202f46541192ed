"""Why a trial broke off, read from what Ray Tune keeps of it, and what is no fault of a trial."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError
from ray.tune import TuneError
from ray.tune.experiment import Trial

from study.tuning.failures import bytes_asked_for, explain, last_error, why_low_on_memory

# as Ray 2.60 says it, cut in the middle
OUT_OF_MEMORY = OutOfMemoryError(
    "2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.2, ID: 59d8) was "
    "5.98GB used / 23.54GB limit (0.254116)\nOOM kill reason: Memory usage 6357491712B exceeded threshold"
)
DIED = ActorDiedError()
NOT_STARTED = RayActorError(
    error_msg="an error in its creation task\nModuleNotFoundError: No module", actor_init_failed=True
)

# likewise, of a node without this project; Ray does not count it as a failure of the actor's start
NOT_LOADED = """The actor died unexpectedly before finishing this task.
\tclass_name: wrap_function.<locals>.ImplicitFunc
\tip: 10.0.0.2
The actor is dead because its worker process has died. Worker exit detail: Worker exits unexpectedly. Traceback (most
  File "ray/_private/function_manager.py", line 657, in temporary_actor_method
    raise RuntimeError(
RuntimeError: The actor with name ImplicitFunc failed to import on the worker. This may be because needed library

Traceback (most recent call last):
  File "ray/_private/function_manager.py", line 696, in _load_actor_class_from_gcs
    actor_class = pickle.loads(pickled_class)
ModuleNotFoundError: No module named 'study.tuning'

An unexpected internal error occurred while the worker was executing a task."""


def task_error(cause: Exception) -> RayTaskError:
    """A trial's own exception, as Ray brings it."""
    return RayTaskError("train", f"Traceback ...\n{cause!r}", cause)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A trial as Tune has it, whose files are in a folder of the test."""
    storage: Any = SimpleNamespace(trial_driver_staging_path=str(tmp_path), trial_dir_name="trial")
    return Trial("train", stub=True, storage=storage)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (task_error(ZeroDivisionError("division by zero")), "of ZeroDivisionError: division by zero"),
        (task_error(ValueError("a sentence. Another.")), r"of ValueError: a sentence\. Another$"),
        (DIED, "its worker died"),
        (NOT_STARTED, "its worker could not start: ModuleNotFoundError: No module"),
        (
            RayActorError(error_msg=NOT_LOADED),
            "its worker on 10.0.0.2 could not start: ModuleNotFoundError: No module n",
        ),
        (TuneError("no such trainable\nand more"), "of Ray: no such trainable"),
    ],
    ids=["of its own", "a sentence", "died", "not started", "not loaded", "of Tune"],
)
def test_the_reason_is_that_of_the_last_failure(trial: Trial, error: Exception, reason: str) -> None:
    for before in (DIED, task_error(ValueError("another one")), OUT_OF_MEMORY):
        trial.handle_error(before)
    trial.handle_error(error)
    assert re.match(reason, explain(last_error(trial)))
    assert why_low_on_memory(last_error(trial)) is None


def test_low_memory_is_known_after_any_other_failure(trial: Trial) -> None:
    for before in (DIED, task_error(ValueError("another one"))):
        trial.handle_error(before)
        trial.handle_error(OUT_OF_MEMORY)
        reason = why_low_on_memory(last_error(trial))
        assert reason is not None
        assert "5.98GB used / 23.54GB limit" in reason


def test_a_trial_without_an_error_has_a_reason_all_the_same(trial: Trial) -> None:
    assert explain(last_error(trial)).startswith("of Ray: ")


@pytest.mark.parametrize("allocate", [torch.empty, np.empty, bytearray])
def test_memory_that_is_not_there_is_low_memory_wherever_it_was_asked_for(
    trial: Trial, allocate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.tuning.failures.memory_of_machine", lambda: 1 << 62)
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate(1 << 58)
    trial.handle_error(task_error(caught.value))
    assert why_low_on_memory(last_error(trial)) is not None
    assert why_low_on_memory(RuntimeError("shapes cannot be multiplied")) is None


@pytest.mark.parametrize("allocate", [torch.empty, np.empty])
def test_a_trial_that_asks_for_more_than_the_machine_has_is_at_fault_itself(trial: Trial, allocate: Any) -> None:
    """Otherwise one row of a space that is too large would keep all others from being trained."""
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate(1 << 58)
    trial.handle_error(task_error(caught.value))
    error = last_error(trial)
    assert why_low_on_memory(error) is None
    assert bytes_asked_for(str(error)) == pytest.approx((1 << 58) * (4 if allocate is torch.empty else 8), rel=0.01)


def test_low_memory_is_found_under_the_exceptions_of_tune() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("Caught unexpected exception") from OUT_OF_MEMORY
    assert why_low_on_memory(caught.value) is not None
    assert why_low_on_memory(None) is None
