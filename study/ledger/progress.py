"""What a trial reports while it runs: the record that travels from the worker through Ray Tune to the driver."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from audiotag.training.epochs import EpochResult, PretrainingEpoch

METRIC = "mean"  # the entry of a report that Optuna minimises or maximises


@dataclass(frozen=True)
class Report:
    """An epoch, the end of a fold, or the end of a trial.

    Attributes:
        mean: Of the study's objective, over tags and the finished folds of the corpus's own partition; never NaN.
        folds_done: With every seed, of all partitions.
        fold, seed: The training in progress; None in a report between folds.
        epoch, pretraining: What it gave, one of them in each report of an epoch.
        earlier: Epochs of the same training before that one that have not been reported by themselves.
        failed: Why the trial has no result, in its last report.
        halted: Why the whole study cannot go on.
        warnings: For the user: nobody reads what a worker prints.
    """

    mean: float
    folds_done: int = 0
    fold: int | None = None
    seed: int | None = None
    epoch: EpochResult | None = None
    pretraining: PretrainingEpoch | None = None
    failed: str | None = None
    halted: str | None = None
    warnings: tuple[str, ...] = ()
    partition: int = 1  # of the training in progress
    seeds_done: int = 0  # on a fixed split, between two seeds
    earlier: tuple[EpochResult, ...] = ()

    @property
    def ends_fold(self) -> bool:
        """Whether the trial has just finished a fold with every seed."""
        return self.fold is None and self.failed is None and self.halted is None

    @property
    def training(self) -> tuple[int, int | None, int | None]:
        """The partition, fold and seed in progress."""
        return self.partition, self.fold, self.seed

    def by_epoch(self) -> Iterator["Report"]:
        """A report for each epoch, as they would have come one by one."""
        for epoch in self.earlier:
            yield replace(self, epoch=epoch, earlier=(), warnings=())
        yield replace(self, earlier=())

    def to_dict(self) -> dict[str, Any]:
        """The report as Ray Tune takes it: plain values, METRIC among them."""
        values: dict[str, Any] = dict(vars(self))
        values["epoch"] = self.epoch and self.epoch.to_dict()
        values["earlier"] = tuple(epoch.to_dict() for epoch in self.earlier)
        values["pretraining"] = self.pretraining and asdict(self.pretraining)
        return {name: value for name, value in values.items() if value not in (None, ())}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Report":
        """The inverse of `to_dict`; what Ray Tune has added is ignored."""
        own = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        if "epoch" in own:
            own["epoch"] = EpochResult.from_dict(own["epoch"])
        if "earlier" in own:
            own["earlier"] = tuple(map(EpochResult.from_dict, own["earlier"]))
        if "pretraining" in own:
            own["pretraining"] = PretrainingEpoch(**own["pretraining"])
        return cls(**own)
