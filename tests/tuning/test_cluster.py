"""Ray, started as a study starts it: what its workers get, how many trials fit, and what it refuses."""

import ast
import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
import ray
from ray._private import worker

from study.tuning.cluster import (
    ALLOCATOR,
    RETIRED,
    OutsideError,
    ResourceError,
    knock,
    running,
    start_limit,
    start_ray,
    stop_ray,
    why_overdue,
)
from study.tuning.nodes import count_slots, find_share, wait_for_nodes


def restored() -> ExitStack:
    """Set back on leaving what a start changes in this process."""
    stack = ExitStack()
    stack.enter_context(patch.dict(os.environ))
    stack.enter_context(patch.object(worker, "print_to_stdstream", worker.print_to_stdstream))
    return stack


def test_ray_prints_what_it_says_of_a_dead_worker_where_the_cluster_silences_it() -> None:
    assert callable(worker.print_to_stdstream)


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[None]:
    """A cluster of our own."""
    with restored():
        start_ray(None)
        yield
        stop_ray()


def test_nothing_that_refers_to_ray_is_freed_while_it_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that frees one of its references then ends the whole process, without a word of ours."""

    class Knot:
        """Freed by the garbage collector alone."""

        def __init__(self) -> None:
            self.own = self

    left, during = weakref.ref(Knot()), list[object]()
    monkeypatch.setattr(ray, "shutdown", lambda: during.extend([left(), gc.isenabled()]))
    stop_ray()
    assert during == [None, False]
    assert gc.isenabled()


@pytest.mark.slow
def test_our_own_cluster_is_a_node_with_all_cores(own_cluster: None) -> None:
    (node,) = wait_for_nodes(None, None, pytest.fail)
    assert node.cores == os.cpu_count()
    if not node.cards:
        assert find_share(None, None, [node]) == {"cpu": 1.0, "gpu": 0.0}
    assert count_slots([node], {"cpu": 0.1, "gpu": 0.0}) == 10 * node.cores


@pytest.mark.slow
def test_workers_have_the_settings_of_the_allocator(own_cluster: None) -> None:
    found = ray.get(ray.remote(lambda: dict(os.environ)).remote())
    assert found.items() >= ALLOCATOR.items()


@pytest.mark.slow
def test_what_ray_says_of_a_dead_worker_goes_through_the_function_that_is_silenced(
    own_cluster: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    silenced, said, deadline = worker.print_to_stdstream, [], time.monotonic() + 20
    monkeypatch.setattr(worker, "print_to_stdstream", lambda *data, **how: said.append(silenced(*data, **how)))
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(ray.remote(lambda: os.kill(os.getpid(), signal.SIGKILL)).options(max_retries=0).remote())
    while not said:
        assert time.monotonic() < deadline, "Ray reports it by another way"
        time.sleep(0.02)
    assert capfd.readouterr() == ("", "")


def test_work_that_runs_beside_a_block_has_ended_after_it() -> None:
    done: list[str] = []
    with running(lambda: done.append("imported")):
        pass
    assert done == ["imported"]


NO_TOKEN = ray.exceptions.AuthenticationError("Authentication token is missing or incorrect")
VERSIONS = RuntimeError(
    "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    "This process on node 10.0.0.2 was started with:\n    Ray: 2.60.0\n    Python: 3.11.2\n"
)
TOO_LONG = OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x")


@pytest.mark.parametrize(
    ("address", "outcome", "line"),
    [
        (None, Exception("The node timed out.\nA long story."), r"Ray did not start: The node timed out\. N"),
        (None, TOO_LONG, "RAY_TMPDIR"),
        ("10.0.0.1:6379", ConnectionError("refused"), "--address is 10.0.0.1:6379, but no Ray cluster answers"),
        ("10.0.0.1:6379", NO_TOKEN, "--address is 10.0.0.1:6379, .* token"),
        ("10.0.0.1:6379", OutsideError(), "this machine is no node of that cluster: .*`--address auto`"),
        ("10.0.0.1:6379", VERSIONS, r"the versions differ: The cluster .* Python: 3\.11\.7 This .* 3\.11\.2\. S"),
        (
            "auto",
            ConnectionError("Could not find any running Ray instance. P"),
            "--address is auto, but no Ray cluster r",
        ),
    ],
)
def test_a_cluster_that_does_not_answer_is_a_mistake(address: str | None, outcome: Exception, line: str) -> None:
    door, start = patch("study.tuning.cluster.knock", side_effect=str), patch("ray.init", side_effect=outcome)
    with restored(), door, start, pytest.raises(ResourceError, match=line):
        start_ray(address)


def test_a_machine_is_outside_of_a_cluster_where_none_of_its_nodes_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def __init__(self, address: str) -> None:
            assert address == "10.0.0.1:6379"

        def get_all_node_info(self, timeout: float) -> dict[bytes, None]:
            return {b"\xaa": None, b"\xbb": None}

    monkeypatch.setattr("ray._raylet.GcsClient", Client)
    monkeypatch.setattr("study.tuning.cluster.MEMBER_SECONDS", 0.0)
    for here in ({"aa", "cc"}, {"cc"}):
        monkeypatch.setattr("ray._private.services.find_node_ids", lambda here=here: here)
        if "aa" in here:
            assert knock("10.0.0.1:6379") == "10.0.0.1:6379"
        else:
            with pytest.raises(OutsideError):
                knock("10.0.0.1:6379")


def test_a_busy_machine_gives_ray_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    idle = start_limit()
    monkeypatch.setattr(os, "getloadavg", lambda: (10.0 * (os.cpu_count() or 1), 0.0, 0.0))
    assert start_limit() == 10 * idle
    assert "42 s" in why_overdue(None, 42)
    assert "10.0.0.1:6379" in why_overdue("10.0.0.1:6379", 42)


def raising_variables(path: Path) -> Iterator[str]:
    """Variables that a file of Ray's refuses: `if os.environ.get(NAME): raise DeprecationWarning`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and any("raise DeprecationWarning" in ast.unparse(line) for line in node.body):
            for call in ast.walk(node.test):
                if isinstance(call, ast.Call) and ast.unparse(call.func) in ("os.environ.get", "os.getenv"):
                    yield ast.literal_eval(call.args[0])


@pytest.mark.slow
def test_variables_that_ray_has_retired_are_those_that_it_refuses() -> None:
    sources = [
        path for part in ("tune", "air", "_private") for path in (Path(ray.__file__).parent / part).rglob("*.py")
    ]
    assert {name for path in sources for name in raising_variables(path)} == set(RETIRED)


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", f"import os, sys\nfrom study.tuning.cluster import *\n{script}"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(words, env=variables, capture_output=True, text=True, timeout=300, check=False)


def test_what_cpp_writes_while_ray_starts_is_dropped_and_what_python_writes_is_shown() -> None:
    write = "os.write(2, b'cpp\\n'); print('python', file=sys.stderr)"
    done = python(f"with kept_back():\n    {write}\n{write}")
    assert (done.returncode, done.stderr) == (0, "python\ncpp\npython\n")
    assert python("os.close(2)\nwith kept_back():\n    print('out')\nprint('out')").stdout == "out\nout\n"


@pytest.mark.slow
def test_a_folder_in_which_ray_cannot_have_its_sockets_is_told_with_the_remedy(tmp_path: Path) -> None:
    long = tmp_path / (30 * "deep/")
    long.mkdir(parents=True)
    for folder in (long, Path("/proc/nowhere")):
        done = python("start_ray(None)", RAY_TMPDIR=str(folder))
        assert "ResourceError" in done.stderr.splitlines()[-1]
        assert f"{folder}/ray" in done.stderr.splitlines()[-1]
        assert "set RAY_TMPDIR to" in done.stderr.splitlines()[-1]
