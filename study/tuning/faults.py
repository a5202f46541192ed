"""Whose fault it is that trials break off: their own, or that of the node on which they ran."""

import time
from collections import defaultdict
from collections.abc import Callable

from study.tuning.failures import UnfitNode, address_of, explain, node_is_gone, worker_died
from study.tuning.nodes import Node, alive_nodes

RESTARTS = 3  # of a trial by its own fault; it continues from its last saved epoch
DOUBT = 3.0  # s after which a node that died with its worker is known to be dead
FIRST = 2  # trials that end before anything came from their node: then it is the node's fault


class Faults:
    """Counts in a session why trials broke off.

    A node that dies or is taken away is no fault of a trial, and no reason not to use the node when it is back. Where
    the workers of two trials died before anything at all was reported from their node, it is the node's fault: a part
    of the installation is missing there, say. All else is the trial's own.
    """

    def __init__(self, nodes: Callable[[], list[Node]] = alive_nodes) -> None:
        self._nodes = nodes
        self._own: defaultdict[str, list[frozenset[str]]] = defaultdict(
            list
        )  # by trial: nodes on which it may have run
        self._at: dict[str, str] = {}  # by trial: the address of the node from which it reported last
        self._proven: set[str] = set()  # addresses of nodes from which any has
        self._suspected: defaultdict[str, set[str]] = defaultdict(set)  # trials, by the address of their node

    def note_report(self, key: str, address: str) -> None:
        """Note that a trial has reported from the node of this address."""
        self._at[key] = address
        self._proven.add(address)

    def note(self, key: str, error: BaseException) -> None:
        """Note why a trial broke off.

        Raises:
            UnfitNode: If no trial is to run on its node any more.
        """
        if isinstance(error, UnfitNode):
            raise error
        if node_is_gone(error):
            return
        address = address_of(error) or self._at.get(key)
        places = frozenset(node.id for node in self._nodes() if node.address == address)
        if worker_died(error) and address is not None and address not in self._proven:
            self._suspected[address].add(key)
            if len(self._suspected[address]) >= FIRST:
                why = f"{FIRST} trials broke off there at once, the last because {explain(error)}"
                raise UnfitNode(tuple(places), why)
        self._own[key].append(places if worker_died(error) else frozenset())

    def gives_up(self, key: str) -> bool:
        """Whether a trial has broken off too often to be started again.

        A worker is seen to die before its node is, if both do: so the last one's node is given a moment.
        """
        if len(self._own[key]) <= RESTARTS:
            return False
        if self._own[key][-1]:
            time.sleep(DOUBT)
        alive = {node.id for node in self._nodes()}
        self._own[key] = [places for places in self._own[key] if not places or places & alive]
        return len(self._own[key]) > RESTARTS
