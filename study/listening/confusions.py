"""Which tags are taken for which: tags that clips with a mistake have more often than clips without it.

With several tags per clip there is no confusion matrix. What can be counted is how often tag B is present where tag A
is a false alarm, against how often where A is absent and no false alarm; and the same of misses, among clips with A.
"""

from dataclasses import dataclass

import numpy as np

from study.listening.choice import Kind, ScoredClips

FEWEST = 2  # clips with the mistake and the other tag


@dataclass(frozen=True)
class Confusion:
    """How often another tag is present with a mistake, and without it.

    Attributes:
        tag: Of the mistake.
        kind: "missed" or "false alarm".
        other: The tag that is present.
        there: Clips with the mistake that have it.
        mistakes: Clips with the mistake.
        elsewhere: Clips without the mistake, of the same target of `tag`, that have it.
        others: Clips without the mistake, of the same target of `tag`.
    """

    tag: int
    kind: Kind
    other: int
    there: int
    mistakes: int
    elsewhere: int
    others: int

    @property
    def excess(self) -> float:
        """How many more clips with the mistake have the tag than if it were as frequent there as elsewhere."""
        return self.there - self.mistakes * self.elsewhere / self.others

    @property
    def ratio(self) -> float | None:
        """How many times as frequent the tag is with the mistake; None where it is never there without."""
        return (self.there / self.mistakes) / (self.elsewhere / self.others) if self.elsewhere else None


def find_confusions(row: ScoredClips, most: int) -> list[Confusion]:
    """The `most` confusions with the largest excess: at least one clip more than expected, and `FEWEST` in all."""
    found: list[Confusion] = []
    has = (row.targets > 0).astype(np.int64)  # (N, K)
    defined = ~np.isnan(row.thresholds)
    kinds: tuple[tuple[Kind, np.ndarray, np.ndarray], ...] = (
        ("false alarm", row.false_alarms, (row.targets == 0) & defined),
        ("missed", row.missed, (has == 1) & defined),
    )
    for kind, mistakes, comparable in kinds:
        others = (comparable & ~mistakes).astype(np.int64)
        there, elsewhere = mistakes.T.astype(np.int64) @ has, others.T @ has  # (K, K): of the mistake, of the other
        for tag, other in np.argwhere(there >= FEWEST).tolist():
            if other != tag and (rest := int(others[:, tag].sum())):
                counts = int(there[tag, other]), int(mistakes[:, tag].sum()), int(elsewhere[tag, other]), rest
                found.append(Confusion(tag, kind, other, *counts))
    return sorted((one for one in found if one.excess >= 1), key=lambda one: -one.excess)[:most]
