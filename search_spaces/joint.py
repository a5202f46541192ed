"""Which augmentation, how strong, and with how much dropout?

All three together, sampled by TPE: too many combinations to try each.
"""

from typing import Any

from audiotag.config import augmentation

SAMPLER = "tpe"
TRIALS = 30


def define(trial: Any) -> None:
    """Augmentation, alpha where it has one, dropout."""
    names = ["none", "mixup", "sample_pairing", "mixup_lp", "extrapolation"]
    name = trial.suggest_categorical("augmentation", names)
    if "alpha" in augmentation(name).parameters:
        trial.suggest_float("alpha", 0.1, 5.0, log=True)
    trial.suggest_float("dropout", 0.0, 0.5)
