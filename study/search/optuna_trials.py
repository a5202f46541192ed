"""Trials of the ledger as Optuna has them."""

from datetime import datetime, timedelta
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces import Space
from study.ledger.results import merged_folds, running_means
from study.ledger.schema import StudyRecord, TrialResult
from study.ledger.trial_folder import TrialFolder
from study.search.space import repeat_trial

STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def optuna_trial(
    folder: TrialFolder, study: StudyRecord, space: Space, result: TrialResult | None, running: bool = False
) -> FrozenTrial:
    """A trial of the ledger as Optuna has it; the space's own function tells its parameters from the rest.

    Without a result it is RUNNING, or WAITING for the session that goes on with it. Its intermediate values are the
    means of the objective over its first fold, its first two, ...
    """
    fixed = repeat_trial(space, folder.trial.config)
    folds = merged_folds(folder, study) if result is None else result.folds
    trial = create_trial(
        state=state_of(result, running),
        value=None if result is None else result.mean,
        params=fixed.params,
        distributions=fixed.distributions,
        intermediate_values=dict(enumerate(running_means(folds, study), start=1)),
        user_attrs={"key": folder.key} | ({} if result is None else attributes(result)),
    )
    first, last = folder.written()
    trial.datetime_start = None if trial.state == TrialState.WAITING else datetime.fromtimestamp(first)
    if result is not None:  # an interrupted trial is as long as its training, not as its absence
        trial.datetime_complete = datetime.fromtimestamp(last)
        trial.datetime_start = trial.datetime_complete - timedelta(seconds=result.seconds)
    return trial


def state_of(result: TrialResult | None, running: bool = False) -> TrialState:
    """Optuna's state of a trial."""
    if result is not None:
        return STATES[result.status]
    return TrialState.RUNNING if running else TrialState.WAITING


def attributes(result: TrialResult) -> dict[str, Any]:
    """What Optuna's tools show beside parameters and value: figures by tag, and why there are none."""
    found: dict[str, Any] = {} if result.reason is None else {"reason": result.reason}
    for metric, part in result.figures.items():
        found |= {f"{metric}/{tag}": value for tag, value in part.by_tag.items() if value is not None}
    return found
