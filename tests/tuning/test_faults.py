"""Whose fault it is that a trial broke off."""

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError

from study.tuning import faults as module
from study.tuning.failures import UnfitNode, explain, node_is_gone
from study.tuning.faults import RESTARTS, Faults
from study.tuning.nodes import Node

# as Ray 2.60 says it
DIED = "The actor died unexpectedly before finishing this task.\n\tclass_name: A\n\tip: 10.0.0.{}\nIts worker died."
NODE_DIED = RayActorError(error_msg=DIED.format(1) + " The actor died because its node has died. Node Id: 1a2b")


def node(number: int) -> Node:
    return Node(f"node {number}", f"n{number}", 1.0, 0.0, f"10.0.0.{number}")


def died(number: int) -> RayActorError:
    return RayActorError(error_msg=DIED.format(number))


@pytest.fixture(autouse=True)
def _no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOUBT", 0.0)


def proven(*nodes: Node) -> tuple[Faults, list[Node]]:
    """Nodes from which trials have reported."""
    alive = list(nodes)
    faults = Faults(lambda: alive)
    for each in nodes:
        faults.note_report("a", each.address)
    return faults, alive


@pytest.mark.parametrize("error", [died(1), ZeroDivisionError("a bug"), ActorDiedError()])
def test_a_trial_is_given_up_after_three_restarts_by_its_own_fault(error: Exception) -> None:
    faults, _ = proven(node(1))
    for restart in range(RESTARTS + 1):
        assert not faults.gives_up("a"), restart
        faults.note("a", error)
    assert faults.gives_up("a")
    assert not faults.gives_up("b")


@pytest.mark.parametrize("error", [NODE_DIED, RayActorError(error_msg="gone", preempted=True)])
def test_a_node_that_dies_or_is_taken_away_is_no_fault_of_a_trial(error: RayActorError) -> None:
    faults, _ = proven(node(1))
    assert node_is_gone(error)
    for _ in range(2 * RESTARTS):
        faults.note("a", error)
    assert not faults.gives_up("a")


def test_what_is_said_of_a_node_that_has_gone() -> None:
    assert explain(NODE_DIED) == "its node on 10.0.0.1 died or was cut off"
    assert explain(RayActorError(error_msg="gone", preempted=True)) == "its node was taken away"


def test_a_worker_that_died_with_its_node_is_none_either() -> None:
    """The worker is seen to die first, and the node is back under the same address with another name."""
    faults, alive = proven(node(1), node(2))
    for _ in range(RESTARTS + 1):
        faults.note("a", died(1))
    alive[0] = Node("another", "n1", 1.0, 0.0, "10.0.0.1")
    assert not faults.gives_up("a")
    for _ in range(RESTARTS + 1):
        assert not faults.gives_up("a")
        faults.note("a", died(2))
    assert faults.gives_up("a")


def test_a_worker_that_does_not_answer_ran_where_it_reported_last() -> None:
    faults, alive = proven(node(1))
    silent = ActorUnavailableError("no answer", None)
    assert explain(silent) == "its worker does not answer any more"
    for _ in range(RESTARTS + 1):
        faults.note("a", silent)
    assert faults.gives_up("a")
    alive[0] = Node("another", "n1", 1.0, 0.0, "10.0.0.1")
    assert not faults.gives_up("a")


def test_a_node_on_which_two_trials_die_before_anything_was_reported_is_unfit() -> None:
    faults, alive = proven(node(1))
    alive.append(node(2))
    for _ in range(2):
        faults.note("a", died(2))
    with pytest.raises(UnfitNode, match="2 trials broke off there at once, the last because its worker died") as caught:
        faults.note("b", died(2))
    assert caught.value.nodes == ("node 2",)
    faults.note("a", died(1))
    faults.note("b", died(1))


def test_what_a_node_says_of_itself_is_taken_at_its_word() -> None:
    faults, _ = proven(node(1))
    with pytest.raises(UnfitNode, match="its torch is 1, here 2"):
        faults.note("a", UnfitNode(("node 1",), "its torch is 1, here 2"))
