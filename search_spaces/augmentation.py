"""Which way of mixing samples helps, if any?

The paper's augmentations at the strength that it gives them (alpha 1.5), and no augmentation as the baseline.
"""

from typing import Any


def define(trial: Any) -> dict[str, Any]:
    """The augmentation; alpha goes with those that have one."""
    augmentation = trial.suggest_categorical(
        "augmentation", ["none", "mixup", "sample_pairing", "mixup_lp", "extrapolation"]
    )
    return {"alpha": 0.0 if augmentation in ("none", "sample_pairing") else 1.5}
