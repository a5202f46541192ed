"""What does a second channel add?

CGRNN and ATT-LOC with and without the inter-channel magnitude difference (IMD), which needs stereo recordings.
"""

from typing import Any

BASELINE = {"model": "cgrnn", "imd": False}


def define(trial: Any) -> None:
    """The model, and whether it has the second input."""
    trial.suggest_categorical("model", ["cgrnn", "att_loc"])
    trial.suggest_categorical("imd", [False, True])
