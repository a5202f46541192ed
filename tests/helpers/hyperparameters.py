"""Other values of hyperparameters, for tests that each of them does something."""

from typing import Any

from audiotag.config import CHOICES, TrialConfig, augmentation, network


def another(config: TrialConfig, name: str) -> Any:
    """A value that a hyperparameter of a trial may have beside its own."""
    value = config.get(name)
    if isinstance(value, str):
        choices = {**CHOICES, **network(config.model).choices, **augmentation(config.augmentation).choices}
        return next(choice for choice in choices[name] if choice != value)
    if isinstance(value, bool | int):
        return not value if isinstance(value, bool) else value + 1
    return value / 2 if value == 1 else (value + 1) / 2
