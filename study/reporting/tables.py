"""The table in the paper's form: a row a trial, the EER of each tag, their mean (Avg) and variance (Var, in 1e-3).

Beside them the spread over seeds (SD seeds), where there are several, the mean on the evaluation set (Eval), where the
corpus has one, and what the row took (Time, summed over the folds). Below a row, on the paper's corpus, what the paper
printed.
"""

from typing import Any

from rich import box
from rich.table import Table

from study.format import decimal, duration, label
from study.ledger.paper import notes
from study.ledger.results import CROSS_VALIDATION, EVALUATION, SHOWN_ROWS, has_evaluation, has_repeats

SD_SEEDS = "SD seeds"  # the column of the standard deviation of Avg over seeds
TITLES = {
    CROSS_VALIDATION: "Equal error rate, mean over the folds",
    EVALUATION: "Equal error rate on the evaluation set, scored by the mean of the fold models",
}


def rows(results: dict[str, Any], varied: list[str], prefix: str) -> list[list[str]]:
    """The cells of each trial: parameters, EERs, Avg, Var; in the first table also SD seeds, Eval and Time."""
    table = []
    for trial in results["trials"]:
        cells = [*label(trial["params"], varied), *_eer_cells(trial, results["tags"], prefix)]
        if prefix == CROSS_VALIDATION:
            if has_repeats(results):
                cells.append(decimal(trial.get("eer_sd_seeds")))
            if has_evaluation(results):
                cells.append(decimal(trial.get(f"{EVALUATION}_mean")))
            cells.append(duration(trial["seconds"]))
        table.append(cells)
    return table


def published_rows(results: dict[str, Any], varied: list[str], prefix: str) -> list[list[str] | None]:
    """For each trial the cells of the paper's own row, where it has one: two places, an asterisk where in doubt."""
    table: list[list[str] | None] = []
    for trial in results["trials"]:
        row = trial.get("published")
        if row is None:
            table.append(None)
            continue
        cells = [decimal(row["eer"][tag], 2) for tag in results["tags"]]
        doubt = "*" if "footnote" in row else ""
        cells += [f"{decimal(row['eer_mean'], 2)}{doubt}", f"{1e3 * row['eer_var_classes']:.2f}{doubt}"]
        names = ["published", *[""] * (len(varied) - 1)][: len(varied)]
        table.append([*names, *cells, *[""] * (len(header(results, varied, prefix)) - len(names) - len(cells))])
    return table


def footnotes(results: dict[str, Any]) -> list[str]:
    """What must be said below a table with published rows."""
    return notes([trial["published"] for trial in results["trials"] if "published" in trial])


def left_out(study: dict[str, Any]) -> str:
    """Which rows of the space could not be run on the corpus, in a sentence; nothing where all could."""
    names = [row["name"] for row in study.get("left_out", [])]
    return f"Left out, because the corpus has no stereo recordings: {'; '.join(names)}." if names else ""


def header(results: dict[str, Any], varied: list[str], prefix: str = CROSS_VALIDATION) -> list[str]:
    """The columns' names."""
    names = [*varied, *results["tags"], "Avg", "Var"]
    if prefix == CROSS_VALIDATION:
        names += [SD_SEEDS] * has_repeats(results) + ["Eval"] * has_evaluation(results) + ["Time"]
    return names


def best(results: dict[str, Any], prefix: str) -> int | None:
    """The row with the lowest mean EER; None where no trial has one."""
    means = [trial.get(f"{prefix}_mean") for trial in results["trials"]]
    there = [mean for mean in means if mean is not None]
    return means.index(min(there)) if there else None


def best_trials(results: dict[str, Any]) -> dict[str, Any]:
    """Results with the best SHOWN_ROWS trials alone, best first, where there are more."""
    trials = results["trials"]
    if len(trials) <= SHOWN_ROWS + 1:
        return results
    scored = [trial for trial in trials if trial[f"{CROSS_VALIDATION}_mean"] is not None]
    return results | {"trials": sorted(scored, key=lambda trial: trial[f"{CROSS_VALIDATION}_mean"])[:SHOWN_ROWS]}


def rich_table(results: dict[str, Any], varied: list[str], prefix: str) -> Table:
    """The table for a terminal, the best row in bold, failed trials in red, published rows in italics."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in header(results, varied, prefix):
        table.add_column(name, justify="left" if name in varied else "right", min_width=4, overflow="fold")
    winner = best(results, prefix)
    printed = published_rows(results, varied, prefix)
    for number, cells in enumerate(rows(results, varied, prefix)):
        failed = results["trials"][number]["status"] == "failed"
        table.add_row(*cells, style="red" if failed else "bold" if number == winner else None)
        if (below := printed[number]) is not None:
            table.add_row(*below, style="italic dim")
    return table


def markdown_table(results: dict[str, Any], varied: list[str], prefix: str) -> str:
    """The table in Markdown, the best row's Avg in bold, published rows in italics."""
    names = header(results, varied, prefix)
    lines = [names, ["---" if name in varied else "---:" for name in names]]
    winner = best(results, prefix)
    mean = len(varied) + len(results["tags"])
    printed = published_rows(results, varied, prefix)
    for number, cells in enumerate(rows(results, varied, prefix)):
        if number == winner:
            cells[mean] = f"**{cells[mean]}**"
        lines.append([cell.replace("|", "\\|") for cell in cells])
        if (below := printed[number]) is not None:
            lines.append([cell and f"*{cell.replace('*', chr(92) + '*')}*" for cell in below])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _eer_cells(trial: dict[str, Any], tags: list[str], prefix: str) -> list[str]:
    eers, variance = trial.get(prefix, {}), trial.get(f"{prefix}_var_classes")
    mean = decimal(trial.get(f"{prefix}_mean"))
    return [*(decimal(eers.get(tag)) for tag in tags), mean, "" if variance is None else f"{1e3 * variance:.2f}"]


STOPPED = "Stopped early, after fewer folds than the rows above: not to be compared with them"


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
