"""The table in the paper's form: a row a trial, the EER of each tag, their mean (Avg) and variance (Var, in 1e-3)."""

from typing import Any

from rich import box
from rich.table import Table

CROSS_VALIDATION, EVALUATION = "eer", "eval_eer"  # prefixes of the columns in results.json
TITLES = {
    CROSS_VALIDATION: "Equal error rate, mean over the folds",
    EVALUATION: "Equal error rate on the evaluation set, scored by the mean of the fold models",
}


def rows(results: dict[str, Any], varied: list[str], prefix: str) -> list[list[str]]:
    """The cells of each trial: parameters, EERs, Avg, Var."""
    table = []
    for trial in results["trials"]:
        parameters = [show(trial["params"][name]) for name in varied]
        eers = trial.get(prefix, {})
        variance = trial.get(f"{prefix}_var_classes")
        table.append(
            [
                *parameters,
                *(decimal(eers.get(tag)) for tag in results["tags"]),
                decimal(trial.get(f"{prefix}_mean")),
                "" if variance is None else f"{1e3 * variance:.2f}",
            ]
        )
    return table


def header(results: dict[str, Any], varied: list[str]) -> list[str]:
    """The columns' names."""
    return [*varied, *results["tags"], "Avg", "Var"]


def best(results: dict[str, Any], prefix: str) -> int | None:
    """The row with the lowest mean EER; None where no trial has one."""
    means = [trial.get(f"{prefix}_mean") for trial in results["trials"]]
    there = [mean for mean in means if mean is not None]
    return means.index(min(there)) if there else None


def has_evaluation(results: dict[str, Any]) -> bool:
    """Whether the corpus has an evaluation split and a trial was scored on it."""
    return any(EVALUATION in trial for trial in results["trials"])


def rich_table(results: dict[str, Any], varied: list[str], prefix: str) -> Table:
    """The table for a terminal, the best row in bold, failed trials in red."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in header(results, varied):
        table.add_column(name, justify="left" if name in varied else "right", min_width=4, overflow="fold")
    winner = best(results, prefix)
    for number, cells in enumerate(rows(results, varied, prefix)):
        failed = results["trials"][number]["status"] == "failed"
        table.add_row(*cells, style="red" if failed else "bold" if number == winner else None)
    return table


def markdown_table(results: dict[str, Any], varied: list[str], prefix: str) -> str:
    """The table in Markdown, the best row's Avg in bold."""
    names = header(results, varied)
    lines = [" | ".join(names), " | ".join("---" if name in varied else "---:" for name in names)]
    winner = best(results, prefix)
    for number, cells in enumerate(rows(results, varied, prefix)):
        if number == winner:
            cells[-2] = f"**{cells[-2]}**"
        lines.append(" | ".join(cell.replace("|", "\\|") for cell in cells))
    return "\n".join(f"| {line} |" for line in lines)


def label(config: dict[str, Any], varied: list[str]) -> list[str]:
    """A trial's parameters as cells."""
    return [show(config[name]) for name in varied]


def show(value: Any) -> str:
    """A hyperparameter as tables show it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def decimal(value: float | None) -> str:
    """An EER or a loss to three places, as the paper prints it (.103); empty where there is none."""
    return "" if value is None else f"{value:.3f}".removeprefix("0")
