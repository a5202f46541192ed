"""Each node of a cluster that is not our own, looked at before training: those that would not do are not used."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.tuning import probe
from study.tuning.cluster import ResourceError
from study.tuning.crew import Crew
from study.tuning.failures import explain
from study.tuning.nodes import Node, find_share, wait_for_nodes

LIMIT = 60.0  # s in which a node must answer; importing torch from a cold disk takes half of it
MEND = {
    "sources": "its audiotag or study is not the same as here: bring its checkout to the same commit",
    "loops": "audiotag's loops are {there} there and {here} here: run `make install` on both",
}


def gather(
    cpus: float | None,
    gpus: float | None,
    studies: Path | None,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> Crew:
    """Wait for nodes, and choose what a trial gets and where trials run.

    Args:
        cpus: That a trial asks for; None: see `find_share`.
        gpus: Likewise.
        studies: The folder of studies that the nodes must share; None where they are this machine.
        say: Is told in a line that there is nothing to run on yet.
        warn: Is told of each node that is left out, in a line.

    Raises:
        ResourceError: If no node will do.
    """
    nodes = wait_for_nodes(cpus, gpus, say)
    per_trial = find_share(cpus, gpus, nodes)
    return Crew(per_trial, () if studies is None else leave_out(nodes, studies, per_trial, warn))


def leave_out(nodes: list[Node], studies: Path, per_trial: dict[str, float], warn: Callable[[str], None]) -> list[str]:
    """The names by which Ray knows the nodes that will not do. `warn` is told of each in a line.

    Raises:
        ResourceError: If that leaves no node that holds a trial.
    """
    holding = [node for node in nodes if node.holds(per_trial)]
    reasons = why_not(holding, studies, bool(per_trial["gpu"]))
    for node in holding:
        if node.id in reasons:
            warn(f"node {node.name} is not used: {reasons[node.id]}")
    if len(reasons) == len(holding):
        one = f"The node {holding[0].name}" if len(holding) == 1 else f"Each of the {len(holding)} nodes"
        raise ResourceError(f"{one} that would hold a trial cannot be used, as said above: mend it, then start again.")
    return sorted(reasons)


def why_not(nodes: list[Node], studies: Path, with_cards: bool) -> dict[str, str]:
    """Why some nodes cannot be used, by Ray's names of them; all are asked at the same time."""
    here = probe.describe()
    ray.cloudpickle.register_pickle_by_value(probe)  # the node may have another version of it, or none
    try:
        # a worker that has used a card keeps part of its memory until it ends
        ask = ray.remote(num_cpus=0, max_retries=0, max_calls=1 if with_cards else 0)(probe.look)
        with shared_token(studies) as (folder, token):
            answers = {
                node.id: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(
                    str(folder), token, with_cards
                )
                for node in nodes
            }
            ray.wait(list(answers.values()), num_returns=len(answers), timeout=LIMIT)
            found = {name: _read(answer, here, with_cards) for name, answer in answers.items()}
    finally:
        ray.cloudpickle.unregister_pickle_by_value(probe)
    return {name: reason for name, reason in found.items() if reason is not None}


@contextmanager
def shared_token(studies: Path) -> Iterator[tuple[Path, str]]:
    """Make a folder with a token in the folder of studies; nothing that is made here is left after the block."""
    made = [path for path in (studies, *studies.parents) if not path.exists()]
    token = secrets.token_hex(8)
    folder = studies / f".{token}"
    try:
        try:
            folder.mkdir(parents=True)
            (folder / probe.TOKEN).write_text(token)
        except OSError as error:
            raise ResourceError(
                f"The folder {studies} cannot be written ({error.strerror}): choose --studies."
            ) from error
        yield folder, token
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another study may be there by now
            for path in made:
                path.rmdir()


def _read(answer: "ray.ObjectRef[dict[str, str]]", here: dict[str, str], with_cards: bool) -> str | None:
    try:
        there = ray.get(answer, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return f"it has not answered within {LIMIT:.0f} s"
    except ray.exceptions.RayError as error:
        return f"nothing runs there because {explain(error)}"
    return compare(here, there, with_cards)


def compare(here: dict[str, str], there: dict[str, str], with_cards: bool) -> str | None:
    """Why a node that gave such an answer does not compute as this machine does; None where it does."""
    if "trouble" in there:
        return there["trouble"]
    found = []
    for name, value in here.items():
        if there[name] != value and not (name == "loops" and with_cards):
            found.append(MEND.get(name, "its {name} is {there}, here {here}"))
            found[-1] = found[-1].format(name=name, there=there[name], here=value)
    return "; ".join(found) or None
