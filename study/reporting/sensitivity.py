"""What a study will be able to see, said before it starts and again once two trials give the scale."""

from typing import Any

import numpy as np
from rich.console import Console

from audiotag.corpus.errors import count
from study.cli import say
from study.format import decimal
from study.ledger.ledger import Ledger
from study.ledger.progress import Report
from study.ledger.results import trial_result
from study.ledger.schema import StudyRecord
from study.reporting.conclusion import OFTEN
from study.reporting.prose import folds_in_words
from study.stats.comparison import differences_of
from study.stats.fixed_split import LEAST_SEEDS
from study.stats.interims import looks_of
from study.stats.power import called_real, seen
from study.stats.significance import ALPHA, LEAST_FOLDS, ROUNDING, share_of_test


def design_line(study: StudyRecord) -> str:
    """What a study's design can see, in standard deviations of a difference; nothing of a single trial."""
    if study.trials < 2:
        return ""
    if study.has_fixed_split:
        return _fixed_split_line(study)
    if _differences(study) < LEAST_FOLDS:
        return f"no difference is tested with {folds_in_words(study)}: {LEAST_FOLDS} folds are needed"
    several = f" and {study.trials - 1} comparisons" * (study.trials > 2)
    real, at_80 = _bounds(study)
    first = ""
    if study.is_until_clear and len(study.folds) >= LEAST_FOLDS:
        first = f" (after the first partition from {_bounds(study, 1)[0]:.1f} s)"
    return (
        f"with {folds_in_words(study, _partitions(study))}{several}, a difference is called real from {real:.1f} times "
        f"its standard deviation s over the folds on{first}; a true difference of {at_80:.1f} s is found {OFTEN}"
    )


def _fixed_split_line(study: StudyRecord) -> str:
    """What is tested on a fixed split."""
    if study.repeats < LEAST_SEEDS:
        seeds = count(study.repeats, "seed")
        return f"no difference is tested with {seeds} on one fixed split: {LEAST_SEEDS} seeds are needed (--repeats)"
    return "differences are tested over groups of test clips and seeds; other training recordings are not tested"


def _partitions(study: StudyRecord) -> int:
    """Over how many partitions two trials are compared, at most."""
    return study.most or len(study.partitions)


def _differences(study: StudyRecord) -> int:
    """Over how many folds, of all these partitions, two trials are compared."""
    return len(study.folds) * _partitions(study)


def _bounds(study: StudyRecord, partitions: int | None = None) -> tuple[float, float]:
    """From how many s on a difference is called real (the first by Holm), and found with 80 % power.

    After so many partitions; else after all.
    """
    n, share = len(study.folds) * (partitions or _partitions(study)), share_of_test(len(study.folds))
    level, looks = ALPHA / (study.trials - 1), looks_of(study)
    if looks is None:
        return called_real(n, share, level), seen(n, share, level)
    return called_real(n, share, looks.nominal(level)), looks.seen(level)


class ScaleLine:
    """A listener that says once, when two trials have finished, what the study can see in units of its metric."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self._ledger, self._console = ledger, console
        study = ledger.study
        self._said = study.trials < 2 or study.has_fixed_split or _differences(study) < LEAST_FOLDS

    def ended(self, key: str, reason: str | None) -> None:
        """A trial finished, or failed."""
        if not self._said and (line := scale_line(self._ledger)) is not None:
            say(self._console, line)
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
    if len(differences) < LEAST_FOLDS or np.ptp(differences) < ROUNDING:
        return None
    sd = float(differences.std(ddof=1))
    real, at_80 = (decimal(sd * bound) for bound in _bounds(study))
    return (
        f"Over the folds, the difference between the first two trials has a standard deviation of {decimal(sd)}. If "
        f"others vary as much, a difference in {study.objective.mean_title} is called real from about {real} on, and "
        f"a true difference of {at_80} is found {OFTEN}."
    )
