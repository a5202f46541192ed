"""Seconds and epochs, and the trials that failed or were pruned."""

from collections.abc import Sequence

from study.ledger.schema import TrialResult
from study.reporting.prose import rest
from study.reporting.section import Section, render_lines
from study.reporting.tables import Line, Table
from study.stats.analysis import Analysis

SHOWN = 50  # failed and pruned trials


def cost(analysis: Analysis) -> Section:
    """Trials, epochs and seconds."""
    trials = analysis.results.trials
    epochs = [training.epochs for trial in trials for training in trial.trainings]
    lines = render_lines(
        "sections/cost.txt",
        analysis=analysis,
        trials=trials,
        trainings=len(epochs),
        epochs=sum(map(round, epochs)),
    )
    parts = {f"{how.capitalize()} trial": analysis.results.with_status(how) for how in ("failed", "pruned")}
    tables = [_table(title, found, analysis.study.varied) for title, found in parts.items() if found]
    notes = [line for found in parts.values() for line in rest(len(found), "first", SHOWN)]
    return Section("Cost", lines=lines, tables=tables, notes=notes)


def _table(title: str, trials: Sequence[TrialResult], varied: Sequence[str]) -> Table:
    lines = []
    for trial in trials[:SHOWN]:
        params = [f"{name} {trial.params[name]}" for name in varied if name in trial.params]
        lines.append(Line([", ".join([trial.key, *params]), trial.reason or ""], "failed"))
    return Table(title, [title.lower(), "reason"], lines, right=1)
