"""The looks of a study that adds partitions until its comparisons are clear: each in a line, and what they spared."""

from collections.abc import Sequence

from audiotag.corpus.errors import count, list_first
from study.ledger.schema import StudyRecord
from study.reporting.prose import verdict
from study.stats.analysis import Analysis
from study.stats.rows import ResultRow


def look_in_words(number: int, rows: Sequence[ResultRow], goes_on: Sequence[ResultRow], study: StudyRecord) -> str:
    """What a look after so many partitions has shown, and which of the rows go on."""
    clear = [f"{row.label}: {verdict(row)}" for row in rows if row not in goes_on and not row.is_open]
    left = [row.label for row in rows if row.is_open or row in goes_on]
    parts = [list_first(clear, separator="; ")] if clear else []
    if goes_on:
        unclear = list_first(left, separator="; ")
        parts.append(f"Not clear yet: {unclear}. Partition {number + 1} follows for {them(len(goes_on))}")
    elif left:
        parts.append(f"Not clear: {list_first(left, separator='; ')}")
    return f"Look {number} of {study.most} at most, over {count(number, 'partition')}. {'. '.join(parts)}."


def them(rows: int) -> str:
    """Rows that go on, and the baseline that goes on with them."""
    return f"{'it' if rows == 1 else 'these'} and the baseline"


def spared_in_words(analysis: Analysis) -> str:
    """How many trainings the looks have spared of a study that adds partitions until it is clear."""
    study, each = analysis.study, len(analysis.study.folds) * analysis.study.repeats
    assert study.most is not None, "such a study has a limit"
    done = each * sum(len(row.result.folds_by_partition) for row in analysis.rows)
    whole = each * study.most * len(analysis.rows)
    return (
        f"Partitions were added one at a time, {study.most} at most, to the rows that were not clear: {done} of the "
        f"{whole} trainings that {study.most} partitions of every row take."
    )
