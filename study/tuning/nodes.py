"""The nodes of the Ray cluster, and how many trials each of them holds: a trial runs on one node."""

import math
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

import ray
from ray import tune

from study.tuning.cluster import ResourceError

ID_LABEL = "ray.io/node-id"  # that Ray gives each node
SETTLED = 5.0  # s without another node, after which those that join at the start are taken for complete
PAUSE = 0.5  # s between two looks
PARTS = (4, 3, 2, 1)  # of a GPU that a trial may get where nobody says how much
ROOM = 3.5e9  # bytes of a GPU for one trial, CUDA's own included: a guess, as long as none has been measured


@dataclass(frozen=True)
class Node:
    """A node of the cluster.

    Attributes:
        id: Ray's name of it.
        name: For people.
        cores: That it offers, whether they are in use or not.
        cards: Likewise.
        address: Its IP.
    """

    id: str
    name: str
    cores: float
    cards: float
    address: str = ""

    def holds(self, per_trial: dict[str, float]) -> int:
        """How many trials of such a share it holds side by side. A part of a GPU is a part of one card."""
        cpu, gpu = per_trial["cpu"], per_trial["gpu"]
        by_cores = _fit(self.cores, cpu) if cpu else math.inf
        by_cards = math.inf if not gpu else self.cards * _fit(1.0, gpu) if gpu < 1 else _fit(self.cards, gpu)
        return int(min(by_cores, by_cards))


def _fit(there: float, asked: float) -> int:
    return int(there / asked + 1e-9)


def alive_nodes(unused: Collection[str] = ()) -> list[Node]:
    """The nodes that have joined and not gone, but for some."""
    found = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in unused]
    names = [f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in found]
    again = Counter(names)
    return [
        Node(
            node["NodeID"],
            name if again[name] == 1 else f"{name} {node['NodeID'][:6]}",
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            node["NodeManagerAddress"],
        )
        for name, node in zip(names, found, strict=True)
    ]


def find_share(
    cpus: float | None, gpus: float | None, nodes: list[Node], card_bytes: float | None = None
) -> dict[str, float]:
    """What a trial gets: {"cpu": c, "gpu": g}.

    Where None is given: four trials per GPU where there are GPUs, fewer where its memory does not hold four; so many
    cores that each node with GPUs holds them, but no more than one; one core where there are none.

    Args:
        cpus: That a trial asks for.
        gpus: Likewise.
        nodes: Of the cluster.
        card_bytes: The memory of its smallest GPU; None where that is not known.

    Raises:
        ResourceError: If no node has that much.
    """
    with_cards = [node for node in nodes if node.cards and node.cores]
    if gpus is None:
        parts = next((parts for parts in PARTS if card_bytes is None or card_bytes / parts >= ROOM), 1)
        gpus = 1 / parts if with_cards else 0.0
    if cpus is None:
        cpus = min([1.0, *(node.cores * gpus / node.cards for node in with_cards if gpus)])
    per_trial = {"cpu": cpus, "gpu": gpus}
    if any(node.holds(per_trial) for node in nodes):
        return per_trial
    offering = [node for node in nodes if not gpus or node.holds({"cpu": 0.0, "gpu": gpus})]
    if not offering:
        raise ResourceError(_too_much("--gpus-per-trial", gpus, "", max(node.cards for node in nodes)))
    kind = " with so many GPUs" if gpus else ""
    raise ResourceError(_too_much("--cpus-per-trial", cpus, kind, max(node.cores for node in offering)))


def _too_much(option: str, asked: float, kind: str, most: float) -> str:
    largest = f"the largest node{kind} of this Ray cluster has {most:g}"
    return f"{option} is {asked:g}, but {largest}: ask for no more than that."


def wait_for_nodes(cpus: float | None, gpus: float | None, say: Callable[[str], None]) -> list[Node]:
    """The nodes of the cluster, once there is one that has cores.

    Where there is none yet, the cluster is asked for a trial's share meanwhile, so that it grows where it can.
    """
    nodes = alive_nodes()
    if any(node.cores for node in nodes):
        return nodes
    say("No node with cores has joined the cluster yet; waiting for one ...")
    wanted = {"CPU": cpus or 1.0, **({"GPU": gpus} if gpus else {})}
    group = ray.util.placement_group([wanted])
    try:
        since, before = time.monotonic(), nodes
        while not any(node.cores for node in nodes) or time.monotonic() < since + SETTLED:
            time.sleep(PAUSE)
            if (nodes := alive_nodes()) != before:
                since, before = time.monotonic(), nodes
    finally:
        ray.util.remove_placement_group(group)
    return nodes


def count_slots(nodes: list[Node], per_trial: dict[str, float]) -> int:
    """How many trials the nodes hold side by side, each of them for itself."""
    return sum(node.holds(per_trial) for node in nodes)


def place_trials(per_trial: dict[str, float], unused: Collection[str] = ()) -> tune.PlacementGroupFactory:
    """Tell Tune what a trial gets, and which nodes are not used. Nodes that join later are."""
    bundle = {"CPU": per_trial["cpu"], "GPU": per_trial["gpu"]}
    if not unused:
        return tune.PlacementGroupFactory([bundle])
    elsewhere = {ID_LABEL: f"!in({','.join(sorted(unused))})"}
    return tune.PlacementGroupFactory([bundle], bundle_label_selector=[elsewhere])
