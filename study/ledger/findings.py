"""findings.json: what a study's report concludes, for the terminal and for the copies in MLflow and Optuna.

It is written with the report, and like it says nothing of trials that ended later.
"""

from dataclasses import dataclass, field
from functools import partial

from study.ledger.files import read_json, remove, write_json
from study.ledger.ledger import Ledger
from study.ledger.schema import read_record, write_record

FINDINGS_FILE = "findings.json"


@dataclass(frozen=True)
class ConfirmedFigures:
    """What a trial of the study has in its confirmation, in the objective.

    Attributes:
        mean: Over folds and tags.
        difference, difference_low, difference_high: Of the chosen trial from the baseline, with the 95 % interval.
        p: Of this one comparison.
        p_better, p_same, p_worse: As in TrialFindings.
    """

    mean: float | None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_better: float | None = None
    p_same: float | None = None
    p_worse: float | None = None


@dataclass(frozen=True)
class TrialFindings:
    """A trial in the objective; differences are from the baseline. None stands for what does not exist.

    Attributes:
        low, high: 95 % interval of its mean, by the bootstrap over groups.
        difference: Mean over the folds; below 0 it has the lower figure.
        difference_low, difference_high: 95 % interval, by the corrected t.
        p_holm: After Holm's correction over the trials.
        p_better, p_same, p_worse: Probabilities that sum to 1; the same is within the margin.
        outcome: "better", "worse", "indistinguishable" or "untested"; None of the baseline.
        by_tag: The same of each tag, Holm's correction over the tags.
        confirmed: Of the chosen trial and the baseline, where they are confirmed.
    """

    key: str
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_holm: float | None = None
    p_better: float | None = None
    p_same: float | None = None
    p_worse: float | None = None
    outcome: str | None = None
    by_tag: dict[str, str] = field(default_factory=dict)
    confirmed: ConfirmedFigures | None = None


@dataclass(frozen=True)
class Findings:
    """The answer to a study's question, and what it rests on.

    Attributes:
        answer: In one or a few sentences.
        details: Of the trial that it is about: probabilities, what could not be seen, and what would settle it.
        command: What would settle it; None where nothing known would, or nothing is open.
        caveats: What may overturn it.
        margin: Means that differ by no more count as the same.
        chosen, baseline: Keys of trials.
        trials: Those that have a row in the report.
        confirmation: What the chosen trial does where it was not chosen; None without a confirmation.
    """

    answer: str
    details: tuple[str, ...] = ()
    command: str | None = None
    caveats: tuple[str, ...] = ()
    margin: float = 0.0
    chosen: str | None = None
    baseline: str | None = None
    trials: tuple[TrialFindings, ...] = ()
    confirmation: str | None = None

    @property
    def markdown(self) -> str:
        """The answer with what goes with it, for readers of table.md, MLflow and Optuna's dashboard."""
        lines = [*self.details, *([f"To settle it: `{self.command}`"] if self.command else [])]
        lines += [f"Caution: {line}" for line in self.caveats]
        head = [self.answer, *([] if self.confirmation is None else ["", self.confirmation])]
        return "\n".join([*head, "", *(f"- {line}" for line in lines)]).rstrip()


def read_findings(ledger: Ledger) -> Findings | None:
    """What the report concludes; None where there is no report."""
    return read_json(ledger.root / FINDINGS_FILE, partial(read_record, Findings))


def write_findings(ledger: Ledger, findings: Findings) -> None:
    """Replace what the report concludes."""
    write_json(ledger.root / FINDINGS_FILE, write_record(findings))


def remove_findings(ledger: Ledger) -> None:
    """Forget what an earlier report concludes."""
    remove(ledger.root / FINDINGS_FILE)
