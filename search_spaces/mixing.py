"""Which way of mixing two clips helps, of all there are?

The whole family that mixup belongs to (`mix` in docs/augmentations.md): the target, the direction, log-mels, powers or
waveforms, how lambda is drawn, and its alpha; and no mixing. Of the 170 combinations TPE samples some.
"""

from typing import Any

SAMPLER = "tpe"
TRIALS = 40


def define(trial: Any) -> dict[str, Any]:
    """The axes of `mix`; each of them where the others leave it a choice."""
    if trial.suggest_categorical("augmentation", ["none", "mix"]) == "none":
        return {}
    direction = trial.suggest_categorical("direction", ["interpolate", "half", "extrapolate"])
    if direction != "half":
        trial.suggest_categorical("lambdas", ["per_batch", "per_clip"])
        trial.suggest_categorical("dominant", [False, True])
        trial.suggest_categorical("alpha", [0.2, 0.5, 1.5, 5.0])
    if direction == "extrapolate":
        return {"target": "first", "domain": "log_mel"}
    trial.suggest_categorical("target", ["soft", "first", "union"])
    trial.suggest_categorical("domain", ["log_mel", "power", "waveform"])
    return {}
