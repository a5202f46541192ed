"""Rungs as a scheduler of Ray Tune: after what a trial is judged."""

from types import SimpleNamespace
from typing import Any

import pytest

from study.ledger.progress import Report
from study.tuning.scheduler import FoldScheduler


@pytest.mark.parametrize(
    ("fixed_split", "report", "judged"),
    [
        (False, Report(0.2, folds_done=2), [2]),
        (True, Report(0.2, seeds_done=1), [1]),
        (True, Report(0.2, folds_done=1), [0]),  # the end of the trial, which is no rung
        (True, Report(0.2, fold=1, seed=0), []),
    ],
)
def test_a_trial_is_judged_after_folds_or_after_seeds_of_a_fixed_split(
    fixed_split: bool, report: Report, judged: list[int]
) -> None:
    seen: list[int] = []
    rungs: Any = SimpleNamespace(judge=lambda key, done, mean: seen.append(done) or (done == 1 or None))
    context: Any = SimpleNamespace(study=SimpleNamespace(has_fixed_split=fixed_split), key_of=lambda config: "key")
    scheduler, trial = FoldScheduler(rungs, context), SimpleNamespace(config={})
    decision = scheduler.on_trial_result(None, trial, report.to_dict())  # type: ignore[arg-type]
    assert seen == judged
    assert decision == (scheduler.STOP if 1 in judged else scheduler.CONTINUE)
