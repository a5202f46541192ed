"""What runs a study's trials, as the driver passes it on. Imports no Ray."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Crew:
    """What each trial gets of its node, and which nodes get no trial.

    Attributes:
        per_trial: {"cpu": c, "gpu": g}.
        unused: Ray's names of the nodes that are left out.
    """

    per_trial: dict[str, float]
    unused: Sequence[str] = ()
