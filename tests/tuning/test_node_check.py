"""Nodes of a cluster that is not our own, looked at before training."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from study.tuning import node_check, probe
from study.tuning.cluster import ResourceError
from study.tuning.node_check import leave_out
from study.tuning.nodes import Node
from study.tuning.probe import compare, describe, look

HERE = {"Python": "3.11.7", "torch": "2.11.0", "numpy": "2.4.1", "loops": "compiled", "sources": "abc"}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({}, None),
        ({"torch": "2.10.0"}, "its torch is 2.10.0, here 2.11.0"),
        ({"torch": "missing", "numpy": "1.26"}, "its torch is missing, here 2.11.0; its numpy is 1.26, here 2.4.1"),
        ({"sources": "def"}, "its audiotag or study is not the same as here"),
        ({"loops": "missing"}, "audiotag's loops are missing there and compiled here: run `make install`"),
        ({"torch": "2.10.0", "trouble": "CUDA does not start (no driver)"}, "CUDA does not start (no driver)"),
    ],
)
def test_a_node_must_compute_as_this_machine_does(other: dict[str, str], reason: str | None) -> None:
    found = compare(HERE, HERE | other, with_cards=False)
    assert found == reason if reason is None else reason in (found or "")


def test_loops_of_the_cpu_do_not_matter_where_trials_train_on_cards() -> None:
    assert compare(HERE, HERE | {"loops": "missing"}, with_cards=True) is None


def test_what_is_described_is_what_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = describe()
    assert set(facts) == set(HERE)
    assert "missing" not in (facts["torch"], facts["numpy"])
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr("study.__file__", str(tmp_path / "__init__.py"))
    changed = describe()
    assert changed["sources"] != facts["sources"]
    assert changed | {"sources": ""} == facts | {"sources": ""}


def test_a_node_that_cannot_load_the_program_or_start_cuda_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_why_no_cuda", lambda: "no driver")
    assert look(with_cards=True)["trouble"] == "CUDA does not start (no driver)"
    monkeypatch.setattr(probe, "TRAINS", "study.nowhere")
    assert "ModuleNotFoundError: No module named 'study.nowhere'" in look(with_cards=False)["trouble"]


@pytest.mark.parametrize("head_is_there", [True, False])
def test_where_a_node_says_nothing_its_head_is_looked_at(
    head_is_there: bool, monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    """Without it no node says anything, which is not their fault."""

    def get(answer: str, timeout: float) -> None:
        raise ray.exceptions.GetTimeoutError

    never = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *_: "answer"))
    monkeypatch.setattr(ray, "remote", lambda **_: lambda question: never)
    monkeypatch.setattr(ray, "wait", lambda asked, **_: ([], asked))
    monkeypatch.setattr(ray, "get", get)
    context = SimpleNamespace(gcs_address=f"127.0.0.1:{free_port}")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(node_check, "PATIENCE", 0)
    node = Node("a" * 56, "A", 1, 0)
    if head_is_there:
        with socket.create_server(("127.0.0.1", free_port)):
            assert node_check.why_not([node], HERE, False) == {node.id: "it has not answered within 60 s"}
        return
    with pytest.raises(ResourceError, match=rf"^The head of the cluster at 127\.0\.0\.1:{free_port} no longer answers"):
        node_check.why_not([node], HERE, with_cards=False)


def test_nodes_that_will_not_do_are_left_out_with_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, said, asked = [Node("a", "A", 1, 0), Node("b", "B", 1, 0), Node("head", "H", 0, 0)], list[str](), list[Any]()
    per_trial = {"cpu": 1.0, "gpu": 0.0}

    def find(of: dict[str, str]) -> None:
        monkeypatch.setattr(node_check, "why_not", lambda *given: asked.append(given) or of)

    find({"b": "too old"})
    assert leave_out(nodes, HERE, per_trial, said.append) == ["b"]
    assert said == ["node B is not used: too old"]
    assert asked == [(nodes[:2], HERE, False)], "one that holds no trial is not asked"
    find({"a": "too new", "b": "too old"})
    with pytest.raises(ResourceError, match="Each of the 2 nodes"):
        leave_out(nodes, HERE, per_trial, said.append)
    assert len(said) == 3
