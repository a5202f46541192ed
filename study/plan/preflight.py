"""What a request needs of the machine and of the corpus, found out before anything is started."""

import math
import os
import socket
from collections.abc import Collection
from pathlib import Path

import numpy as np

from audiotag.corpus.corpus import Corpus, scoring_problems
from audiotag.corpus.errors import count
from audiotag.corpus.labels import have_unknown
from audiotag.corpus.splits import FIXED, PROTOCOLS, split_fold
from audiotag.metrics import METRICS
from audiotag.models.backend import COMPILED
from study.ledger.mirror import mirror_of
from study.plan.request import Request
from study.tuning.address import PATIENCE

CPU_FACTS = Path("/proc/cpuinfo")
BF16_ARITHMETIC = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux names it; the last on ARM
LOOPBACK = ("127.0.0.1", "::1")
CARDS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # a machine with GPUs has one of them
MPS_PIPES = "/tmp/nvidia-mps"  # where MPS has them by default
JOB_COPY = "_ray_pkg_"  # what the names of Ray's copies of working directories begin with


class PlanError(ValueError):
    """A request that cannot be met; one line for the user."""


def check_resources(request: Request) -> None:
    """Check without Ray that no trial of a cluster of our own asks for more cores or cards than this machine has.

    Raises:
        PlanError: Where one does.
    """
    cores = os.cpu_count() or 1
    if request.address is not None:
        return
    if request.cpus_per_trial is not None and request.cpus_per_trial > cores:
        raise PlanError(
            f"--cpus-per-trial is {request.cpus_per_trial:g}, but this machine has {cores}: ask for no more."
        )
    if request.gpus_per_trial and not has_cards():
        raise PlanError(f"--gpus-per-trial is {request.gpus_per_trial:g}, but this machine has no GPU: leave it out.")


def has_cards() -> bool:
    """Whether this machine seems to have a GPU."""
    return any(Path(device).exists() for device in CARDS)


def trains_on_own_cpu(request: Request) -> bool:
    """Whether the trials train on this machine's CPU, not on its cards or in a cluster that runs already."""
    cards = has_cards() if request.gpus_per_trial is None else request.gpus_per_trial
    return not cards and request.address is None


def lacks_bf16(facts: Path = CPU_FACTS) -> bool:
    """Whether this machine's CPU lists its instructions, and bf16 arithmetic is not among them."""
    try:
        words = set(facts.read_text().split())
    except OSError:
        return False
    return bool(words & {"flags", "Features"}) and not words & BF16_ARITHMETIC


def kernels_note(per_trial: dict[str, float]) -> str:
    """A warning where trials train on a CPU without the compiled loops, which all nodes have or none."""
    if COMPILED or per_trial["gpu"]:
        return ""
    return (
        "note: audiotag's loops are not compiled, or were for an earlier version: a training step takes twice as long;"
        " `make install` compiles them where there is g++ 12 or later"
    )


def mps_note(per_trial: dict[str, float], address: str | None, pipes: Path | None = None) -> str:
    """A warning where trials share this machine's GPU, whose work does not overlap without CUDA's MPS."""
    pipes = pipes or Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", MPS_PIPES))
    if not 0 < per_trial["gpu"] < 1 or address is not None or (pipes / "control").exists():
        return ""
    return (
        f"note: {1 / per_trial['gpu']:.0f} trials share a GPU and take turns on it, because CUDA's MPS does not run: "
        "`nvidia-cuda-mps-control -d` starts it, and --gpus-per-trial 1 does without"
    )


def check_writable(folder: Path) -> None:
    """Check before Ray starts that a folder can be made or written, and lasts, or an object store.

    Raises:
        PlanError, StoreError: Where it cannot, or does not.
    """
    if (mirror := mirror_of(folder)) is not None:
        mirror.store.impatient().now()
        return
    if is_in_job_copy(folder):
        raise PlanError(
            f"The study folder {folder} is in the copy of the checkout that Ray makes for a job and deletes later: "
            "choose --studies."
        )
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise PlanError(f"The study folder {folder} cannot be written ({nearest} does not allow it): choose --studies.")


def check_tracking_lasts(uri: str | None, default: str) -> None:
    """Check that MLflow's store is not in a copy that is deleted, where the default is.

    Raises:
        PlanError: Where it is.
    """
    if uri is None and is_in_job_copy(Path(default)):
        raise PlanError(
            f"MLflow's store would be {default}, in the copy of the checkout that Ray makes for a job and deletes "
            "later: choose --tracking-uri."
        )


def is_in_job_copy(path: Path) -> bool:
    """Whether a path lies in the copy of a working directory that Ray makes on a node for `ray job submit`."""
    return any(part.startswith(JOB_COPY) for part in path.absolute().parts)


def protocol_of(request: Request, corpus: Corpus) -> str:
    """The protocol of a new study."""
    return FIXED if corpus.has_fixed_split else request.protocol or PROTOCOLS[0]


def check_design(request: Request, corpus: Corpus) -> None:
    """Check that nothing is asked for that only a corpus with folds has.

    Raises:
        PlanError: Where the corpus has one fixed split, and something is.
    """
    if not corpus.has_fixed_split:
        return
    has = f"but the corpus `{corpus.name}` has one fixed split"
    if request.protocol is not None:
        raise PlanError(
            f"--protocol is {request.protocol}, {has}, whose validation clips stop the training: leave it out."
        )
    if request.until_clear:
        raise PlanError(f"--until-clear is given, {has}, which is not drawn anew: use --repeats.")
    if request.scheduler == "asha" and (seeds := request.repeats or 1) < 2:
        raise PlanError(
            f"--scheduler is asha, {has}, on which it judges trials after some of their seeds, and there is {seeds}: "
            "add --repeats 3, or leave it out."
        )


def check_folds(corpus: Corpus, protocol: str, seed: int) -> None:
    """Split each fold once, so that a corpus that the protocol cannot use is refused before training.

    Whether it can be split does not depend on the seed.

    Raises:
        PlanError: Where it cannot.
    """
    for fold in corpus.fold_numbers:
        try:
            split_fold(corpus, fold, protocol, seed)
        except ValueError as error:
            raise PlanError(f"Fold {fold} of the corpus `{corpus.name}`: {error}") from error


def check_partition(corpus: Corpus, partition: int, protocol: str, seed: int, metric: str, option: str) -> None:
    """Check that the folds of a partition that was drawn can be trained on and scored; the corpus has these folds.

    `option` asked for so many.

    Raises:
        PlanError: Where they cannot.
    """
    if problem := division_problem(corpus, protocol, seed, metric):
        raise PlanError(
            f"The folds that were drawn for partition {partition} cannot be used: {problem} "
            f"Or ask for {option} {partition - 1}."
        )


def division_problem(corpus: Corpus, protocol: str, seed: int, metric: str) -> str | None:
    """Why folds that were drawn, which the corpus has, cannot be trained on and scored; None where they can."""
    if problems := scoring_problems(corpus):
        return problems[0]
    try:
        check_folds(corpus, protocol, seed)
        check_metric(corpus, metric)
    except PlanError as error:
        return str(error)
    return None


def check_metric(corpus: Corpus, metric: str) -> None:
    """Score made-up probabilities of each fold once: a metric that does not exist on a corpus cannot choose a trial.

    Raises:
        PlanError: Where a fold has no figure of it.
    """
    for fold in corpus.fold_numbers:
        targets = corpus.targets[corpus.folds == fold]
        if math.isnan(METRICS[metric].score(targets, np.zeros_like(targets))[1]):
            needs = f" (it needs {METRICS[metric].needs} per clip)" if METRICS[metric].needs else ""
            raise PlanError(
                f"--metric is {metric}, but fold {fold} of the corpus `{corpus.name}` has no figure of it{needs}: "
                f"choose another of {', '.join(METRICS)}."
            )


def check_losses(corpus: Corpus, losses: Collection[str]) -> None:
    """Check that each clip of a corpus has exactly one tag, where a trial's loss is the cross-entropy over tags.

    Raises:
        PlanError: Where one has none, or several.
    """
    if "cross_entropy" not in losses:
        return
    if have_unknown(corpus.targets):
        raise PlanError(
            f"The value of `loss` is 'cross_entropy', which needs every label, but some of the corpus `{corpus.name}` "
            "are unknown: use 'bce'."
        )
    tags = corpus.targets.sum(axis=1)
    if (wrong := np.flatnonzero(tags != 1)).size:
        clip, many = corpus.clips[wrong[0]], int(tags[wrong[0]])
        have = f"{count(len(wrong), 'clip')} of the corpus `{corpus.name}` {'has' if len(wrong) == 1 else 'have'}"
        raise PlanError(
            f"The value of `loss` is 'cross_entropy', which needs exactly one tag per clip, but {have} none or several "
            f"(the first is {clip} with {many}): use 'bce'."
        )


def check_loopback(request: Request, hosts: tuple[str, ...] = LOOPBACK) -> None:
    """Check without Ray, which tries for minutes, that the processes of a cluster of our own can reach each other.

    Raises:
        PlanError: Where this machine cannot be reached from itself.
    """
    if request.address is not None:
        return
    reasons = [_why_unreachable(host) for host in hosts]
    if all(reasons):
        raise PlanError(
            f"Ray's processes talk to each other on {hosts[0]}, but this machine has no connection to itself there "
            f"({reasons[0]}): switch the loopback interface on (`ip link set lo up`), or open its firewall."
        )


def _why_unreachable(host: str) -> str | None:
    """Why nobody on this machine can connect to it at an address of its own; None where it works."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, 0), family=family) as server:
            socket.create_connection(server.getsockname()[:2], timeout=PATIENCE).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
