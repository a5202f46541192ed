"""A study that another program goes on with says so."""

from pathlib import Path
from typing import Any

import pytest
from helpers.made_up import SMALL, make_corpus, make_study
from helpers.small_trial import make_corpus as small_corpus

import study.ledger.provenance
from search_spaces import load_space
from study.ledger.context import TrialSettings
from study.ledger.ledger import Ledger
from study.ledger.provenance import LATER, carried_on, continuations, made_with
from study.plan.plan import Plan

COMMITS = {name: 40 * name for name in "abc"}
BEGUN = {"versions": {"python": "3.11.7", "torch": "2.11.0"}, "git_commit": COMMITS["a"], "seed": 3}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what runs now."""

    def settle(commit: str | None, **versions: str) -> None:
        now = {"versions": {**BEGUN["versions"], **versions}, "git_commit": commit}  # type: ignore[dict-item]
        monkeypatch.setattr(study.ledger.provenance, "made_with", lambda: now)

    return settle


def test_what_runs_now() -> None:
    now = made_with()
    assert {"python", "torch", "ray", "optuna", "mlflow", "numpy"} <= now["versions"].keys()
    assert now["git_commit"] is None or len(now["git_commit"]) == 40


def test_the_same_program_leaves_the_study_as_it_is(runs: Any) -> None:
    runs(COMMITS["a"])
    assert carried_on(BEGUN) is BEGUN
    assert continuations(BEGUN) == []


def test_another_commit_and_another_package_are_said_each_time(runs: Any) -> None:
    runs(COMMITS["b"])
    second = carried_on(BEGUN)
    assert {**second, LATER: None} == {**BEGUN, LATER: None}
    assert carried_on(second) is second  # goes on with the same once more
    runs(COMMITS["b"], torch="2.12.0")
    third = carried_on(second)
    runs(COMMITS["a"])
    assert continuations(carried_on(third)) == [
        "commit aaaaaaaaaa to bbbbbbbbbb",
        "torch 2.11.0 to 2.12.0",
        "commit bbbbbbbbbb to aaaaaaaaaa, torch 2.12.0 to 2.11.0",
    ]
    assert continuations(BEGUN) == []


def test_what_is_not_known_is_no_difference(runs: Any) -> None:
    runs(None)
    assert carried_on(BEGUN) is BEGUN
    runs(COMMITS["b"])
    old = {"seed": 3}  # of a study from before versions were kept
    assert carried_on(old) is old


def test_a_study_that_goes_on_keeps_what_it_went_on_with(runs: Any, tmp_path: Path) -> None:
    made = make_study(tmp_path / "s", corpus=make_corpus(**SMALL), finished=1)
    made.write_study({**made.study(), **BEGUN})
    settings = TrialSettings(str(tmp_path / "s"), {}, "f", 0, "paper")
    for commit, kept in (
        ("a", []),
        ("b", ["commit aaaaaaaaaa to bbbbbbbbbb"]),
        ("b", ["commit aaaaaaaaaa to bbbbbbbbbb"]),
    ):
        runs(COMMITS[commit])
        there = Ledger.open(tmp_path / "s").study()
        plan = Plan(tmp_path / "s", there, load_space("mixup_alpha"), small_corpus(), settings, resumed=True)
        assert continuations(plan.ledger().study()) == kept
