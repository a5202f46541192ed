"""All studies of a folder in a table: what each asks, how far it is, and its best row."""

from collections.abc import Sequence

from study.format import decimal, trial_name
from study.ledger.ledger import Ledger
from study.ledger.results import study_results
from study.ledger.schema import StudyResults
from study.reporting.tables import Line, Table

HEADER = ("study", "space", "corpus", "status", "best row", "", "date")


def overview(ledgers: Sequence[Ledger]) -> Table:
    """The studies, the newest last; a narrow terminal lacks the corpus, then the space, the date and the mean."""
    lines = [_line(ledger) for ledger in sorted(ledgers, key=lambda ledger: ledger.study.created)]
    return Table("", HEADER, lines, left=5, right=1, spare=[[2], [1], [6], [5]], prose=[4])


def _line(ledger: Ledger) -> Line:
    """A study's line; the date is that of its beginning (UTC)."""
    study, results = ledger.study, study_results(ledger, "interrupted")
    best, objective = results.best, study.objective
    row = trial_name(best.params, study.varied) or best.key if best else ""
    mean = f"{objective.mean_title} {decimal(best.mean)}" if best else ""
    status = "running" if ledger.is_held() else _how_far(results)
    cells = [study.name, study.space, study.corpus.name, status, row, mean, study.created[:10]]
    return Line(cells)


def _how_far(results: StudyResults) -> str:
    """Whether a study is finished, or how many of its trials have ended."""
    ended, failed = sum(not trial.goes_on for trial in results.trials), len(results.with_status("failed"))
    status = "finished" if ended >= results.study.trials else f"{ended} of {results.study.trials} trials"
    return f"{status}, {failed} failed" if failed else status
