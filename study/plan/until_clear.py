"""A study that adds partitions until its comparisons are clear: which rows go on after each look at them.

After each partition every row is compared with the baseline, at the levels of `study.stats.interims`. Those that are
clear (better, worse or the same) get no further partition, the others and the baseline get the next one.
"""

from dataclasses import dataclass, replace

from audiotag.corpus.corpus import Corpus
from audiotag.corpus.partitions import draw_partitions
from study.ledger.ledger import Ledger
from study.ledger.partitions import in_partition, record_partitions
from study.ledger.results import count_ended, study_results
from study.ledger.schema import StudyRecord
from study.plan.preflight import check_partition
from study.stats.analysis import compare
from study.stats.rows import ResultRow, choose_baseline, make_rows
from study.stats.significance import Untested


@dataclass(frozen=True, eq=False)
class Look:
    """A look at the comparisons of a study.

    Attributes:
        number: Partitions that it is over.
        rows: Those that it compares, without the baseline.
        goes_on: Those of them that get a further partition.
        study: The record with that partition, or settled.
    """

    number: int
    rows: tuple[ResultRow, ...]
    goes_on: tuple[ResultRow, ...]
    study: StudyRecord


def take_look(ledger: Ledger, corpus: Corpus) -> Look | None:
    """Look at the comparisons of a study; None where no look is due, as while a trial is left to be trained.

    Nothing is written.
    """
    study = ledger.study
    if not study.is_until_clear or study.settled or count_ended(ledger) < study.trials:
        return None
    number, rows = len(study.partitions), make_rows(study_results(ledger, "finished"))
    baseline, _ = choose_baseline(rows, study)
    compare(rows, baseline, study)
    compared = tuple(row for row in rows if row is not baseline and len(row.result.folds_by_partition) == number)
    left = tuple(row for row in compared if baseline is not None and needs_more(row, baseline))
    if baseline is None or baseline.result.failed_partition is not None or number == study.most or not left:
        return Look(number, compared, (), replace(study, settled=True))
    return Look(number, compared, left, _with_next_partition(study, corpus, (baseline, *left)))


def needs_more(row: ResultRow, baseline: ResultRow) -> bool:
    """Whether a further partition may make a row clear: not where it is the baseline under another name."""
    if isinstance(row.test, Untested):
        figures = [[fold.figures for fold in each.result.folds] for each in (row, baseline)]
        return figures[0] != figures[1]
    return row.is_open


def _with_next_partition(study: StudyRecord, corpus: Corpus, rows: tuple[ResultRow, ...]) -> StudyRecord:
    """The study with one more partition, for these rows."""
    grown = with_partitions(study, corpus, len(study.partitions) + 1)
    trials = tuple(sorted(row.key for row in rows))
    return replace(grown, drawn=(*study.drawn, replace(grown.drawn[-1], trials=trials)))


def with_partitions(study: StudyRecord, corpus: Corpus, partitions: int) -> StudyRecord:
    """The study with so many partitions, of which it keeps those that it has.

    Raises:
        CorpusError: For a corpus that cannot be divided so often.
        PlanError: For a partition that cannot be used.
    """
    option = "--most" if study.is_until_clear else "--partitions"
    known = [study.clip_folds(partition) for partition in study.partitions[1:]]
    drawn = draw_partitions(corpus, study.seed, partitions, known, option)
    grown = replace(study, drawn=study.drawn + record_partitions(drawn, study.seed)[len(known) :])
    for partition in grown.partitions[1 + len(known) :]:
        divided = in_partition(corpus, grown, partition)
        check_partition(divided, partition, study.protocol, study.seed, study.metric, option)
    return grown
