"""A study that another program continues says so."""

from dataclasses import replace

import pytest
from helpers.small_study import STUDY

import study.ledger.provenance as provenance
from study.ledger.provenance import continued_with, current_provenance, provenance_changes
from study.ledger.schema import Provenance, StudyRecord

A, B = 40 * "a", 40 * "b"
VERSIONS = {"python": "3.11.7", "torch": "2.11.0"}
BEGUN = replace(STUDY, versions=VERSIONS, git_commit=A)


def continue_with(
    monkeypatch: pytest.MonkeyPatch, begun: StudyRecord, commit: str | None, **versions: str
) -> StudyRecord:
    now = Provenance(VERSIONS | versions, commit)
    monkeypatch.setattr(provenance, "current_provenance", lambda: now)
    return replace(begun, continued_with=continued_with(begun))


def test_what_runs_now() -> None:
    now = current_provenance()
    assert {"python", "torch", "ray", "optuna", "mlflow", "numpy", "kernels"} <= now.versions.keys()
    assert now.git_commit is None or len(now.git_commit) == 40
    assert (now.git_dirty is None) == (now.git_commit is None)


def test_the_same_program_leaves_the_study_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert continue_with(monkeypatch, BEGUN, A) == BEGUN
    assert provenance_changes(BEGUN) == []


def test_another_commit_and_another_package_are_listed_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    second = continue_with(monkeypatch, BEGUN, B)
    assert continue_with(monkeypatch, second, B) == second  # goes on with the same once more
    third = continue_with(monkeypatch, second, B, torch="2.12.0")
    assert provenance_changes(continue_with(monkeypatch, third, A)) == [
        "commit aaaaaaaaaa to bbbbbbbbbb",
        "torch 2.11.0 to 2.12.0",
        "commit bbbbbbbbbb to aaaaaaaaaa, torch 2.12.0 to 2.11.0",
    ]


def test_what_is_not_known_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    assert continue_with(monkeypatch, BEGUN, None) == BEGUN
    assert continue_with(monkeypatch, STUDY, B) == STUDY  # a study from before versions were kept
