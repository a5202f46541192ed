"""What one epoch of training gave, as data. Imports no torch: whoever reads a study needs none."""

from dataclasses import asdict, dataclass
from typing import Any

from audiotag.metrics import METRICS


@dataclass(frozen=True)
class EpochResult:
    """One epoch of a fold.

    Losses are the trial's (`audiotag.training.loss`); accuracies are the share of tag decisions at 0.5 that
    are right. In training both are those of the batches (clips, or segments of clips) after mixing, against their mixed
    targets, cut at 0.5. `val_means` has of each metric of METRICS the mean over tags on the validation set: NaN where
    no tag has both classes, absent where an earlier version did not compute it.
    """

    epoch: int  # from 0
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_means: dict[str, float]
    seconds: float  # wall time

    def to_dict(self) -> dict[str, Any]:
        """Flat and plain: `val_means` becomes one entry `val_<metric>_mean` per metric."""
        values = asdict(self)
        means = values.pop("val_means")
        return values | {f"val_{name}_mean": mean for name, mean in means.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "EpochResult":
        """The inverse of `to_dict`; keys that are not fields are ignored."""
        means = {name: values[key] for name in METRICS if (key := f"val_{name}_mean") in values}
        own = {name: values[name] for name in cls.__dataclass_fields__ if name != "val_means"}
        return cls(**own, val_means=means)


@dataclass(frozen=True)
class PretrainingEpoch:
    """One epoch of the pretraining without tags."""

    epoch: int  # from 0
    loss: float  # mean over segments
    seconds: float  # wall time
