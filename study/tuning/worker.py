"""A trial as the driver sees it: the function that its worker runs, and what its reports hold beside figures.

Imports no torch: the driver does without, which brings a study's first training step 3 s of CPU nearer.
"""

from typing import Any


def run_in_worker(parameters: dict[str, Any], **shared: Any) -> None:
    """`study.tuning.trial.run_trial`, which is imported where it runs."""
    from study.tuning.trial import run_trial

    run_trial(parameters, **shared)
