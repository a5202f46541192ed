"""The descriptions, in Markdown, of what MLflow shows: a stranger shall know what it is and how to look at it."""

from typing import Any

from study.format import decimal
from study.ledger.seeds import seeds_in_words


def experiment_note(study: dict[str, Any]) -> str:
    """Of a space's experiment."""
    varied = ", ".join(f"`{name}`" for name in study["varied"])
    return (
        f"{study['question']}\n\n"
        "Each study of this question is a run that holds its trials, which hold their folds.\n\n"
        "- To compare trials, enter the filter ``tags.`audiotag.level` = 'trial'``, add the columns "
        f"{varied} and `eer/mean`, sort by `eer/mean`, select the trials and press *Compare*.\n"
        "- For box plots over the folds, filter ``tags.`audiotag.level` = 'fold'`` instead.\n"
        "- Which differences are more than chance is in the artifact `report.html` of a study's run.\n\n"
        "`eer/...`: equal error rates, lower is better, 0.5 is chance; `eer/mean`: their mean over tags and folds; "
        "`eval/...`: the same on the evaluation split, where there is one; `eer/sd_seeds`: with repeats, the standard "
        "deviation of `eer/mean` over the seeds."
    )


def study_note(study: dict[str, Any]) -> str:
    """Of a study's run, while it goes on."""
    name, folds = study["study"], len(study["corpus"]["folds"])
    said = (
        f"{study['question']}\n\n**{name}**: {study['trials']} trials of {folds} folds on "
        f"`{study['corpus']['name']}`, protocol {study['protocol']}, {seeds_in_words(study)}.\n\n"
    )
    if study["corpus"].get("kind") == "synthetic":
        said += "A synthetic corpus: the figures say nothing about real recordings.\n\n"
    return f"{said}Started with `{study['command']}`; continue it with `--resume {name}`."


def ended_note(
    study: dict[str, Any], finished: int, failed: int, best: str | None, eer: float | None, stopped: int = 0
) -> str:
    """Of a study's run at its end."""
    said = f"{study_note(study)}\n\n{finished} trials finished, {failed} failed."
    if stopped:
        said = f"{said[:-1]}, {stopped} were stopped early (tag `audiotag.status` = pruned; they have no `eer/mean`)."
    if best is not None:
        said += f" The best is {best}: mean EER {number(eer)}."
    return f"{said}\n\nThe artifact `report.html` says which differences are more than chance; figures are beside it."


def trial_note(study: dict[str, Any], place: int, name: str) -> str:
    """Of a trial's run, before its result."""
    return f"Trial {place} of {study['study']}: {name}. Its curves are means over its folds, which are runs themselves."


def fold_note(key: str, fold: str) -> str:
    """Of a fold's run ("0", "0 with seed 1"), before its result."""
    return f"Fold {fold} of the trial {key}."


def number(value: float | None) -> str:
    """An EER in a sentence."""
    return "not defined" if value is None else decimal(value)
