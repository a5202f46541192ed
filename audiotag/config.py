"""The hyperparameters of one trial."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

AUGMENTATIONS = ("none", "mixup", "sample_pairing", "mixup_lp", "extrapolation")


@dataclass(frozen=True)
class TrialConfig:
    """Every hyperparameter of a trial, one flat name each.

    The field, the Optuna parameter, the MLflow param and the table column are the same word. Comments tell what is from
    the paper ("Sample mixed-based data augmentation for domestic audio tagging", Wei et al. 2018) and what is open in
    it.
    """

    augmentation: str = "none"  # see augment.py
    alpha: float = 0.0  # lambda ~ Beta(alpha, alpha); 0: no mixing. sample_pairing has no alpha
    dropout: float = 0.1  # after each conv block, from the paper
    learning_rate: float = 1e-3  # Adam; open in the paper
    batch_size: int = 44  # clips, from the paper
    max_epochs: int = 200  # open in the paper
    patience: int = 20  # epochs without a lower validation loss, from the paper
    gru_units: int = 128  # a direction; open in the paper
    gru_layers: int = 1  # open in the paper

    def __post_init__(self) -> None:
        _require("augmentation", self.augmentation, AUGMENTATIONS)
        for name, low, high in (("alpha", 0.0, math.inf), ("dropout", 0.0, 1.0)):
            value = getattr(self, name)
            if not (_is_number(value) and low <= value < high):
                raise ValueError(f"The value of `{name}` is {value!r}, but must be a number in [{low:g}, {high:g}).")
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate < math.inf):
            raise ValueError(f"The value of `learning_rate` is {self.learning_rate!r}, but must be a positive number.")
        for name in ("batch_size", "max_epochs", "patience", "gru_units", "gru_layers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"The value of `{name}` is {value!r}, but must be a whole number of at least 1.")
        if self.augmentation in ("none", "sample_pairing") and self.alpha != 0:
            raise ValueError(
                f"The value of `alpha` is {self.alpha!r}, but {self.augmentation!r} has no alpha: leave it out."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrialConfig":
        """A configuration from plain values.

        Raises:
            ValueError: for a key that is no hyperparameter, or a value out of its range.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise ValueError(f"Unknown hyperparameter `{key}`: the hyperparameters are {', '.join(known)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values that JSON holds."""
        return asdict(self)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"The value of `{name}` is {value!r}, but must be one of {', '.join(allowed)}.")
