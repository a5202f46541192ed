"""Helper: the searcher of a study, as Ray Tune sets it up."""

from search_spaces import Space, load_space
from study.ledger.context import StudyContext
from study.ledger.ledger import Ledger
from study.ledger.reports import METRIC
from study.search.searcher import LedgerSearcher, make_searcher


def searcher_of(ledger: Ledger, space: Space | None = None) -> LedgerSearcher:
    searcher = make_searcher(space or load_space(ledger.study.space), ledger, StudyContext(ledger.root, ledger.study))
    searcher.set_search_properties(METRIC, "min", {})
    return searcher
