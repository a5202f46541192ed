"""How a study goes on where memory is low: with fewer trials side by side, at last with one after a pause."""

import time
from collections.abc import Callable

from study.tuning.failures import LowMemory

PAUSES = (10.0, 30.0)  # s before a lone trial is tried again, unless it trains an epoch meanwhile


def run_in_memory(
    run: Callable[[int], None],
    slots: int,
    warn: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run trials so many side by side, and the rest of them with a quarter fewer each time memory is low.

    Args:
        run: Runs what is left of the study, so many trials side by side.
        slots: How many at first.
        warn: Is told in a line how the study goes on.
        sleep: Waits so many seconds.

    Raises:
        LowMemory: If there is too little for one trial alone, after all pauses; with the remedy.
    """
    pauses = iter(PAUSES)
    while True:
        try:
            return run(slots)
        except LowMemory as shortage:
            if shortage.progress:
                pauses = iter(PAUSES)
            if slots > 1:
                slots = slots * 3 // 4
                warn(f"low on memory ({shortage}); the study goes on with {slots} side by side")
            elif (pause := next(pauses, None)) is not None:
                warn(f"low on memory ({shortage}); the study goes on in {pause:g} s")
                sleep(pause)
            else:
                raise LowMemory(
                    f"Low on memory, even for one trial at a time ({shortage}). What was trained is kept: "
                    "end other programs or take a larger machine, then continue with --resume."
                ) from None
