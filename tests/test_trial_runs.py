"""The trials of a study run to their end, whatever becomes of the nodes."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.made_up import SMALL, make_corpus, make_study
from rich.console import Console

from search_spaces import load_space
from study import trial_runs as module
from study.reporting.live_table import LiveTable
from study.search.space import scan_space
from study.trial_runs import TrialRuns
from study.tuning.cluster import ResourceError
from study.tuning.crew import Crew
from study.tuning.failures import LowMemory, RunAgain, UnfitNode
from study.tuning.nodes import Node

NODES = [Node("a", "A", 2.0, 0.0), Node("b", "B", 2.0, 0.0), Node("head", "H", 0.0, 0.0)]
Outcome = Exception | int  # what Tune's run raises, or how many trials have ended after it


class Runs:
    """Runs of Tune with given outcomes: what they were asked for."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[Outcome]) -> None:
        self.asked: list[tuple[int, int, tuple[str, ...]]] = []  # trials, slots, nodes left out
        self.ended, self._outcomes = 0, iter(outcomes)
        ledger = make_study(root / "s", [], corpus=make_corpus(**SMALL), with_clips=False, trials=5)
        self._screen = io.StringIO()
        console = Console(file=self._screen, width=500)
        plan: Any = SimpleNamespace(scan=scan_space(load_space("mixup_alpha")), corpus=None)
        live = LiveTable(console, ledger.study, slots=1, max_epochs=1)
        crew, features = Crew({"cpu": 1.0, "gpu": 0.0}), Any
        self.runs = TrialRuns(plan, ledger, features, crew, live, [], console, lambda address: None)
        monkeypatch.setattr(module, "count_ended", lambda ledger: self.ended)
        monkeypatch.setattr(module, "alive_nodes", lambda unused: [node for node in NODES if node.id not in unused])
        monkeypatch.setattr(module, "run_trials", self._run)

    def _run(self, *_: Any, trials: int, slots: int, crew: Crew, **__: Any) -> None:
        self.asked.append((trials, slots, crew.unused))
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        self.ended = outcome

    @property
    def said(self) -> list[str]:
        return self._screen.getvalue().splitlines()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Runs]:
    return lambda *outcomes: Runs(tmp_path, monkeypatch, list(outcomes))


def test_all_run_at_once_on_nodes_that_will_do(make: Callable[..., Runs]) -> None:
    runs = make(5)
    runs.runs.run()
    assert runs.asked == [(5, 4, ())]
    assert runs.said == ["Running  4 side by side on 2 nodes, 1 CPU each"]


def test_an_unfit_node_is_left_out_and_the_rest_goes_on(make: Callable[..., Runs]) -> None:
    runs = make(UnfitNode(("b",), "its torch is 1, here 2"), 5)
    runs.runs.run()
    assert runs.asked == [(5, 4, ()), (5, 2, ("b",))]
    assert runs.said[1:] == ["node B is not used any more: its torch is 1, here 2"]


def test_without_a_node_the_study_ends_with_what_to_do(make: Callable[..., Runs]) -> None:
    runs = make(UnfitNode(("b",), "no torch"), UnfitNode(("a",), "no numpy"))
    with pytest.raises(ResourceError, match=r"No node is left .*\(no numpy\)\. .* continue with --resume s\."):
        runs.runs.run()


def test_what_ended_for_no_fault_of_a_trial_is_run_again(make: Callable[..., Runs]) -> None:
    runs = make(RunAgain("a worker did not start because it is Monday"), LowMemory("Ray ended a worker"), 5)
    runs.runs.run()
    assert runs.asked == [(5, 4, ()), (5, 4, ()), (5, 3, ())]
    assert "did not start because it is Monday" in runs.said[1]


def test_slots_that_change_are_said(make: Callable[..., Runs]) -> None:
    runs = make()
    for nodes in ([], NODES[:1], NODES[:2]):
        runs.runs._say_slots(nodes)
    waiting, one, two = runs.said
    assert "no node of the cluster holds a trial any more; waiting for one" in waiting
    assert one.endswith("1 node for trials, 2 side by side")
    assert two.endswith("2 nodes for trials, 4 side by side")
    assert runs.runs.live.slots == 4
