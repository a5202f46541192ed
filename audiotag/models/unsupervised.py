"""What a system says of a stage before training that sees no tags.

Such a system has `unsupervised`, and `unsupervised_loss`: features of units (B, L, F) to a mean loss over them.
"""

from dataclasses import dataclass

from audiotag.models.segments import Framing


@dataclass(frozen=True)
class Unsupervised:
    """How the stage is trained: its units of frames, and stochastic gradient descent on them."""

    framing: Framing
    batch_size: int  # units
    learning_rate: float
    momentum: float
