"""Trials that a scheduler has stopped: their records in the ledger, and how they are shown apart from the others.

Both files are written by the driver before what they say takes effect, so that a killed study goes on as it would have.
"""

from typing import Any

from study.format import decimal
from study.ledger.files import read_json, write_json
from study.ledger.ledger import TrialFolder

PRUNED_FILE, PASSED_FILE = "pruned.json", "passed.json"
PRUNED = {"reason": str, "folds": int, "rung": int, "mean": float, "bound": float}


def pruned(folder: TrialFolder) -> dict[str, Any] | None:
    """{"reason", "folds": done, "rung": folds after which it was judged, "mean": over them, "bound": that it missed};
    None of a trial that was not stopped.
    """
    return read_json(folder.path / PRUNED_FILE, PRUNED)


def write_pruned(folder: TrialFolder, folds: int, mean: float, bound: float) -> dict[str, Any]:
    """Marks a trial as stopped at a rung. Its finished folds stay. Returns the record."""
    reason = (
        f"stopped after {folds} fold{'' if folds == 1 else 's'}: mean {decimal(mean)}, the bound was {decimal(bound)}"
    )
    record = {"reason": reason, "folds": folds, "rung": folds, "mean": float(mean), "bound": float(bound)}
    write_json(folder.path / PRUNED_FILE, record)
    return record


def passed(folder: TrialFolder) -> list[int]:
    """The rungs (numbers of folds) that a trial has passed."""
    record = read_json(folder.path / PASSED_FILE, {"rungs": list})
    return list(record["rungs"]) if record else []


def write_passed(folder: TrialFolder, rung: int) -> None:
    """Adds a rung to those that a trial has passed."""
    write_json(folder.path / PASSED_FILE, {"rungs": [*passed(folder), rung]})
