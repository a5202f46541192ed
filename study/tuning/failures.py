"""Why a trial broke off: its own exception, a worker or a node that died, or a machine that is low on memory."""

import os
import re
from pathlib import Path

import ray
from ray.tune.experiment import Trial

from audiotag.declarations.own_code import OwnCodeFailed

ENTRY = re.compile(r"^Failure # \d+ \(occurred at .*\)\n", re.MULTILINE)  # in the file to which Tune adds each error
FIGURES = re.compile(r"[\d.]+ ?GB used / [\d.]+ ?GB limit")  # in what Ray says when it ends workers
# of the traceback that Ray puts into a worker's death where it could not load what it was to run, and where that was
RAISED = re.compile(r"^(?!RuntimeError: The actor with name)[\w.]+(?:Error|Exception): .+$", re.MULTILINE)
PLACE = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)
GONE = "its node has died"  # in what Ray says of an actor
ALLOCATION = ("can't allocate memory", "not enough memory")  # torch, on Linux and elsewhere; it raises RuntimeError
ASKED = re.compile(r"tried to allocate (\d+) bytes|Unable to allocate ([\d.]+) ([KMGTPE])iB")  # torch and NumPy


class LowMemory(ValueError):
    """The machine is low on memory, which is no fault of a trial; the message is one line for the user.

    Attributes:
        progress: Whether an epoch was trained since the trials were started.
    """

    def __init__(self, reason: str, progress: bool = False) -> None:
        super().__init__(reason)
        self.progress = progress


class RunAgain(ValueError):
    """Tune's run ends without its trials, and another one goes on with them; the message is one line for the user."""


class UnfitNode(RunAgain):
    """No trial is to run on some nodes any more.

    Attributes:
        nodes: Ray's names of them.
        reason: Why, in a few words.
    """

    def __init__(self, nodes: tuple[str, ...], reason: str) -> None:
        super().__init__(nodes, reason)  # an exception travels with these
        self.nodes, self.reason = nodes, reason

    def __str__(self) -> str:
        return self.reason


def last_error(trial: Trial) -> BaseException:
    """A trial's last exception.

    Tune keeps the texts of all in one file, and the exception itself in another, but only if it was raised by the trial
    or its worker died. Both are on the driver's disk.
    """
    texts, pickled = Path(trial.error_file or ""), Path(trial.pickled_error_file or "")
    text = ENTRY.split(texts.read_text())[-1].strip() if texts.is_file() else ""
    if pickled.is_file():
        error: BaseException = ray.cloudpickle.loads(pickled.read_bytes())
        if str(error).strip() == text:
            return getattr(error, "cause", None) or error
    return ray.exceptions.RayError(text or "Ray gives no reason")


def node_is_gone(error: BaseException) -> bool:
    """Whether a trial broke off because its node died, was cut off, or was taken away."""
    return isinstance(error, ray.exceptions.RayActorError) and (error.preempted or GONE in str(error))


def worker_died(error: BaseException) -> bool:
    """Whether a trial broke off without an exception of its own: its worker died, or could not start."""
    return isinstance(error, ray.exceptions.RayActorError)


def address_of(error: BaseException) -> str | None:
    """The address of the node on which a worker died, where Ray says it."""
    found = PLACE.search(str(error))
    return found.group(1) if found else None


def why_low_on_memory(error: BaseException | None) -> str | None:
    """In a few words, where an exception or one under it says that memory was short; else None.

    A trial that asks for more at once than the machine has is at fault itself.
    """
    while error is not None:
        text = str(error)
        of_torch = isinstance(error, RuntimeError) and any(words in text for words in ALLOCATION)
        if of_torch or isinstance(error, MemoryError):
            asked = bytes_asked_for(text)
            if asked is not None and asked > memory_of_machine():
                return None  # it would fail however much of the memory is free
            return f"a trial asked for {'more' if asked is None else f'{asked / 1e9:.3g} GB'} than was free"
        if isinstance(error, ray.exceptions.RayError) and "low on memory" in text:
            figures = FIGURES.search(text)
            return "Ray ended a worker" + (f" at {figures.group()}" if figures else "")
        error = error.__cause__ or error.__context__
    return None


def bytes_asked_for(text: str) -> float | None:
    """How much memory could not be had, where an error's text says so."""
    if (found := ASKED.search(text)) is None:
        return None
    number, share, unit = found.groups()
    return float(number) if number else float(share) * 1024.0 ** (1 + "KMGTPE".index(unit))


def memory_of_machine() -> int:
    """All memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def explain(error: BaseException) -> str:
    """Why a trial broke off, in a line that goes on after "because"."""
    if isinstance(error, ray.exceptions.RayActorError):
        if error.actor_init_failed:  # a traceback, whose last line is the error
            return f"its worker could not start: {_shorten(str(error).strip().splitlines()[-1])}"
        place = f" on {address}" if (address := address_of(error)) else ""
        if node_is_gone(error):
            return f"its node{place} {'was taken away' if error.preempted else 'died or was cut off'}"
        if (raised := RAISED.search(str(error))) is not None:
            return f"its worker{place} could not start: {_shorten(raised.group())}"
        if isinstance(error, ray.exceptions.ActorUnavailableError):
            return "its worker does not answer any more"
        return "its worker died (killed, crashed or out of memory)"
    if type(error) is ray.exceptions.RayError:
        return f"of Ray: {_shorten(str(error).splitlines()[0])}"
    if isinstance(error, OwnCodeFailed):  # it names the kind itself
        return f"of {_shorten(str(error))}"
    return f"of {type(error).__name__}: {_shorten(str(error))}"


def _shorten(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
