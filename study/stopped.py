"""Trials that a scheduler has stopped: their records in the ledger, and how they are shown apart from the others.

Both files are written by the driver before what they say takes effect, so that a killed study goes on as it would have.
"""

from typing import Any

from rich import box
from rich.table import Table

from study.files import read_json, write_json
from study.ledger import TrialFolder
from study.table import decimal, duration, label

PRUNED_FILE, PASSED_FILE = "pruned.json", "passed.json"
PRUNED = {"reason": str, "folds": int, "rung": int, "mean": float, "bound": float}
TITLE = "Stopped early, after fewer folds than the rows above: not to be compared with them"


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


def of_status(results: dict[str, Any], *, stopped: bool) -> dict[str, Any]:
    """Results with the stopped trials alone, or with all others."""
    return results | {"trials": [trial for trial in results["trials"] if (trial["status"] == "pruned") == stopped]}


def stopped_rows(results: dict[str, Any], varied: list[str]) -> list[list[str]]:
    """The cells of each stopped trial: its parameters, what happened, its training time."""
    trials = of_status(results, stopped=True)["trials"]
    return [[*label(trial["params"], varied), trial["reason"], duration(trial["seconds"])] for trial in trials]


def rich_stopped(results: dict[str, Any], varied: list[str]) -> Table:
    """The stopped trials for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in varied:
        table.add_column(name, min_width=4, overflow="fold")
    table.add_column("")
    table.add_column("Time", justify="right")
    for cells in stopped_rows(results, varied):
        table.add_row(*cells, style="dim")
    return table


def markdown_stopped(results: dict[str, Any], varied: list[str]) -> str:
    """The stopped trials in Markdown."""
    lines = [[*varied, "", "Time"], [*["---"] * len(varied), "---", "---:"], *stopped_rows(results, varied)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
