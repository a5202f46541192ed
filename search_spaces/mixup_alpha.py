"""How strong should mixup be?

The paper's Table 1 from alpha 0 (no mixing) to 5 (nearly always half and half), all else equal.
"""

from typing import Any


def define(trial: Any) -> dict[str, Any]:
    """Alpha of mixup's Beta distribution: the seven values of the paper."""
    trial.suggest_categorical("alpha", [0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 5.0])
    return {"augmentation": "mixup"}
