"""Seconds and epochs, and the trials that failed or were pruned."""

from collections.abc import Sequence

from study.ledger.ledger import Ledger
from study.ledger.schema import TrialResult
from study.reporting.prose import rest
from study.reporting.section import Section, body, render_lines
from study.reporting.tables import Line, Table
from study.stats.analysis import Analysis

SHOWN = 50  # failed and pruned trials


def cost(analysis: Analysis, ledger: Ledger) -> Section:
    """What the study took."""
    parts = {"Failed trial": analysis.failed, "Pruned trial": analysis.pruned}
    html = body(
        lines=cost_lines(analysis),
        tables=[_table(title, trials, analysis) for title, trials in parts.items() if trials],
        notes=[line for trials in parts.values() for line in rest(len(trials), "first", SHOWN)],
    )
    return Section("Cost", html)


def cost_lines(analysis: Analysis) -> list[str]:
    """Trials, epochs, seconds."""
    trials, pruned = analysis.results.trials, analysis.pruned
    trainings = [(training, trial) for trial in trials for training in trial.trainings]
    return render_lines(
        "sections/cost.txt",
        analysis=analysis,
        left=max(0, analysis.study.trials - len(trials)),
        trials=len(trials),
        trainings=len(trainings),
        epochs=sum(round(training.epochs) for training, _ in trainings),
        seconds=sum(trial.seconds for trial in trials),
        pruned_folds=sum(len(trial.folds) for trial in pruned),
        pruned_seconds=sum(trial.seconds for trial in pruned),
        full=sum(training.epochs == trial.params.get("max_epochs") for training, trial in trainings),
    )


def _table(title: str, trials: Sequence[TrialResult], analysis: Analysis) -> Table:
    lines = [
        Line([", ".join([trial.key, *_params(trial, analysis)]), trial.reason or ""], "failed")
        for trial in trials[:SHOWN]
    ]
    return Table(title, [title.lower(), "reason"], lines, right=1)


def _params(trial: TrialResult, analysis: Analysis) -> list[str]:
    return [f"{name} {trial.params[name]}" for name in analysis.study.varied if name in trial.params]
