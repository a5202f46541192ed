"""A trial's learning curves: its folds' epochs as one history."""

from collections.abc import Sequence

from audiotag.metrics import mean_defined
from audiotag.training.epochs import EpochResult


def mean_curves(histories: Sequence[Sequence[EpochResult]]) -> list[EpochResult]:
    """Average the epochs of a trial's folds (with several seeds, of each seed's training of each fold).

    An epoch's mean is over the folds that have it. The curves end with the last epoch that more than half of the folds
    have: beyond it a mean would follow the few folds that train longest.

    Args:
        histories: Of each fold its epochs, from 0.

    Returns:
        The mean of each epoch; NaN where no fold has a figure.
    """
    lengths = sorted(map(len, histories), reverse=True)
    epochs = lengths[len(lengths) // 2] if lengths else 0
    return [_mean_epoch([history[epoch] for history in histories if epoch < len(history)]) for epoch in range(epochs)]


def _mean_epoch(results: Sequence[EpochResult]) -> EpochResult:
    rows = [result.to_dict() for result in results]
    names = dict.fromkeys(name for row in rows for name in row)
    means = {name: float(mean_defined([row[name] for row in rows if name in row])) for name in names}
    return EpochResult.from_dict(means | {"epoch": results[0].epoch})
