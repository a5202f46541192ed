"""Ray, started or joined. Imports as little as possible: the rest is imported while Ray starts."""

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import ray

from study import PROJECT
from study.tuning.address import ON_A_MACHINE_OF_IT, PATIENCE, say_address

# A trial runs in a thread, whose part of the heap glibc returns to the kernel at every step. What faulting it in again
# costs depends on the machine: from nothing measurable to a third of a training step. The last line: small freed pieces
# are not cached, where they would fragment the space for activations (50 MB per worker)
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0",
}

PACKAGES = ("audiotag", "study", "search_spaces")  # of this program
RETIRED = ("RAY_AIR_LOCAL_CACHE_DIR", "TUNE_RESULT_DIR")  # variables without use, which make Tune raise an error
MEMBER_SECONDS = 10.0  # that this machine may still need to become a node of a cluster that is there
HEAD_SECONDS = 600  # without the head of a cluster, long before which we have ended the session (`study.tuning.watch`)
START_SECONDS = 55.0  # that Ray may take on an idle machine, where it takes 6: it gives up by itself, but not always


class ResourceError(ValueError):
    """More resources asked for than there are, or no Ray; one line for the user."""


class OutsideError(ConnectionError):
    """This machine is no part of the cluster."""


def start_ray(address: str | None) -> None:
    """Start Ray, or join the cluster at `address`, quietly.

    Raises:
        ResourceError: If Ray cannot be started or joined.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    os.environ |= {"TUNE_DISABLE_SIGINT_HANDLER": "1", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    os.environ |= ALLOCATOR  # inherited by the workers of our own cluster
    if address:
        os.environ["RAY_gcs_rpc_server_reconnect_timeout_s"] = str(HEAD_SECONDS)  # noqa: SIM112  # Ray's name
    for name in RETIRED:
        os.environ.pop(name, None)
    options: dict[str, Any] = {"runtime_env": shipped()} if address else {"include_dashboard": False}
    with kept_back():
        try:
            named = "local" if address is None else knock(address)
            ray.init(named, log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:  # Ray has no kind of its own for most of them
            raise ResourceError(_why_not_started(error, address)) from error
    # we report a worker that died, with its trial; Ray prints a paragraph besides and has no public switch for it, but
    # this private function, which tests/tuning/test_cluster.py watches
    if hasattr(ray._private.worker, "print_to_stdstream"):
        setattr(ray._private.worker, "print_to_stdstream", lambda *_, **__: None)  # noqa: B010


def shipped() -> dict[str, Any]:
    """The environment of workers on other machines: this program's packages travel to them, compiled loops included.

    A `.gitignore` beside them, which names compiled files, is not looked at: Ray heeds only one within a package.
    """
    return {
        "env_vars": ALLOCATOR,
        "py_modules": [str(PROJECT / name) for name in PACKAGES],
        "excludes": ["**/__pycache__"],
    }


@contextmanager
def running(work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a thread beside the block, and wait for it at the block's end."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join()


@contextmanager
def kept_back() -> Iterator[None]:
    """Drop what C++ writes to standard error; what Python writes is shown.

    Ray's C++ tells there of each attempt to connect, in lines of its own format.
    """
    try:
        shown = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    before = sys.stderr
    if replaced := _writes_to(before, 2):
        sys.stderr = os.fdopen(shown, "w", buffering=1, errors=before.errors)  # loggers made meanwhile keep it
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        sys.stderr = before
        if not replaced:
            os.close(shown)


def _writes_to(stream: Any, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, ValueError):  # none, or one of a test or a notebook
        return False


def knock(address: str) -> str:
    """Ask a cluster whether it lets us in, and show it this user's token where it wants one; return its HOST:PORT.

    Clusters want a token since Ray 2.60. At an address that is named `ray.init` shows none, and tries for 24 s; with
    `auto` it shows the one that it has, and a token that is shown to a cluster that wants none makes its workers die.
    Where this machine is no part of the cluster `ray.init` tries for a minute, and does not say so. Ray has no public
    way to ask: these are private parts of it, and tests/tuning/test_join.py notices when they change.

    Raises:
        AuthenticationError: If the cluster does not accept the token, or there is none.
        ConnectionError: If `auto` finds no cluster.
        OutsideError: If this machine is no part of the cluster.
    """
    from ray._private.authentication import authentication_token_setup as setup
    from ray._private.services import canonicalize_bootstrap_address_or_die, find_node_ids
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # its stub lacks it

    logging.getLogger("ray").setLevel(logging.ERROR)  # it would tell how to do without a token
    named: str = canonicalize_bootstrap_address_or_die(address)
    setup.ensure_token_if_auth_enabled(create_token_if_missing=False)  # without one GcsClient ends the process
    try:
        client = GcsClient(address=named)
    except ray.exceptions.AuthenticationError:
        if not setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
            raise
        client = GcsClient(address=named)
    deadline = time.monotonic() + MEMBER_SECONDS
    while not find_node_ids() & {node.hex() for node in client.get_all_node_info(timeout=PATIENCE)}:
        if time.monotonic() > deadline:
            raise OutsideError
        time.sleep(0.5)
    return named


def _why_not_started(error: Exception, address: str | None) -> str:
    """Why Ray was not started or joined, in a line with what to do."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = lines[0].rstrip(".")
    if address is not None:
        return f"{say_address(address)}, but {_why_not_joined(error, reason)}"
    if "AF_UNIX path length" in reason:
        return (
            f"Ray did not start: the paths of its sockets in {temporary_folder()} are longer than the system allows: "
            "set RAY_TMPDIR to a folder with a shorter path."
        )
    return f"Ray did not start: {reason}. Nothing is lost; {where_logs_are()}."


def _why_not_joined(error: Exception, reason: str) -> str:
    """Why a cluster was not joined, with what to do; `reason` is the first line of what Ray says."""
    if isinstance(error, ray.exceptions.AuthenticationError):
        mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
        copy = "copy ~/.ray/auth_token from the machine that started the cluster, or set RAY_AUTH_TOKEN"
        remedy = copy if mode == "token" else f"unset RAY_AUTH_MODE, which is {mode}"
        return f"the Ray cluster there does not accept this user's token: {remedy}."
    if isinstance(error, OutsideError):
        return f"this machine is no node of that cluster: start the study {ON_A_MACHINE_OF_IT}, or `ray start` here."
    if "Version mismatch" in reason:
        versions = " ".join(str(error).split()).rstrip(".").removeprefix("Version mismatch: ")
        return f"the versions differ: {versions}. Start the study with those of the cluster."
    if "not find any running Ray" in reason:
        return "no Ray cluster runs on this machine: start one, or give HOST:PORT."
    if isinstance(error, ConnectionError | ray.exceptions.RpcError):
        return f"no Ray cluster answers there: {reason}."
    return f"the cluster was not joined: {reason}."


def start_limit() -> float:
    """Seconds that Ray may take to start on this machine, as busy as it is."""
    return START_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def why_overdue(address: str | None, seconds: float) -> str:
    """What to say of a Ray that has neither started nor failed within so many seconds."""
    if address is not None:
        where = f"start the study {ON_A_MACHINE_OF_IT}"
        return f"{say_address(address)}, but the cluster has not let us in within {seconds:.0f} s: {where}."
    return f"Ray has not started within {seconds:.0f} s. Nothing is lost; {where_logs_are()}."


def where_logs_are() -> str:
    """Where to look for the reason; without logs it is their folder."""
    logs = temporary_folder() / "session_latest" / "logs"
    if logs.is_dir():
        return f"Ray's logs are in {logs}"
    return f"Ray has no logs in {temporary_folder()}: set RAY_TMPDIR to a folder that can be written"


def temporary_folder() -> Path:
    """Where Ray has its sockets and logs."""
    system = os.environ.get("TMPDIR") if sys.platform == "linux" else None
    return Path(os.environ.get("RAY_TMPDIR") or system or "/tmp") / "ray"


def stop_ray() -> None:
    """End our cluster with all its workers, or leave the one that was joined.

    What Tune leaves behind refers to Ray in circles. Garbage is collected before and not meanwhile: another thread that
    drops a reference while Ray shuts down would end the process ("The core worker has already been shutdown").
    """
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()
