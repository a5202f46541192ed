"""A cluster that was joined, watched while trials run."""

import socket
from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace

import pytest

from study.tuning import watch as module
from study.tuning.crew import Crew
from study.tuning.nodes import Node
from study.tuning.watch import Watch

CREW = Crew({"cpu": 2.0, "gpu": 0.0}, unused=("bad",))


class Cluster:
    """What a watch sees and says."""

    def __init__(self, port: int) -> None:
        self.nodes = [Node("a", "A", 4.0, 0.0), Node("head", "H", 0.0, 0.0)]
        self.address, self.told, self.lost = f"127.0.0.1:{port}", list[list[str]](), list[str]()
        self.changed, self.ended = Event(), Event()

    def note(self, nodes: list[Node]) -> None:
        self.told.append([node.id for node in nodes])
        self.changed.set()

    def end(self, address: str) -> None:
        self.lost.append(address)
        self.ended.set()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Stands for the head of a cluster: something that listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, server: socket.socket) -> Cluster:
    made = Cluster(server.getsockname()[1])
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(module, "alive_nodes", lambda unused: [node for node in made.nodes if node.id not in unused])
    monkeypatch.setattr(module.ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=made.address))
    return made


def test_nodes_that_come_and_go_change_the_slots(cluster: Cluster) -> None:
    with Watch(CREW, cluster.note, cluster.end) as watch:
        assert watch.slots == 2
        for nodes, slots in ((["a", "b"], 4), ([], 0), (["c"], 2)):
            cluster.changed.clear()
            cluster.nodes = [Node(name, name, 4.0, 0.0) for name in [*nodes, "bad"]]
            assert cluster.changed.wait(30)
            assert (watch.slots, cluster.told[-1]) == (slots, nodes)
    assert cluster.lost == []


def test_a_head_that_does_not_answer_is_told_once(cluster: Cluster, server: socket.socket) -> None:
    with Watch(CREW, cluster.note, cluster.end) as watch:
        server.close()
        cluster.nodes = []  # nobody asks for them any more
        assert cluster.ended.wait(30)
        watch._thread.join(30)
    assert cluster.lost == [cluster.address]
    assert cluster.told == []
