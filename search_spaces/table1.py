"""Which system of the paper's Table 1 is best?

Its thirteen rows in their order: the three systems of others, then the CRNN with each augmentation; and beside
SamplePairing as the table has it ("without fine tuning") the same with the schedule of its own paper.
"""

from typing import Any

BASELINE = {"model": "crnn", "augmentation": "mixup", "alpha": 0.0}  # the CRNN without mixing


def define(trial: Any) -> dict[str, Any]:
    """The model; of the CRNN the augmentation and its own hyperparameters."""
    model = trial.suggest_categorical("model", ["dae_dnn", "cgrnn", "att_loc", "crnn"])
    if model != "crnn":
        return {"imd": True} if model != "dae_dnn" else {}
    augmentation = trial.suggest_categorical("augmentation", ["mixup", "sample_pairing", "mixup_lp", "extrapolation"])
    if augmentation == "mixup":
        trial.suggest_categorical("alpha", [0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 5.0])
    elif augmentation == "sample_pairing":
        trial.suggest_categorical("schedule", ["always", "intermittent"])
    else:
        return {"alpha": 1.5}
    return {}
