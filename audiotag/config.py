"""The hyperparameters of one trial."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

MODELS = ("crnn", "dae_dnn", "cgrnn", "att_loc")
STEREO_MODELS = ("cgrnn", "att_loc")  # those that can take the inter-channel magnitude difference
AUGMENTATIONS = ("none", "mixup", "sample_pairing", "mixup_lp", "extrapolation")
WITHOUT_ALPHA = ("none", "sample_pairing")
SCHEDULES = ("always", "intermittent")
OPTIMIZERS = ("adam", "sgd")
PRECISIONS = ("fp32", "bf16")

# What differs from model to model, as the paper or the authors' public code has it. What a model lacks here it does not
# have: it is 0 then. crnn: optimizer, learning rate, GRU and dropout's companions are open in the paper
DEFAULTS: dict[str, dict[str, Any]] = {
    "crnn": {
        "dropout": 0.1,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 44,
        "gru_units": 128,
        "gru_layers": 1,
    },
    "dae_dnn": {
        "dropout": 0.2,
        "optimizer": "sgd",
        "learning_rate": 5e-3,
        "batch_size": 100,
        "pretrain_epochs": 100,
    },
    "cgrnn": {
        "dropout": 0.2,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 100,
        "gru_units": 128,
        "gru_layers": 3,
    },
    "att_loc": {
        "dropout": 0.2,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 100,
        "gru_units": 128,
        "gru_layers": 3,
    },
}
PARTS = ("gru_units", "gru_layers", "pretrain_epochs")  # whole numbers of something that not every model has
OF_MODEL: Any = object()  # stands for the model's own default


@dataclass(frozen=True)
class TrialConfig:
    """Every hyperparameter of a trial, one flat name each.

    The field, the Optuna parameter, the MLflow param and the table column are the same word. Comments tell what is from
    the paper ("Sample mixed-based data augmentation for domestic audio tagging", Wei et al. 2018) and what is open in
    it. A field that is left out takes the value of DEFAULTS for its model.
    """

    model: str = "crnn"  # which system of the paper's Table 1
    imd: bool = False  # the inter-channel magnitude difference as a second input; needs stereo recordings
    augmentation: str = "none"  # see augment.py
    alpha: float = 0.0  # lambda ~ Beta(alpha, alpha); 0: no mixing. sample_pairing has no alpha
    schedule: str = "always"  # in which epochs the augmentation is on; intermittent: SamplePairing's own paper
    dropout: float = OF_MODEL  # crnn: after each conv block; others: after their dense layers
    optimizer: str = OF_MODEL  # sgd has a momentum of 0.9
    learning_rate: float = OF_MODEL
    batch_size: int = OF_MODEL  # clips; of dae_dnn and cgrnn blocks of frames
    max_epochs: int = 200  # open in the paper
    patience: int = 20  # epochs without a lower validation loss, from the paper
    gru_units: int = OF_MODEL  # a direction
    gru_layers: int = OF_MODEL
    pretrain_epochs: int = OF_MODEL  # of dae_dnn's auto-encoder, before the training with tags
    precision: str = "fp32"  # of convolutions and matrix products; open in the paper

    def __post_init__(self) -> None:
        _require("model", self.model, MODELS)
        own = {**dict.fromkeys(PARTS, 0), **DEFAULTS[self.model]}
        for name, value in own.items():
            if getattr(self, name) is OF_MODEL:
                object.__setattr__(self, name, value)
        self._check_choices()
        self._check_numbers()
        self._check_parts()

    def _check_choices(self) -> None:
        _require("augmentation", self.augmentation, AUGMENTATIONS)
        _require("schedule", self.schedule, SCHEDULES)
        _require("optimizer", self.optimizer, OPTIMIZERS)
        _require("precision", self.precision, PRECISIONS)
        if not isinstance(self.imd, bool):
            raise ValueError(f"The value of `imd` is {self.imd!r}, but must be True or False.")

    def _check_numbers(self) -> None:
        for name, low, high in (("alpha", 0.0, math.inf), ("dropout", 0.0, 1.0)):
            value = getattr(self, name)
            if not (_is_number(value) and low <= value < high):
                raise ValueError(f"The value of `{name}` is {value!r}, but must be a number in [{low:g}, {high:g}).")
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate < math.inf):
            raise ValueError(f"The value of `learning_rate` is {self.learning_rate!r}, but must be a positive number.")
        there = [name for name in PARTS if name in DEFAULTS[self.model]]
        for name in ("batch_size", "max_epochs", "patience", *there):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"The value of `{name}` is {value!r}, but must be a whole number of at least 1.")

    def _check_parts(self) -> None:
        """No value for what the model or the augmentation does not have: it would change nothing."""
        without: list[tuple[str, str, Any]] = [
            (name, self.model, 0) for name in PARTS if name not in DEFAULTS[self.model]
        ]
        if self.model not in STEREO_MODELS:
            without.append(("imd", self.model, False))
        if self.augmentation in WITHOUT_ALPHA:
            without.append(("alpha", self.augmentation, 0))
        if self.augmentation == "none":
            without.append(("schedule", self.augmentation, SCHEDULES[0]))
        for name, owner, none in without:
            value = getattr(self, name)
            if value != none:
                raise ValueError(f"The value of `{name}` is {value!r}, but {owner!r} has no {name}: leave it out.")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrialConfig":
        """A configuration from plain values; what is left out is the model's default.

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
