"""The descriptions, in Markdown, of experiments and runs in MLflow: for readers who do not know the project."""

from collections.abc import Mapping

from audiotag.corpus.errors import count
from audiotag.metrics import EER, METRICS
from study.format import decimal, seeds_in_words
from study.ledger.findings import Findings
from study.ledger.schema import Figures, StudyRecord, StudyResults, TrialRecord, TrialResult
from study.tracking.metric_names import evaluation_prefix

ANSWERS, READING = "### What studies found", "### How to read the runs"  # headings of an experiment's description
LONGEST_DESCRIPTION = 5000  # characters that MLflow takes for an experiment


def describe_experiment(study: StudyRecord) -> str:
    """Describe a space's experiment."""
    varied, mean = ", ".join(f"`{name}`" for name in study.varied), f"{study.metric}/mean"
    order = "ascending" if study.objective.lower_is_better else "descending"
    metrics = "\n".join(
        f"- `{name}/...`: {metric.title}, {'lower' if metric.lower_is_better else 'higher'} is better; on the "
        f"evaluation split `{evaluation_prefix(name)}/...`."
        for name, metric in METRICS.items()
    )
    return (
        f"{study.question}\n\n{READING}\n\nA study holds its trials, a trial its folds.\n\n"
        "- The trials of a study, the best first, with charts: *Model training* at the top left, *Runs*, and there the "
        "study's name under *Views*.\n"
        "- By hand: enter the filter ``tags.`audiotag.level` = 'trial'``, add the columns "
        f"{varied} and `{mean}`, sort by `{mean}` ({order}).\n"
        "- For box plots over the folds, filter ``tags.`audiotag.level` = 'fold'``, select them and press *Compare*.\n"
        "- The artifact `report.html` of a study's run says which differences are more than chance.\n\n"
        f"{metrics}\n\n`.../mean`: mean over tags and folds; `.../mean_low`, `.../mean_high`: its 95 % interval on "
        "other recordings; `.../sd_seeds`: standard deviation of the mean over seeds; `partitions/..._mean`: mean over "
        "the folds of all partitions, those that were drawn included.\n\n"
        "`vs_baseline/...`: the difference from the baseline in the metric that chooses, with its 95 % interval, "
        "Holm's p, and the probabilities that the trial is better, the same within the margin, or worse. "
        "`confirmed/...`: the same of the chosen trial, and the means of it and of the baseline, trained again by "
        "`study/confirm.py` where nothing is chosen: the figures to quote."
    )


def with_answer(description: str, study: StudyRecord, answer: str, trials: str) -> str:
    """Add a study's answer to an experiment's description, whoever wrote that, in place of an earlier one.

    `trials` is the address of the study's trials. Of more answers than MLflow takes, the first are left out.
    """
    before, *after = description.partition(READING)
    head, _, tail = before.partition(ANSWERS)
    mine = f"- `{study.name}` on `{study.corpus.name}`: "
    lines = tail.strip().splitlines()
    answers = [line for line in lines if line.startswith("- `") and not line.startswith(mine)]
    others = [line for line in lines if not line.startswith("- `")]  # of users
    answers.append(f"{mine}{' '.join(answer.split())} [Its trials]({trials})")
    while True:
        text = "\n".join([head.rstrip(), "", ANSWERS, "", *answers, *others])
        text += f"\n\n{''.join(after)}" if after[0] else ""
        if len(text) <= LONGEST_DESCRIPTION or len(answers) == 1:
            return text
        answers.pop(0)


def describe_study(study: StudyRecord) -> str:
    """Describe the run of a study in progress."""
    return f"{study.question}\n\n{_about(study)}"


def _about(study: StudyRecord) -> str:
    text = (
        f"`{study.name}`: {study.trials} trials of {folds_in_words(study)} on "
        f"`{study.corpus.name}`, protocol {study.protocol}, {seeds_in_words(study.seeds)}.\n\n"
    )
    if study.corpus.kind == "synthetic":
        text += "A synthetic corpus: the figures say nothing about real recordings.\n\n"
    return f"{text}Started with `{study.command}`; continue it with `--resume {study.name}`."


def describe_results(results: StudyResults, chosen: str, findings: Findings | None, trials: str) -> str:
    """Describe the run of a study that has ended: the answer first, since MLflow folds what is long.

    `chosen` is the name of the trial with the best mean, `trials` the address of all of them.
    """
    text = f"{count(len(results.finished), 'trial')} finished, {len(results.with_status('failed'))} failed"
    if pruned := results.with_status("pruned"):
        text += f", {len(pruned)} pruned (tag `audiotag.status`; they have no `{results.study.metric}/mean`)"
    if results.best is not None:
        chose = "The best row is" if results.study.has_fixed_split else "Cross-validation chose"
        text += f". {chose} {chosen}: {_means(results.best.figures)}"
    text += ".\n\nThe artifact `report.html` says which differences are more than chance."
    conclusion = "" if findings is None else f"{findings.markdown}\n\n"
    question, _, more = results.study.question.partition("\n")
    rest = f"{more.strip()}\n\n" if more.strip() else ""
    return f"{question} [The trials, the best first]({trials})\n\n{conclusion}{rest}{_about(results.study)}\n\n{text}"


def describe_trial(study: StudyRecord, trial: TrialRecord, name: str, result: TrialResult | None) -> str:
    """Describe a trial's run."""
    text = f"Trial {trial.number} of {study.name}: {name}. Its curves are means over its folds."
    if result is not None:
        text += f" {result.status.capitalize()}: {result.reason or _means(result.figures)}."
    return text


def folds_in_words(study: StudyRecord) -> str:
    """How often each trial is trained: "5 folds", "5 folds in each of 2 partitions"."""
    if study.has_fixed_split:
        return f"{count(study.repeats, 'seed')} on one fixed split"
    how = "up to" if study.is_until_clear else "each of"
    each = f" in {how} {len(study.partitions)} partitions" if study.has_several_partitions else ""
    return f"{count(len(study.folds), 'fold')}{each}"


def _means(figures: Mapping[str, Figures]) -> str:
    """The means that exist; of each metric that has none for any tag nothing is said, but for the EER."""
    means = {METRICS[name].title: part.mean for name, part in figures.items() if part.mean is not None or name == EER}
    return ", ".join(f"{title} {'not defined' if mean is None else decimal(mean)}" for title, mean in means.items())
