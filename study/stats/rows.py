"""The rows of a study: its finished trials as reports show them, how they are named, and which is the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from audiotag.config import NO_AUGMENTATION
from study.format import own_params, show, trial_name
from study.ledger.context import resolve
from study.ledger.schema import StudyRecord, StudyResults, TrialResult
from study.stats.comparison import Comparison
from study.stats.posterior import Posterior
from study.stats.power import Resolution
from study.stats.remedy import Remedy
from study.stats.significance import Outcome, PairedTest, Untested

SHOWN_ROWS = 24  # best rows of a larger study, which shows no others
Interval = tuple[float, float] | None


@dataclass(eq=False)
class ResultRow:
    """A finished trial as reports show it.

    Attributes:
        study: The name of its study.
        params: Hyperparameters that it has.
        intervals: Of the objective by tag, and of their "mean".
        eval_intervals: The same on the evaluation split.
        best_share: Of the draws in which it is the best of the shown rows.
        test: Against the baseline; None of the baseline itself.
        adjusted: Holm's p; None where nothing is tested.
        posterior: Whether it is better, the same or worse; None where nothing is tested, as the next two.
        resolution: What its test could have shown.
        remedy: What would show a difference of the observed size.
        paired_interval: Of its difference on other recordings, by the bootstrap.
        second: The same comparison in a second metric, where there is one.
        by_tag: And of each tag, Holm's correction over the tags.
    """

    study: str
    result: TrialResult
    params: dict[str, Any]
    label: str
    intervals: dict[str, Interval] = field(default_factory=dict)
    eval_intervals: dict[str, Interval] = field(default_factory=dict)
    best_share: float | None = None
    test: PairedTest | Untested | None = None
    adjusted: float | None = None
    outcome: Outcome | None = None
    posterior: Posterior | None = None
    resolution: Resolution | None = None
    remedy: Remedy | None = None
    paired_interval: Interval = None
    second: Comparison | None = None
    by_tag: dict[str, Comparison] = field(default_factory=dict)

    @property
    def tested(self) -> PairedTest | None:
        """Its test, if there is one."""
        return self.test if isinstance(self.test, PairedTest) else None

    @property
    def is_open(self) -> bool:
        """Whether it is tested, and neither better than the baseline, nor worse, nor the same."""
        return self.outcome == "indistinguishable" and not (self.posterior is not None and self.posterior.is_same)

    @property
    def key(self) -> str:
        """The key of its trial."""
        return self.result.key

    @property
    def mean(self) -> float:
        """Mean of the objective; trials without one have no row."""
        assert self.result.mean is not None
        return self.result.mean

    @property
    def rank(self) -> float:
        """A number that is smallest for the best row."""
        return self.result.rank


def make_rows(results: StudyResults) -> list[ResultRow]:
    """Make the rows of a study: its finished trials that have a mean."""
    done = [trial for trial in results.finished if trial.mean is not None]
    named = name_rows([own_params(trial.params) for trial in done], results.study)
    return [make_row(results.study.name, trial, named) for trial in done]


def name_rows(params: Sequence[dict[str, Any]], study: StudyRecord) -> list[str]:
    """By which of their hyperparameters rows are told apart."""
    differing = [name for name in study.varied if len({show(own.get(name)) for own in params}) > 1]
    return [name for name in differing if not is_implied(name, params, study)] or differing or list(study.varied)


def is_implied(name: str, params: Sequence[dict[str, Any]], study: StudyRecord) -> bool:
    """Whether a hyperparameter follows from the augmentation: each of several has a value of its own, the same always.

    Such as the alpha of mixup and that of Freq-MixStyle, which are no question of the space.
    """
    found: dict[str, set[str]] = {}
    for own in params:
        if name in own:
            found.setdefault(str(own.get("augmentation")), set()).add(show(own[name]))
    return (
        name not in (*study.ranges, "augmentation")
        and len(found) > 1
        and all(len(them) == 1 for them in found.values())
    )


def make_row(study: str, trial: TrialResult, named: Sequence[str]) -> ResultRow:
    """Make the row of a finished trial, labelled by the parameters in `named`."""
    return ResultRow(study, trial, own_params(trial.params), trial_name(trial.params, named) or trial.key)


def choose_baseline(rows: list[ResultRow], study: StudyRecord) -> tuple[ResultRow | None, str]:
    """Choose the row that the others are compared with, and say why."""
    if not rows:
        return None, "there is no finished trial"
    wanted = study.baseline or {}
    named = [row for row in rows if wanted and all(row.params.get(name) == value for name, value in wanted.items())]
    if named:
        return named[0], "named by the space"
    plain = [row for row in rows if row.params["augmentation"] == NO_AUGMENTATION or row.params.get("alpha") == 0]
    if not plain:
        return rows[0], "the first row, because none is without augmentation"
    defaults = resolve(study.settings, {}).to_dict()
    others = [name for name in study.varied if name not in ("augmentation", "alpha")]
    changes = [sum(row.params.get(name) != defaults.get(name) for name in others) for row in plain]
    more = ", and of these the nearest to the default settings" if len(plain) > 1 else ""
    return plain[changes.index(min(changes))], f"the row without augmentation{more}"
