"""Ray, started or joined. Imports as little as possible: the rest is imported while Ray starts."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import ray

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


class ResourceError(ValueError):
    """More resources asked for than there are; one line for the user."""


def start_ray(
    cpus: float | None, gpus: float | None, address: str | None, meanwhile: Callable[[], object]
) -> dict[str, float]:
    """Start Ray, or join the cluster at `address`, quietly; return what a trial gets: {"cpu": c, "gpu": g}.

    `meanwhile` runs in a thread of its own while Ray starts, and has ended when this returns. Tune imports MLflow right
    before the first trial, to count callbacks for its telemetry, although that is off: 1.1 s, a tenth of the time to a
    study's first training step, unless it is there already.

    Where None is given: four trials per GPU where there are GPUs, one core each where there are none.

    Raises:
        ResourceError: If a trial asks for more than the cluster has, or no cluster answers at the address.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    os.environ |= {"TUNE_DISABLE_SIGINT_HANDLER": "1", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    os.environ |= ALLOCATOR  # inherited by the workers of our own cluster
    options: dict[str, Any] = {"runtime_env": {"env_vars": ALLOCATOR}} if address else {"include_dashboard": False}
    try:
        with running(meanwhile):
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except ConnectionError as error:
        raise ResourceError(f"--address is {address}, but no Ray cluster answers there: {error}") from error
    except Exception as error:  # Ray has no kind of its own for a start that takes more than its 30 s
        raise ResourceError(f"Ray did not start: {error} Nothing is lost: try again later.") from error
    # we report a worker that died, with its trial; Ray prints a paragraph besides and has no public switch for it, but
    # this private function, which tests/tuning/test_cluster.py watches
    if hasattr(ray._private.worker, "print_to_stdstream"):
        setattr(ray._private.worker, "print_to_stdstream", lambda *_, **__: None)  # noqa: B010
    there = ray.cluster_resources()
    cores, cards = there.get("CPU", 0.0), there.get("GPU", 0.0)
    gpus = gpus if gpus is not None else (0.25 if cards else 0.0)
    cpus = cpus if cpus is not None else (min(1.0, cores * gpus / cards) if gpus and cards else 1.0)
    for flag, asked, most in (("--cpus-per-trial", cpus, cores), ("--gpus-per-trial", gpus, cards)):
        if asked > most:
            raise ResourceError(f"{flag} is {asked:g}, but this Ray cluster has {most:g}: ask for no more than that.")
    return {"cpu": cpus, "gpu": gpus}


@contextmanager
def running(work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a thread beside the block."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join()


def stop_ray() -> None:
    """End our cluster with all its workers, or leave the one that was joined."""
    ray.shutdown()


def count_slots(per_trial: dict[str, float]) -> int:
    """How many trials the cluster holds side by side."""
    there = ray.cluster_resources()
    shares = [there.get(name.upper(), 0.0) / asked for name, asked in per_trial.items() if asked]
    return max(1, int(min(shares) + 1e-9))
