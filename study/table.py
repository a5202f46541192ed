"""The table in the paper's form: a row a trial, the EER of each tag, their mean (Avg) and variance (Var, in 1e-3).

Beside them the spread over seeds (SD seeds), where there are several, the mean on the evaluation set (Eval), where the
corpus has one, and what the row took (Time, summed over the folds). Below a row, on the paper's corpus, what the paper
printed.
"""

from typing import Any

from rich import box
from rich.table import Table

from audiotag.config import DEFAULTS, PARTS, STEREO_MODELS, WITHOUT_ALPHA, TrialConfig
from study.published import notes

CROSS_VALIDATION, EVALUATION = "eer", "eval_eer"  # prefixes of the columns in results.json
SD_SEEDS = "SD seeds"  # the column of the standard deviation of Avg over seeds
SHOWN = 24  # rows of a larger study that are shown: the best ones
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
    """Results with the best SHOWN trials alone, best first, where there are more: a table that a person can read."""
    trials = results["trials"]
    if len(trials) <= SHOWN + 1:
        return results
    scored = [trial for trial in trials if trial[f"{CROSS_VALIDATION}_mean"] is not None]
    return results | {"trials": sorted(scored, key=lambda trial: trial[f"{CROSS_VALIDATION}_mean"])[:SHOWN]}


def has_repeats(results: dict[str, Any]) -> bool:
    """Whether each trial was trained with several seeds."""
    return results.get("repeats", 1) > 1


def has_evaluation(results: dict[str, Any]) -> bool:
    """Whether the corpus has an evaluation split and a trial was scored on it."""
    return any(EVALUATION in trial for trial in results["trials"])


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


def label(config: dict[str, Any], varied: list[str]) -> list[str]:
    """A trial's parameters as cells; empty where the model or the augmentation has no such thing."""
    return [show(config[name]) if _is_on(name, config) else "" for name in varied]


def trial_name(config: dict[str, Any], varied: list[str]) -> str:
    """A trial's parameters that its space varies: "mixup, alpha 1.5". Without those that say nothing."""
    shown = {name: config[name] for name in varied if _is_on(name, config)}
    if "model" in shown and config["augmentation"] == "none":
        shown.pop("augmentation", None)
    words = {name: name if value is True else show(value) for name, value in shown.items()}
    return ", ".join(word if isinstance(shown[name], str | bool) else f"{name} {word}" for name, word in words.items())


def applies(name: str, config: dict[str, Any]) -> bool:
    """Whether a hyperparameter means anything in a trial: no alpha of what has none, no part of another model."""
    model = config.get("model", TrialConfig.model)
    if name == "alpha":
        return config.get("augmentation") not in WITHOUT_ALPHA
    if name == "schedule":
        return config.get("augmentation") != "none"
    if name == "imd":
        return model in STEREO_MODELS
    return name not in PARTS or name in DEFAULTS[model]


def _is_on(name: str, config: dict[str, Any]) -> bool:
    """Whether a hyperparameter says something of a trial: it applies, and is not merely switched off."""
    off = config[name] is False or (name == "schedule" and config[name] == "always")
    return applies(name, config) and not off


def show(value: Any) -> str:
    """A hyperparameter as tables show it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def decimal(value: float | None, places: int = 3) -> str:
    """An EER or a loss as the paper prints it (.103); empty where there is none."""
    return "" if value is None else f"{value:.{places}f}".removeprefix("0")


def duration(seconds: float) -> str:
    """A time in words: seconds below 100 of them, else minutes, or hours and minutes."""
    minutes = round(seconds / 60)
    if round(seconds) < 100:
        return f"{max(round(seconds), 1)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _eer_cells(trial: dict[str, Any], tags: list[str], prefix: str) -> list[str]:
    eers, variance = trial.get(prefix, {}), trial.get(f"{prefix}_var_classes")
    mean = decimal(trial.get(f"{prefix}_mean"))
    return [*(decimal(eers.get(tag)) for tag in tags), mean, "" if variance is None else f"{1e3 * variance:.2f}"]
