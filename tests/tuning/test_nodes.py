"""How many trials the nodes of a cluster hold: each of them for itself."""

from collections.abc import Iterator
from typing import Any

import pytest

from study.tuning import nodes as module
from study.tuning.cluster import ResourceError
from study.tuning.nodes import ID_LABEL, Node, alive_nodes, count_slots, find_share, place_trials, wait_for_nodes


def node(cores: float, cards: float = 0.0, name: str = "a") -> Node:
    return Node(name, name, cores, cards)


def share(cpu: float, gpu: float = 0.0) -> dict[str, float]:
    return {"cpu": cpu, "gpu": gpu}


@pytest.mark.parametrize(
    ("nodes", "per_trial", "slots"),
    [
        ([node(3), node(3)], share(2), 2),  # three in the sum
        ([node(1), node(4)], share(0.1), 50),
        ([node(0), node(4)], share(1), 4),
        ([node(64), node(4, 8)], share(0.125, 0.25), 32),
        ([node(64, 1)], share(1, 0.4), 2),
        ([node(64, 2)], share(1, 0.4), 4),  # five in the sum: a trial has no part of each card
        ([node(64, 5)], share(1, 2), 2),
        ([], share(1), 0),
    ],
)
def test_slots_are_counted_node_by_node(nodes: list[Node], per_trial: dict[str, float], slots: int) -> None:
    assert count_slots(nodes, per_trial) == slots


@pytest.mark.parametrize(
    ("nodes", "asked", "found"),
    [
        ([node(2)], (None, None), share(1)),
        ([node(2), node(1)], (2.0, None), share(2)),
        ([node(0.5)], (0.5, None), share(0.5)),
        ([node(64), node(4, 8)], (None, None), share(0.125, 0.25)),  # of the sum there would be a core for each
        ([node(64, 8), node(4, 8)], (None, 0.5), share(0.25, 0.5)),
        ([node(64, 1)], (None, 0.0), share(1, 0)),
        ([node(0, 1), node(4)], (None, None), share(1, 0)),
    ],
)
def test_the_share_of_a_trial_is_one_of_a_node(
    nodes: list[Node], asked: tuple[float | None, float | None], found: dict[str, float]
) -> None:
    assert find_share(*asked, nodes) == found


@pytest.mark.parametrize(
    ("gigabytes", "gpus"), [(None, 0.25), (80, 0.25), (14, 0.25), (13.9, 1 / 3), (8, 0.5), (6, 1), (2, 1)]
)
def test_a_small_card_is_shared_by_fewer_trials(gigabytes: float | None, gpus: float) -> None:
    size = gigabytes and gigabytes * 1e9
    assert find_share(None, None, [node(64, 1)], size)["gpu"] == gpus
    assert find_share(None, 0.1, [node(64, 1)], size)["gpu"] == 0.1
    assert find_share(None, None, [node(64)], size)["gpu"] == 0


@pytest.mark.parametrize(
    ("nodes", "asked", "line"),
    [
        ([node(1), node(1)], (2.0, None), "--cpus-per-trial is 2, but the largest node of this Ray cluster has 1:"),
        ([node(0.5)], (None, None), "--cpus-per-trial is 1, but the largest node of this Ray cluster has 0.5:"),
        ([node(8), node(8, 1)], (None, 2.0), "--gpus-per-trial is 2, but the largest node of this Ray cluster has 1:"),
        ([node(8), node(4, 1)], (8.0, 1.0), "is 8, but the largest node with so many GPUs of this Ray cluster has 4:"),
    ],
)
def test_more_than_any_node_has_is_refused_with_the_most_that_fits(
    nodes: list[Node], asked: tuple[float | None, float | None], line: str
) -> None:
    with pytest.raises(ResourceError, match=line):
        find_share(*asked, nodes)


def row(name: str, host: str, alive: bool = True, **resources: float) -> dict[str, Any]:
    """A node as Ray describes it."""
    return {
        "NodeID": name,
        "Alive": alive,
        "NodeManagerHostname": host,
        "NodeManagerAddress": "10.0.0.1",
        "Resources": resources,
    }


def test_nodes_are_those_that_are_alive_and_used_each_with_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        row("aa", "x", CPU=2.0),
        row("bb", "x", GPU=1.0),
        row("cc", "y"),
        row("dd", "z", alive=False),
        row("ee", "z"),
    ]
    monkeypatch.setattr("ray.nodes", lambda: rows)
    expected = [
        Node("aa", "x (10.0.0.1) aa", 2.0, 0.0, "10.0.0.1"),
        Node("bb", "x (10.0.0.1) bb", 0.0, 1.0, "10.0.0.1"),
        Node("cc", "y (10.0.0.1)", 0.0, 0.0, "10.0.0.1"),
    ]
    assert alive_nodes(["ee"]) == expected


def test_a_cluster_without_cores_is_waited_for_with_a_word_and_asked_for_a_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: Iterator[list[Node]] = iter([[node(0)], [node(0)], [node(0), node(1)], [node(0), node(1), node(2)]])
    last: list[list[Node]] = []

    def look() -> list[Node]:
        last[:] = [next(looks, *last)] if last else [next(looks)]
        return last[0]

    asked, said, now = list[Any](), list[str](), [0.0]
    monkeypatch.setattr(module, "alive_nodes", look)
    monkeypatch.setattr("ray.util.placement_group", lambda bundles: asked.append(bundles) or "group")
    monkeypatch.setattr("ray.util.remove_placement_group", asked.append)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert wait_for_nodes(2.0, None, said.append) == [node(0), node(1), node(2)], "those that come soon after, too"
    assert asked == [[{"CPU": 2.0}], "group"]
    assert len(said) == 1
    assert wait_for_nodes(None, None, said.append) == last[0]
    assert len(said) == 1, "nothing to wait for"


def test_trials_are_kept_off_nodes_that_are_not_used() -> None:
    request = place_trials(share(1, 0.5), ["bb", "aa"])
    assert request.bundles == [{"CPU": 1.0, "GPU": 0.5}]
    assert request._bound.kwargs == {"bundle_label_selector": [{ID_LABEL: "!in(aa,bb)"}]}
    assert place_trials(share(1)) == place_trials(share(1), ())
