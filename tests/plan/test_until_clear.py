"""A study that adds partitions until it is clear: which rows go on after each look, and what cannot be asked for."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.planning import plan_study
from rich.console import Console

from study.ledger.ledger import Ledger
from study.ledger.results import count_ended, is_complete, study_results
from study.ledger.saved_state import pack_fold
from study.ledger.schema import Figures, FoldRecord
from study.plan.confirmation import plan_confirmation
from study.plan.plan import Plan
from study.plan.preflight import PlanError
from study.plan.request import LOOKS, Request
from study.plan.until_clear import Look, take_look
from study.reporting.looks import look_in_words

ROWS = [(f"{number:02}.wav", number // 8, "x" * (number % 2)) for number in range(40)]
NOISE = np.array([0.0, 0.01, -0.01, 0.004, -0.004])
FOLDS = len(NOISE)


@pytest.fixture
def plan(folder_corpus: Callable[..., Path], tmp_path: Path) -> Callable[..., Plan]:
    """Plan a study of three trials whose baseline is the first."""
    root = folder_corpus(ROWS, seconds=0.2)
    options = {"corpus": root, "space": "mixup_alpha", "trials": 3, "epochs": 2, "name": "s", "until_clear": True}
    return lambda **more: plan_study(tmp_path, **options | more)


def resumed(plan: Callable[..., Plan], **options: Any) -> Plan:
    given = {"space": None, "trials": None, "epochs": None, "name": None, "corpus": None, "until_clear": False}
    return plan(**given | {"resume": "s"} | options)


def train(ledger: Ledger, plan: Plan, partition: int, differences: Sequence[float], spread: float = 1.0) -> None:
    """Finish a partition of its trials, whose EERs differ so much from the first trial's, more or less."""
    for number, (parameters, gap) in enumerate(zip(plan.scan.parameters, differences, strict=False)):
        config = plan.context.config(parameters)
        folder = ledger.trial(plan.context.key(config))
        if partition not in ledger.study.partitions_of(folder.key):
            continue
        if folder.read_trial() is None:
            folder.write_trial(number, config.to_dict())
        part = folder.for_partition(partition).for_seeds(ledger.study.seeds)[0]
        noise = np.roll(NOISE, partition + number) * (number > 0) * spread
        for fold, own in zip(plan.study.folds, noise, strict=True):
            mean = 0.2 + gap + own
            record = FoldRecord(fold, {"eer": Figures({"x": mean}, mean)}, 0, 1, 1.0, (), (), folder.trial)
            part.write_fold(record, pack_fold({"held_out": np.zeros((1, 1))}, {"w": torch.zeros(1)}))


def keys(ledger: Ledger) -> list[str]:
    return [folder.key for folder in ledger.trials()]


def advance(ledger: Ledger, look: Look | None) -> Look:
    assert look is not None
    ledger.update_study(drawn=look.study.drawn, settled=look.study.settled)
    return look


def test_rows_that_are_clear_get_no_more_and_the_baseline_goes_on_with_the_others(plan: Callable[..., Plan]) -> None:
    made = plan(most=3)
    ledger = made.open_ledger()
    assert (made.study.most, made.study.drawn, made.study.settled) == (3, (), None)
    train(ledger, made, 1, [0.0, 0.1, -0.015])
    look = advance(ledger, take_look(ledger, made.corpus))
    none, worse, unclear = keys(ledger)
    assert [row.outcome for row in look.rows] == ["worse", "indistinguishable"]
    assert [row.key for row in look.goes_on] == [unclear]
    assert ledger.study.drawn[0].trials == tuple(sorted((none, unclear)))
    assert [ledger.study.partitions_of(key) for key in (none, worse, unclear)] == [[1, 2], [1], [1, 2]]
    assert (count_ended(ledger), is_complete(ledger)) == (1, False)
    assert take_look(ledger, made.corpus) is None  # not before they are trained
    text = look_in_words(look.number, look.rows, look.goes_on, look.study)
    assert text.startswith("Look 1 of 3 at most, over 1 partition. ")
    assert "worse than the baseline. Not clear yet: " in text
    assert text.endswith("Partition 2 follows for it and the baseline.")

    train(ledger, made, 2, [0.0, 0.1, -0.015])
    train(ledger, made, 3, [0.0, 0.1, -0.015])  # nothing: no trial has it
    look = advance(ledger, take_look(ledger, made.corpus))
    assert [row.key for row in look.rows] == [unclear]
    assert look.rows[0].outcome == "better"
    assert (look.goes_on, ledger.study.settled, is_complete(ledger)) == ((), True, True)
    assert take_look(ledger, made.corpus) is None
    assert [len(trial.partitions) for trial in study_results(ledger, "finished").trials] == [1, 0, 1]


def test_it_ends_after_the_partitions_that_were_allowed(plan: Callable[..., Plan]) -> None:
    made = plan(most=2)
    ledger = made.open_ledger()
    for partition in (1, 2):
        train(ledger, made, partition, [0.0, 0.001, -0.001], spread=5.0)
        look = advance(ledger, take_look(ledger, made.corpus))
    assert [row.is_open for row in look.rows] == [True, True]
    assert (look.goes_on, ledger.study.settled, len(ledger.study.partitions)) == ((), True, 2)
    assert "Not clear: " in look_in_words(look.number, look.rows, look.goes_on, look.study)


def test_rows_that_equal_the_baseline_or_are_the_same_get_no_more(plan: Callable[..., Plan]) -> None:
    made = plan(margin=0.05)
    assert made.study.most == LOOKS
    ledger = made.open_ledger()
    train(ledger, made, 1, [0.0, 0.0, 0.0], spread=0.0)
    assert advance(ledger, take_look(ledger, made.corpus)).study.settled  # equal in every fold
    ledger.update_study(settled=None)
    train(ledger, made, 1, [0.0, 0.0, 0.0])
    ledger.ended.clear()
    look = advance(ledger, take_look(ledger, made.corpus))
    assert [row.posterior.is_same for row in look.rows] == [True, True]
    assert look.study.settled


def test_a_baseline_that_fails_ends_it(plan: Callable[..., Plan]) -> None:
    made = plan(most=3)
    ledger = made.open_ledger()
    train(ledger, made, 1, [0.0, 0.1, -0.015])
    advance(ledger, take_look(ledger, made.corpus))
    train(ledger, made, 2, [0.0, 0.1, -0.015])
    ledger.trials()[0].for_partition(2).write_failure("it diverged")
    for fold in made.study.folds:
        (ledger.trials()[0].path / f"fold_{fold}_partition_2.json").unlink()
    look = advance(ledger, take_look(ledger, made.corpus))
    assert (look.goes_on, ledger.study.settled) == ((), True)


def test_a_trial_that_fails_in_a_partition_goes_on_no_more(plan: Callable[..., Plan]) -> None:
    made = plan(most=3)
    ledger = made.open_ledger()
    train(ledger, made, 1, [0.0, -0.02, -0.02], spread=3.0)
    assert len(advance(ledger, take_look(ledger, made.corpus)).goes_on) == 2
    train(ledger, made, 2, [0.0, -0.02, -0.02], spread=3.0)
    failed = ledger.trials()[2]
    failed.for_partition(2).write_failure("it diverged")
    for fold in made.study.folds:
        (failed.path / f"fold_{fold}_partition_2.json").unlink()
    look = advance(ledger, take_look(ledger, made.corpus))
    assert failed.key not in [row.key for row in look.goes_on]
    assert failed.key not in [key for part in ledger.study.drawn[1:] for key in part.trials or ()]


def test_its_partitions_are_those_of_a_study_that_has_them_from_the_start(plan: Callable[..., Plan]) -> None:
    made = plan(most=3)
    ledger = made.open_ledger()
    for partition in (1, 2):
        train(ledger, made, partition, [0.0, 0.001, -0.001], spread=5.0)
        advance(ledger, take_look(ledger, made.corpus))
    fixed = plan(name="other", until_clear=False, partitions=3).study
    own = [(part.seed, part.folds) for part in ledger.study.drawn]
    assert own == [(part.seed, part.folds) for part in fixed.drawn]


def test_a_study_killed_before_its_look_takes_it_when_it_is_resumed(plan: Callable[..., Plan]) -> None:
    made = plan(most=3)
    train(made.open_ledger(), made, 1, [0.0, 0.1, -0.015])
    again = resumed(plan)
    assert again.grows
    ledger = again.open_ledger()
    assert [len(ledger.study.partitions_of(key)) for key in keys(ledger)] == [2, 1, 2]
    train(ledger, again, 2, [0.0, 0.1, -0.015])
    last = resumed(plan)
    assert (last.grows, last.study.settled) == (False, True)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"most": 4}, "--most was 3, now it is 4"),
        ({"partitions": 2}, "--partitions is 2, but a study with --until-clear cannot grow"),
        ({"trials": 5}, "--trials is 5, but a study with --until-clear cannot grow"),
    ],
)
def test_its_looks_and_comparisons_are_planned(plan: Callable[..., Plan], options: dict[str, Any], line: str) -> None:
    plan(most=3).open_ledger()
    with pytest.raises(PlanError, match=line):
        resumed(plan, **options)
    assert resumed(plan, until_clear=True, most=3).study.most == 3


@pytest.mark.parametrize("options", [{"until_clear": True}, {"most": 3}])
def test_a_study_cannot_become_one_afterwards(plan: Callable[..., Plan], options: dict[str, Any]) -> None:
    plan(until_clear=False).open_ledger()
    with pytest.raises(PlanError, match="`s` was not begun with it"):
        resumed(plan, **options)


def test_partitions_that_cannot_all_be_drawn_are_refused_at_the_start(
    folder_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [(f"{number}.wav", number % 2, "x" * (number // 2 % 2), f"g{number % 2}") for number in range(8)]
    root = folder_corpus(rows, header="filename,fold,tags,group", seconds=0.2)
    with pytest.raises(ValueError, match="in so many ways: ask for --most 1"):
        plan_study(tmp_path, corpus=root, space="mixup_alpha", until_clear=True, most=4)


def test_its_confirmation_has_one_partition_of_its_own(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(most=2)
    ledger = made.open_ledger()
    train(ledger, made, 1, [0.0, 0.1, -0.1])
    advance(ledger, take_look(ledger, made.corpus))
    confirmed = plan_confirmation(Request(studies=tmp_path / "studies"), Console(file=io.StringIO()), ledger).study
    assert (confirmed.most, confirmed.settled, confirmed.drawn) == (None, None, ())
