"""A trial as the driver sees it: the function that its worker runs, and what its reports hold beside figures.

Imports no torch: the driver does without, which brings a study's first training step 3 s of CPU nearer.
"""

from typing import Any

METRIC = "eer_mean"  # what Optuna minimises: the mean over finished folds and tags
FAILED = "failed"  # the key in a last report that says why a trial has no result
HALTED = "halted"  # the key in a last report that says why the whole study cannot go on
SAID = "said"  # the key in any report that holds warnings for the user


def run_in_worker(parameters: dict[str, Any], **shared: Any) -> None:
    """`study.trial.run_trial`, which is imported where it runs."""
    from study.trial import run_trial

    run_trial(parameters, **shared)
