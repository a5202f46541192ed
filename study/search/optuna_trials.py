"""Trials of the ledger as Optuna has them."""

from datetime import datetime, timedelta
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from search_spaces import Space
from study.ledger.ledger import TrialFolder
from study.ledger.results import means_of, running_means

STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def config_of(folder: TrialFolder) -> dict[str, Any]:
    """A trial's configuration."""
    trial = folder.trial()
    assert trial is not None, "the ledger lists trials by their configuration"
    return trial["config"]


def optuna_trial(
    folder: TrialFolder, study: dict[str, Any], space: Space, result: dict[str, Any] | None, running: bool = False
) -> FrozenTrial:
    """A trial of the ledger as Optuna has it; the space's own function tells its parameters from the rest.

    `result` is its entry in results.json. Without one it is RUNNING, or WAITING for the session that goes on with it.
    """
    fixed = FixedTrial(config_of(folder))
    space.define(fixed)
    means = running_means(folder, study) if result is None else means_of(result["folds"], study)
    trial = create_trial(
        state=state_of(result, running),
        value=result["eer_mean"] if result is not None and result["status"] == "finished" else None,
        params=fixed.params,
        distributions=fixed.distributions,
        intermediate_values=dict(enumerate(means, start=1)),
        user_attrs=attributes(folder, result),
    )
    written = [path.stat().st_mtime for path in folder.path.glob("*.json")]
    trial.datetime_start = None if trial.state == TrialState.WAITING else datetime.fromtimestamp(min(written))
    if result is not None:  # an interrupted trial is as long as its training, not as its absence
        trial.datetime_complete = datetime.fromtimestamp(max(written))
        trial.datetime_start = trial.datetime_complete - timedelta(seconds=result["seconds"])
    return trial


def state_of(result: dict[str, Any] | None, running: bool) -> TrialState:
    """Optuna's word for it."""
    if result is not None:
        return STATES[result["status"]]
    return TrialState.RUNNING if running else TrialState.WAITING


def attributes(folder: TrialFolder, result: dict[str, Any] | None) -> dict[str, Any]:
    """What Optuna's tools show beside parameters and value: the key, the EER of each tag, why there is none."""
    found: dict[str, Any] = {"key": folder.key}
    if result is not None:
        found |= {f"eer/{tag}": eer for tag, eer in result["eer"].items() if eer is not None}
        found |= {"reason": result["reason"]} if "reason" in result else {}
    return found
