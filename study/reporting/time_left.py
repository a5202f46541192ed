"""How long a study still takes: what is left of its trials, in order, on the slots that run side by side."""

import math
from collections.abc import Iterable
from heapq import heapreplace

GLIDE = 8.0  # s in which a time left takes up two thirds of a change of its estimate


def makespan(tasks: Iterable[float], slots: int) -> float:
    """When the last of some tasks ends (s), of which each begins, in order, as soon as a slot is free."""
    free = [0.0] * max(slots, 1)
    for seconds in tasks:
        heapreplace(free, free[0] + seconds)
    return max(free)


class Countdown:
    """A time left that runs down with the clock and glides where its estimate jumps."""

    def __init__(self) -> None:
        self._end, self._seen = 0.0, -math.inf  # on the clock; never looked at before

    def show(self, estimate: float, now: float) -> float:
        """Return the time left (s) to be shown at a moment of the clock, given a new estimate of it (s)."""
        share = 1 - math.exp(-(now - self._seen) / GLIDE)
        self._end += share * (now + estimate - self._end)
        self._seen = now
        return max(self._end - now, 0.0)
