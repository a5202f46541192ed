"""Helper: the searcher of a study, as Ray Tune sets it up."""

from collections.abc import Callable

from search_spaces import Space, load_space
from study.ledger.context import StudyContext
from study.ledger.ledger import Ledger
from study.ledger.progress import METRIC
from study.search.searcher import LedgerSearcher, make_searcher
from study.search.space import scan_space


def searcher_of(ledger: Ledger, space: Space | None = None, **slots: Callable[[], int]) -> LedgerSearcher:
    scan = scan_space(space or load_space(ledger.study.space))
    searcher = make_searcher(scan, ledger, StudyContext(ledger.study), **slots)
    searcher.set_search_properties(METRIC, "min", {})
    return searcher
