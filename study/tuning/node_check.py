"""Looks at each node of a cluster that is not our own before training; those that will not do are left out."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.tuning import probe
from study.tuning.cluster import ResourceError
from study.tuning.crew import Crew
from study.tuning.failures import explain
from study.tuning.nodes import Node, find_share, wait_for_nodes
from study.tuning.watch import PATIENCE, PAUSE, head_answers

LIMIT = 60.0  # s in which a node must answer; importing torch from a cold disk takes half of it


def gather(
    cpus: float | None,
    gpus: float | None,
    joined: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> Crew:
    """Wait for nodes, and choose what a trial gets and where trials run.

    Args:
        cpus: That a trial asks for; None: see `find_share`.
        gpus: Likewise.
        joined: Whether the cluster is not our own, so that its nodes may differ from this machine.
        say: Is told in a line that there is nothing to run on yet.
        warn: Is told of each node that is left out, in a line.

    Raises:
        ResourceError: If no node will do.
    """
    nodes = wait_for_nodes(cpus, gpus, say)
    per_trial = find_share(cpus, gpus, nodes, smallest_card(nodes) if gpus is None else None)
    if not joined:
        return Crew(per_trial)
    expected = probe.describe()
    return Crew(per_trial, tuple(leave_out(nodes, expected, per_trial, warn)), expected)


def leave_out(
    nodes: list[Node], expected: dict[str, str], per_trial: dict[str, float], warn: Callable[[str], None]
) -> list[str]:
    """The names by which Ray knows the nodes that will not do. `warn` is told of each in a line.

    Raises:
        ResourceError: If that leaves no node that holds a trial.
    """
    holding = [node for node in nodes if node.holds(per_trial)]
    reasons = why_not(holding, expected, bool(per_trial["gpu"]))
    for node in holding:
        if node.id in reasons:
            warn(f"node {node.name} is not used: {reasons[node.id]}")
    if len(reasons) == len(holding):
        one = f"The node {holding[0].name}" if len(holding) == 1 else f"Each of the {len(holding)} nodes"
        raise ResourceError(f"{one} that would hold a trial cannot be used, as said above: mend it, then start again.")
    return sorted(reasons)


def smallest_card(nodes: list[Node]) -> float | None:
    """The memory of the smallest GPU of some nodes (bytes); None where no node has a GPU, or none tells."""
    answers = _ask([node for node in nodes if node.cards and node.cores], True, probe.card_bytes)
    found = []
    for answer in answers.values():
        with suppress(ray.exceptions.RayError):  # the node is asked again, for its reason, before it trains
            found.append(ray.get(answer, timeout=0))
    return min((size for size in found if size is not None), default=None)


def why_not(nodes: list[Node], expected: dict[str, str], with_cards: bool) -> dict[str, str]:
    """Why some nodes cannot be used, by Ray's names of them.

    Raises:
        ResourceError: If the cluster's head has gone meanwhile.
    """
    answers = _ask(nodes, with_cards, probe.look, with_cards)
    found = {name: _read(answer, expected, with_cards) for name, answer in answers.items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def _ask(
    nodes: list[Node], with_cards: bool, question: Callable[..., Any], *arguments: Any
) -> "dict[str, ray.ObjectRef[Any]]":
    """Run a function of the probe on some nodes at the same time; the answers by Ray's names of them.

    An answer that takes longer than LIMIT is not ready then.

    Raises:
        ResourceError: If the cluster's head has gone meanwhile.
    """
    ray.cloudpickle.register_pickle_by_value(probe)  # a node without the program says so, instead of failing
    try:
        # a worker that has used a card keeps part of its memory until it ends
        ask = ray.remote(num_cpus=0, max_retries=0, max_calls=1 if with_cards else 0)(question)
        answers = {
            node.id: ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(
                *arguments
            )
            for node in nodes
        }
        if answers:
            _, late = ray.wait(list(answers.values()), num_returns=len(answers), timeout=LIMIT)
            if late:
                _require_head(ray.get_runtime_context().gcs_address)
        return answers
    finally:
        ray.cloudpickle.unregister_pickle_by_value(probe)


def _require_head(address: str) -> None:
    began = time.monotonic()
    while not head_answers(address):
        if time.monotonic() - began > PATIENCE:
            raise ResourceError(
                f"The head of the cluster at {address} no longer answers: start the study again once it does."
            )
        time.sleep(PAUSE)


def _read(answer: "ray.ObjectRef[dict[str, str]]", expected: dict[str, str], with_cards: bool) -> str | None:
    try:
        there = ray.get(answer, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return f"it has not answered within {LIMIT:.0f} s"
    except ray.exceptions.RayError as error:
        return f"nothing runs there because {explain(error)}"
    return probe.compare(expected, there, with_cards)
