"""What a confirmation says, in a sentence and as figures: the part of a study's findings that is to be quoted."""

import shlex

from study.cli import STUDIES
from study.cloud import shown
from study.format import decimal, probability, signed
from study.ledger.files import LedgerError
from study.ledger.findings import ConfirmedFigures
from study.ledger.ledger import Ledger
from study.reporting.prose import margin_in_words, p_value
from study.stats.analysis import Analysis
from study.stats.comparison import Comparison
from study.stats.confirmed import Confirmed, read_confirmed
from study.stats.significance import PairedTest

VERDICTS = {
    "better": "better by more than chance",
    "worse": "worse by more than chance",
    "indistinguishable": "not distinguishable from the baseline",
}


def confirmed_in(analysis: Analysis) -> Confirmed | None:
    """The confirmation of the rows that a report calls chosen and baseline; None where there is none of them."""
    try:
        found = read_confirmed(analysis.ledger, analysis.margin)
    except LedgerError:
        return None
    if found is None or analysis.best is None or analysis.baseline is None:
        return None
    same = (found.of.winner.key, found.of.baseline.key) == (analysis.best.key, analysis.baseline.key)
    return found if same else None


def confirmation_in_words(analysis: Analysis) -> str | None:
    """What the confirmation shows, to be quoted, or how far it is; None without one."""
    found = confirmed_in(analysis)
    if found is None:
        return None
    assert analysis.best is not None, "whose confirmation it is"
    label = analysis.best.label
    if failed := found.results.with_status("failed"):
        return f"The confirmation of {label} has no result, because a training failed: {failed[0].reason}."
    if found.winner is None or found.baseline is None or found.comparison is None or not found.is_complete:
        return f"A confirmation of {label} has begun; it goes on with `{confirm_command(analysis.ledger)}`."
    means = f"{decimal(found.winner.mean)} against {decimal(found.baseline.mean)} of the baseline"
    return (
        f"To quote: trained again on folds and seeds that had no part in the choice, {label} has a "
        f"{analysis.objective.mean_title} of {means}: {_compared(found.comparison, analysis.margin)}."
    )


def _compared(found: Comparison, margin: float) -> str:
    """The single comparison of a confirmation."""
    test, posterior = found.test, found.posterior
    if not isinstance(test, PairedTest) or posterior is None:
        return f"not tested ({getattr(test, 'reason', 'no test')})"
    same = "the same within the margin" if posterior.is_same else None
    verdict = VERDICTS.get(found.outcome, found.outcome)
    better, alike, worse = (probability(p) for p in (posterior.better, posterior.same, posterior.worse))
    return (
        f"difference {signed(test.difference)}, 95 % interval {signed(test.low)} to {signed(test.high)}, "
        f"p {p_value(test.p)}; P(better) {better}, P(the same within {margin_in_words(margin)}) {alike}, "
        f"P(worse) {worse}; {' and '.join(filter(None, (verdict, same)))}"
    )


def confirmed_figures(analysis: Analysis) -> dict[str, ConfirmedFigures]:
    """The figures of the confirmation by the keys of the study's own trials; empty as long as it has no result."""
    found = confirmed_in(analysis)
    if found is None or found.comparison is None or not found.is_complete or not found.winner or not found.baseline:
        return {}
    test, posterior = found.comparison.test, found.comparison.posterior
    values: dict[str, float | None] = {"difference": test.difference}
    if isinstance(test, PairedTest):
        values |= {"difference_low": test.low, "difference_high": test.high, "p": test.p}
    if posterior is not None:
        values |= {"p_better": posterior.better, "p_same": posterior.same, "p_worse": posterior.worse}
    return {
        found.of.winner.key: ConfirmedFigures(found.winner.mean, **values),
        found.of.baseline.key: ConfirmedFigures(found.baseline.mean),
    }


def confirm_command(ledger: Ledger) -> str:
    """The command that confirms a study, or continues its confirmation."""
    words, folder = ["python", "study/confirm.py", ledger.root.name], ledger.root.parent
    return shlex.join([*words, "--studies", shown(folder)] if folder != STUDIES.absolute() else words)
