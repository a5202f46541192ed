"""What should the target of two mixed clips be?

Mixed with the same lambdas (alpha 1.5, the paper's best) the target is mixed too, that of the first clip, or the union
of both; and no mixing.
"""

from typing import Any


def define(trial: Any) -> dict[str, Any]:
    """The target of `mix`."""
    if trial.suggest_categorical("augmentation", ["none", "mix"]) == "none":
        return {}
    trial.suggest_categorical("target", ["soft", "first", "union"])
    return {"alpha": 1.5}
