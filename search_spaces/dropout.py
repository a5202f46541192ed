"""Does mixup still need dropout?

Both regularise: dropout from none to strong, without mixing and with the paper's best mixup (alpha 1.5).
"""

from typing import Any


def define(trial: Any) -> dict[str, Any]:
    """Dropout after each conv block, with and without mixup."""
    augmentation = trial.suggest_categorical("augmentation", ["none", "mixup"])
    trial.suggest_categorical("dropout", [0.0, 0.1, 0.2, 0.3, 0.5])
    return {"alpha": 1.5} if augmentation == "mixup" else {}
