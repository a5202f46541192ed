"""Trials that a scheduler has pruned, and the rungs that trials have passed: their records in the ledger.

Both are written by the driver before the decision takes effect, so that a killed study goes on as it would have.
"""

from functools import partial

from audiotag.corpus.errors import count
from study.format import decimal
from study.ledger.files import write_json
from study.ledger.schema import PassedRecord, PrunedRecord, read_record, write_record
from study.ledger.trial_folder import TrialFolder

PRUNED_FILE, PASSED_FILE = "pruned.json", "passed.json"


def read_pruned(folder: TrialFolder) -> PrunedRecord | None:
    """Where a trial was pruned; None where it was not."""
    return folder.read(folder.path / PRUNED_FILE, partial(read_record, PrunedRecord))


def write_pruned(folder: TrialFolder, folds: int, mean: float, bound: float, unit: str = "fold") -> PrunedRecord:
    """Mark a trial as pruned at a rung: after so many folds, or seeds of a fixed split. What is finished stays."""
    reason = f"pruned after {count(folds, unit)}: mean {decimal(mean)}, cutoff {decimal(bound)}"
    record = PrunedRecord(reason, folds, folds, float(mean), float(bound))
    write_json(folder.path / PRUNED_FILE, write_record(record))
    return record


def read_passed(folder: TrialFolder) -> tuple[int, ...]:
    """The rungs (numbers of folds) that a trial has passed."""
    record = folder.read(folder.path / PASSED_FILE, partial(read_record, PassedRecord))
    return record.rungs if record else ()


def write_passed(folder: TrialFolder, rung: int) -> None:
    """Add a rung to those that a trial has passed."""
    write_json(folder.path / PASSED_FILE, write_record(PassedRecord((*read_passed(folder), rung))))
