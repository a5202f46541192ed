"""What a session says before it trains."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.planning import plan_study
from helpers.small_study import STUDY
from rich.console import Console

import study.announcement
from study.announcement import announce, bf16_note, corpus_notes, trials_notes
from study.plan.plan import Plan

CPU, CARD, CLUSTER = {"cpu": 1.0, "gpu": 0.0}, {"cpu": 1.0, "gpu": 0.25}, "10.0.0.1:6379"


@pytest.fixture
def plan(folder_corpus: Callable[..., Path], tmp_path: Path) -> Callable[..., Plan]:
    """Plan a study of a corpus with a recording that is missing."""
    rows = [(f"{number}.wav", number % 2, "x" if number % 4 < 2 else "") for number in range(8)]
    root = folder_corpus([*rows, ("gone.wav", 1, "")], seconds=0.2)
    (root / "audio" / "gone.wav").unlink()
    return lambda **options: plan_study(tmp_path, **{"corpus": root, "space": "table1", "skip_bad": True} | options)


def test_bf16_is_warned_of_on_a_cpu_that_lacks_it(plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    bf16 = plan(precision="bf16")
    monkeypatch.setattr(study.announcement, "lacks_bf16", lambda: True)
    assert "no bf16" in bf16_note(bf16, CPU, None)
    assert bf16_note(plan(), CPU, None) == ""
    assert bf16_note(bf16, CARD, None) == ""
    assert bf16_note(bf16, CPU, CLUSTER) == ""
    monkeypatch.setattr(study.announcement, "lacks_bf16", lambda: False)
    assert bf16_note(bf16, CPU, None) == ""


def test_the_first_lines_name_the_study_its_budget_and_what_is_left_out(plan: Callable[..., Plan]) -> None:
    console = Console(file=io.StringIO(), width=80)
    made = plan(name="mine", epochs=3, seed=4, repeats=2, scheduler="asha")
    announce(made, "sqlite:///x", console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("mine", "table1", "8 in 2 folds, 1 tag\n", "asha", "at most 3 epochs per fold", "seeds 4 and 5"):
        assert words in said
    assert all(f"note: {note}" in said for note in corpus_notes(made))
    skipped, left_out = corpus_notes(made)[0], corpus_notes(made)[-1]
    assert skipped == "without gone.wav: there is no such file"
    assert "cgrnn, imd" in left_out


def test_a_short_budget_is_named_where_it_may_be_changed(plan: Callable[..., Plan]) -> None:
    made = plan(name="mine")
    quick = replace(made, corpus=replace(made.corpus, kind="synthetic"))
    for own_budget, said in [(False, True), (True, False)]:
        console = Console(file=io.StringIO(), width=80)
        announce(quick, "sqlite:///x", console, own_budget=own_budget)
        assert ("--epochs overrides" in console.file.getvalue()) == said  # type: ignore[attr-defined]


@pytest.mark.parametrize(("asked", "has", "notes"), [(None, 5, 0), (3, 3, 0), (5, 5, 0), (6, 5, 1)])
def test_a_space_with_fewer_trials_than_are_asked_for_says_so(asked: int | None, has: int, notes: int) -> None:
    said = trials_notes(replace(STUDY, trials=has), asked)
    assert len(said) == notes
    assert all("--trials is 6" in note and "5 trials" in note for note in said)
