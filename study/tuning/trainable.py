"""The function that a trial's worker runs, as the driver names it.

Imports no torch: the driver does without, which brings a study's first training step 1.5 s nearer.
"""

from functools import cache
from typing import Any

import ray

from study.tuning import probe
from study.tuning.failures import UnfitNode


def train_trial(parameters: dict[str, Any], expected: dict[str, str] | None, card: float, **shared: Any) -> None:
    """`study.tuning.trial.run_trial`, which is imported where it runs, on a node that computes as is `expected`.

    Nodes that were there at the start have been looked at before; others may have joined since.

    Raises:
        UnfitNode: If this one does not.
    """
    if expected is not None and (reason := _why_not(tuple(expected.items()), bool(card))) is not None:
        raise UnfitNode((ray.get_runtime_context().get_node_id(),), reason)
    from study.tuning.trial import run_trial

    run_trial(parameters, card=card, **shared)


@cache
def _why_not(expected: tuple[tuple[str, str], ...], with_cards: bool) -> str | None:
    """Why this node will not do; a worker, which runs several trials, looks once."""
    return probe.compare(dict(expected), probe.look(with_cards), with_cards)
