"""A cluster that was joined, watched while trials run: nodes that come and go, and its head."""

import socket
import time
from collections.abc import Callable
from threading import Event, Thread

import ray

from study.tuning.crew import Crew
from study.tuning.nodes import Node, alive_nodes, count_slots

PAUSE = 2.0  # s between two looks
PATIENCE = 30.0  # s without an answer of the head, after which it is taken for lost


class Watch:
    """Looks at a cluster from a thread: `slots` is how many trials it holds side by side now.

    Args:
        crew: What a trial gets, and the nodes that are not used.
        changed: Is told of the nodes that hold trials when the slots change, in the thread.
        lost: Is called with the head's address if it has not answered for PATIENCE, in the thread. The main thread may
            then wait for it within Ray, where no signal reaches it.
    """

    def __init__(self, crew: Crew, changed: Callable[[list[Node]], None], lost: Callable[[str], None]) -> None:
        self._crew, self._changed, self._lost = crew, changed, lost
        self._address = ray.get_runtime_context().gcs_address
        self._over = Event()
        self._thread = Thread(target=self._look, name="watch", daemon=True)
        self.slots = count_slots(self._nodes(), crew.per_trial)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _nodes(self) -> list[Node]:
        return [node for node in alive_nodes(self._crew.unused) if node.holds(self._crew.per_trial)]

    def _look(self) -> None:
        heard = time.monotonic()
        while not self._over.wait(PAUSE):
            if head_answers(self._address):
                heard = time.monotonic()
            elif time.monotonic() - heard > PATIENCE:
                self._lost(self._address)
                return
            else:
                continue  # Ray would wait for the head, and say nothing meanwhile
            try:
                nodes = self._nodes()
            except Exception:  # whatever Ray raises where the head has gone since
                continue
            if (slots := count_slots(nodes, self._crew.per_trial)) != self.slots and not self._over.is_set():
                self.slots = slots
                self._changed(nodes)


def head_answers(address: str) -> bool:
    """Whether a cluster's head accepts connections at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PAUSE):
            return True
    except OSError:
        return False
