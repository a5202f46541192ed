"""What runs a study's trials, as the driver passes it on. Imports no Ray."""

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Crew:
    """What each trial gets of its node, and which nodes get no trial.

    Attributes:
        per_trial: {"cpu": c, "gpu": g}.
        unused: Ray's names of the nodes that are left out.
        expected: What must compute on a node as here (`study.tuning.probe`); None where all nodes are this machine.
    """

    per_trial: dict[str, float]
    unused: tuple[str, ...] = ()
    expected: dict[str, str] | None = None

    def without(self, nodes: Collection[str]) -> "Crew":
        """The crew without some more nodes."""
        return replace(self, unused=tuple(sorted({*self.unused, *nodes})))
