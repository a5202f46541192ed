"""Which way of mixing samples helps, if any?

The paper's augmentations at the strength that it gives them (alpha 1.5), and no augmentation as the baseline.
"""

from typing import Any

from audiotag.config import augmentation


def define(trial: Any) -> dict[str, Any]:
    """The augmentation; alpha goes with those that have one."""
    names = ["none", "mixup", "sample_pairing", "mixup_lp", "extrapolation"]
    name = trial.suggest_categorical("augmentation", names)
    return {"alpha": 1.5} if "alpha" in augmentation(name).parameters else {}
