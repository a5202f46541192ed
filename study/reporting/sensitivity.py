"""What a study will be able to see, said before it starts and again once two trials give the scale."""

from typing import Any

import numpy as np
from rich.console import Console

from audiotag.corpus.errors import count
from study.format import decimal
from study.ledger.ledger import Ledger
from study.ledger.progress import Report
from study.ledger.results import trial_result
from study.ledger.schema import StudyRecord
from study.reporting.conclusion import OFTEN
from study.stats.comparison import differences_of
from study.stats.power import called_real, resolution_of, seen
from study.stats.significance import ALPHA, LEAST_FOLDS, share_of_test


def design_line(study: StudyRecord) -> str:
    """What a study's design can see, in standard deviations s; nothing of a single trial."""
    folds, comparisons = len(study.folds), study.trials - 1
    if comparisons < 1:
        return ""
    if folds < LEAST_FOLDS:
        return f"no difference is tested with {count(folds, 'fold')}: {LEAST_FOLDS} are needed"
    place = folds, share_of_test(folds), ALPHA / comparisons
    several = f" and {comparisons} comparisons" * (comparisons > 1)
    return (
        f"with {count(folds, 'fold')}{several} a difference is called real from {called_real(*place):.1f} s on, and a "
        f"true one of {seen(*place):.1f} s is found {OFTEN} (s: standard deviation over the folds of such a difference)"
    )


class ScaleLine:
    """A listener that says once, when two trials have finished, what the study can see in units of its metric."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self._ledger, self._console = ledger, console
        self._said = ledger.study.trials < 2 or len(ledger.study.folds) < LEAST_FOLDS

    def ended(self, key: str, reason: str | None) -> None:
        """A trial finished, or failed."""
        if not self._said and (line := scale_line(self._ledger)) is not None:
            self._console.print(line, soft_wrap=True)
            self._said = True

    def started(self, key: str, config: dict[str, Any]) -> None:
        """A trial began."""

    def broke_off(self, key: str, reason: str) -> None:
        """A trial's worker died."""

    def reported(self, key: str, report: Report) -> None:
        """An epoch, or the end of a fold."""

    def pruned(self, key: str, reason: str) -> None:
        """A trial was pruned."""


def scale_line(ledger: Ledger) -> str | None:
    """What the study can see, from the differences of its first two finished trials; None without such."""
    study, found = ledger.study, (trial_result(ledger, folder) for folder in ledger.trials())
    finished = [trial for trial in found if trial is not None and trial.mean is not None][:2]
    if len(finished) < 2:
        return None
    differences = differences_of(finished[1], finished[0], study.metric)
    differences = differences[~np.isnan(differences)]
    resolution = resolution_of(differences, share_of_test(len(study.folds)), ALPHA / (study.trials - 1))
    if resolution is None:
        return None
    real, at_80, sd = (decimal(value) for value in (resolution.called_real, resolution.seen, resolution.sd))
    return (
        f"The first two trials have s = {sd}: a difference in {study.objective.mean_title} is called real from about "
        f"{real} on, and one of {at_80} is found {OFTEN}"
    )
