"""What a request asks of the machine and of the corpus, found out before anything is started."""

import argparse
import os
import socket
from pathlib import Path

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.splits import split_fold

CPU_FACTS = Path("/proc/cpuinfo")
BF16_ARITHMETIC = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux names it; the last on ARM
CARDS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # a machine with GPUs has one of them


class PlanError(ValueError):
    """A request that cannot be met; one line for the user."""


def check_resources(arguments: argparse.Namespace) -> None:
    """A first check that needs no Ray: more cores or cards a trial than this machine has, on a cluster of our own."""
    cores = os.cpu_count() or 1
    if arguments.address is not None:
        return
    if arguments.cpus_per_trial is not None and arguments.cpus_per_trial > cores:
        raise PlanError(
            f"--cpus-per-trial is {arguments.cpus_per_trial:g}, but this machine has {cores}: ask for no more."
        )
    if arguments.gpus_per_trial and not has_cards():
        raise PlanError(f"--gpus-per-trial is {arguments.gpus_per_trial:g}, but this machine has no GPU: leave it out.")


def has_cards() -> bool:
    """Whether this machine seems to have a GPU."""
    return any(Path(device).exists() for device in CARDS)


def lacks_bf16() -> bool:
    """Whether this machine's CPU says what it can do, and bf16 arithmetic is not among it."""
    try:
        words = set(CPU_FACTS.read_text().split())
    except OSError:
        return False
    return bool(words & {"flags", "Features"}) and not words & BF16_ARITHMETIC


def check_writable(folder: Path) -> None:
    """A folder that cannot be made or written is told before Ray has started."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise PlanError(f"The study folder {folder} cannot be written ({there} does not allow it): choose --studies.")


def check_folds(corpus: Corpus, arguments: argparse.Namespace) -> None:
    """Splits each fold once, so that a corpus that the protocol cannot use is told before training.

    Whether it can be split does not depend on the seed.
    """
    for fold in corpus.fold_numbers:
        try:
            split_fold(corpus, fold, arguments.protocol or "paper", arguments.seed or 0)
        except ValueError as error:
            raise PlanError(f"Fold {fold} of the corpus `{corpus.name}`: {error}") from error


def check_address(address: str | None) -> None:
    """A first check that needs no Ray, which tries an address where nothing listens for minutes."""
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise PlanError(f"--address is {address}, but must be HOST:PORT of a running Ray cluster, or auto.")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except (OSError, OverflowError) as error:
        raise PlanError(f"--address is {address}, but nothing answers there ({error}): start a cluster.") from None
