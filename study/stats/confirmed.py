"""What the confirmation of a study shows: its two trials, trained again, against each other."""

from dataclasses import dataclass

from study.ledger.confirmation import find_confirmation
from study.ledger.ledger import Ledger
from study.ledger.results import is_complete, study_results
from study.ledger.schema import Confirms, StudyResults, TrialResult
from study.stats.comparison import Comparison, compare_trials


@dataclass(frozen=True, eq=False)
class Confirmed:
    """A confirmation.

    Attributes:
        of: The two trials of the study.
        is_complete: Whether nothing of it is left to be trained.
        winner, baseline: The same trials, trained again; None without a result.
        comparison: Of the two, which is the only one; None without both results.
    """

    of: Confirms
    results: StudyResults
    is_complete: bool
    winner: TrialResult | None
    baseline: TrialResult | None
    comparison: Comparison | None


def read_confirmed(ledger: Ledger, margin: float) -> Confirmed | None:
    """Read the confirmation of a study; None where there is none.

    Args:
        ledger: Of the study.
        margin: Means that differ by no more count as the same.

    Raises:
        LedgerError: For a confirmation that this version cannot read.
    """
    found = find_confirmation(ledger)
    if found is None or found.study.confirms is None:
        return None
    of, complete = found.study.confirms, is_complete(found)
    results = study_results(found, "finished" if complete else "interrupted")
    done = [trial for trial in results.finished if trial.mean is not None]
    winner, baseline = (
        next((trial for trial in done if trial.params == wanted.config), None) for wanted in (of.winner, of.baseline)
    )
    both = None
    if winner is not None and baseline is not None:
        (both,) = compare_trials([winner], baseline, found.study, margin)
    return Confirmed(of, results, complete, winner, baseline, both)
