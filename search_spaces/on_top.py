"""What does each of mixup, SpecAugment and Freq-MixStyle add to the others?

All eight combinations of the three, each as its own literature has it: mixup with alpha 1.5, the others with their
defaults. The report has main effects and interactions.
"""

from typing import Any

PARTS = ("mixup", "spec_augment", "freq_mixstyle")


def define(trial: Any) -> dict[str, Any]:
    """Which of the three are on, in the order in which they follow each other."""
    chains = ["+".join(part for place, part in enumerate(PARTS) if number >> place & 1) for number in range(8)]
    name = trial.suggest_categorical("augmentation", [chain or "none" for chain in chains])
    if "mixup" not in name:
        return {}
    return {"mixup.alpha" if "freq_mixstyle" in name else "alpha": 1.5}
