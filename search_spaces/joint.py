"""Which augmentation, how strong, and with how much dropout?

All three together, sampled by TPE: too many combinations to try each.
"""

from typing import Any

SAMPLER = "tpe"
TRIALS = 30


def define(trial: Any) -> None:
    """Augmentation, alpha where it has a meaning, dropout."""
    augmentation = trial.suggest_categorical(
        "augmentation", ["none", "mixup", "sample_pairing", "mixup_lp", "extrapolation"]
    )
    if augmentation not in ("none", "sample_pairing"):
        trial.suggest_float("alpha", 0.1, 5.0, log=True)
    trial.suggest_float("dropout", 0.0, 0.5)
