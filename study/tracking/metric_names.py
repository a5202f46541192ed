"""The names of MLflow's metrics. Users sort, filter and script by them: docs/mlflow.md is the contract."""

import re
from collections.abc import Mapping, Sequence

from audiotag.metrics import EER
from audiotag.training.epochs import EpochResult
from study.ledger.findings import TrialFindings
from study.ledger.schema import Figures, OverPartitions

PARTS = ("mean", "var_classes", "var_folds", "sd_seeds")  # fields of Figures: eer/mean stands beside eer/<tag>
ENDS = ("mean_low", "mean_high")  # of the mean's interval, which stand there, too
BASELINE = "vs_baseline"
CONFIRMED = "confirmed"
PARTITIONS = "partitions"
AGAIN = ("difference", "difference_low", "difference_high", "p", "p_better", "p_same", "p_worse")
COMPARED = ("difference", "difference_low", "difference_high", "p_holm", "p_better", "p_same", "p_worse")


def epoch_values(epoch: EpochResult) -> dict[str, float]:
    """The points that an epoch adds to the curves of a run: train/loss, ..., val/eer_mean."""
    values = epoch.to_dict().items()
    return {name.replace("_", "/", 1): value for name, value in values if name.startswith(("train_", "val_"))}


def figure_values(figures: Mapping[str, Figures]) -> dict[str, float | None]:
    """The figures of a trial or a fold: eer/mean, eer/<tag>, ... of each metric."""
    values: dict[str, float | None] = {}
    for metric, part in figures.items():
        tags = tag_names(list(part.by_tag))
        values |= {f"{metric}/{name}": getattr(part, name) for name in PARTS}
        values |= {f"{metric}/{tags[tag]}": value for tag, value in part.by_tag.items()}
    return values


def finding_values(trial: TrialFindings, metric: str) -> dict[str, float | None]:
    """What the report says of a trial: eer/mean_low, eer/mean_high, vs_baseline/difference, confirmed/eer_mean, ..."""
    values = {f"{metric}/{name}": end for name, end in zip(ENDS, (trial.low, trial.high), strict=True)}
    values |= {f"{BASELINE}/{name}": getattr(trial, name) for name in COMPARED}
    if trial.confirmed is not None:
        values |= {f"{CONFIRMED}/{metric}_mean": trial.confirmed.mean}
        values |= {f"{CONFIRMED}/{name}": getattr(trial.confirmed, name) for name in AGAIN}
    return values


def partition_values(over: OverPartitions) -> dict[str, float | None]:
    """The means of a trial over all its partitions: partitions/eer_mean, ... of each metric."""
    return {f"{PARTITIONS}/{name}_mean": part.mean for name, part in over.figures.items()}


def evaluation_values(figures: Mapping[str, Figures]) -> dict[str, float | None]:
    """The figures of a trial on the evaluation split."""
    return figure_values({evaluation_prefix(metric): part for metric, part in figures.items()})


def evaluation_prefix(metric: str) -> str:
    """The prefix of a metric on the evaluation split; the EER has had a shorter one since it was the only metric."""
    return "eval" if metric == EER else f"eval_{metric}"


def tag_names(tags: Sequence[str]) -> dict[str, str]:
    """The name of each tag in a metric's name: MLflow takes letters, digits and `_-.: `; the rest becomes `_`.

    Names that coincide, with each other or with one of PARTS or ENDS, get _2, _3, ...
    """
    names: dict[str, str] = {}
    for tag in tags:
        plain = re.sub(r"[^\w.: -]", "_", tag)[:200]
        plain = plain if plain.strip(".") else "_"  # "." and ".." mean folders to MLflow
        taken = (*PARTS, *ENDS, *names.values())
        numbered = (plain if number == 1 else f"{plain}_{number}" for number in range(1, len(taken) + 2))
        names[tag] = next(name for name in numbered if name not in taken)
    return names
