"""Do pitch shifting, time stretching and background noise help as little as the paper says?

Its abstract says that they "do not show much improvement in audio tagging", and no row of it tests that. Each alone,
with the value sets of Salamon & Bello (2017), and dynamic range compression, which these have too, beside no
augmentation and the paper's best mixup (alpha 1.5).
"""

from typing import Any


def define(trial: Any) -> dict[str, Any]:
    """The augmentation; alpha goes with mixup."""
    names = ["none", "pitch_shift", "time_stretch", "background_noise", "compression", "mixup"]
    return {"alpha": 1.5} if trial.suggest_categorical("augmentation", names) == "mixup" else {}
