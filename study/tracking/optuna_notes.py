"""Notes on a study and its trials, as optuna-dashboard shows them.

Its `save_note` writes them, but it is no dependency. These are its names: system attributes of the study, the text in
pieces; tests read them with optuna-dashboard itself.
"""

from collections.abc import Iterator

from optuna.storages import BaseStorage

from audiotag.corpus.errors import list_first
from study.format import decimal, probability, signed, trial_name
from study.ledger.findings import Findings, TrialFindings
from study.ledger.schema import StudyRecord, TrialResult

LENGTH = 2045  # characters of a piece
END = "(Written with the report; your own note in its place stays.)"
VERDICTS = {
    "better": "better than the baseline",
    "worse": "worse than the baseline",
    "indistinguishable": "not distinguishable from the baseline",
    "untested": "not tested against the baseline",
}


def set_note(storage: BaseStorage, study: int, text: str, trial: int | None = None) -> None:
    """Write the note on a study, or on the trial of that number in the database, unless a user has written another one.

    A piece of an earlier, longer note is emptied.
    """
    place = "dashboard:" if trial is None else f"dashboard:{trial}:"
    version, piece = f"{place}note_ver", f"{place}note_str:"
    text, known = f"{text}\n\n{END}", storage.get_study_system_attrs(study)
    pieces = sorted((name for name in known if name.startswith(piece)), key=lambda name: int(name[len(piece) :]))
    before = "".join(known[name] for name in pieces)
    if before == text or (before and not before.endswith(END)):
        return
    parts = [text[start : start + LENGTH] for start in range(0, len(text), LENGTH)]
    storage.set_study_system_attr(study, version, known.get(version, 0) + 1)
    for number in range(max(len(parts), len(pieces))):
        storage.set_study_system_attr(study, f"{piece}{number}", parts[number] if number < len(parts) else "")


def trial_note(study: StudyRecord, trial: TrialResult, findings: Findings) -> str:
    """Say what a trial that has ended is, and what the report finds of it, in Markdown."""
    name = trial_name(trial.params, study.varied) or trial.key
    if trial.status != "finished":
        reason = trial.reason or ""
        return f"**{name}**: {reason if reason.startswith(trial.status) else f'{trial.status}: {reason}'}."
    objective = study.objective
    head = f"**{name}**: {objective.mean_title} {decimal(trial.mean) or 'not defined'}"
    found = next((row for row in findings.trials if row.key == trial.key), None)
    lines = [] if found is None else list(_lines(found))
    if trial.key == findings.baseline:
        lines.append("The other trials are compared with it: it is the baseline.")
    if trial.key == findings.chosen:
        lines.append("Cross-validation chose it.")
    return "\n".join([f"{head}.", "", *(f"- {line}" for line in lines)]).rstrip()


def _lines(row: TrialFindings) -> Iterator[str]:
    if row.low is not None and row.high is not None:
        yield f"95 % interval, on other recordings: {decimal(row.low)} to {decimal(row.high)}."
    if row.outcome is not None:
        text = VERDICTS[row.outcome]
        if row.difference is not None and row.difference_low is not None and row.difference_high is not None:
            ends = f"{signed(row.difference_low)} to {signed(row.difference_high)}"
            text += f": {signed(row.difference)}, 95 % interval {ends}"
            text += "" if row.p_holm is None else f", Holm p {probability(row.p_holm)}"
        yield f"{text[0].upper()}{text[1:]}."
    if row.p_better is not None and row.p_same is not None and row.p_worse is not None:
        better, same, worse = map(probability, (row.p_better, row.p_same, row.p_worse))
        yield f"P(better) {better}, P(the same within the margin) {same}, P(worse) {worse}."
    for how in ("better", "worse"):
        if tags := [tag for tag, outcome in row.by_tag.items() if outcome == how]:
            yield f"{how.capitalize()} in {list_first(tags)}."
