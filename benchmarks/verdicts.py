"""What a check prints: a line per figure, with its limit and a verdict."""

import math
import time
from collections.abc import Callable


class Skipped(Exception):
    """A check that does not apply here; the reason."""


class Report:
    """Prints the lines, and counts what failed; times are not judged where they mean nothing."""

    def __init__(self, seconds: float, judge_times: bool) -> None:
        self._until, self._judge_times = time.monotonic() + seconds, judge_times
        self.failed = 0

    def line(
        self, check: str, value: float, *, most: float = math.inf, least: float = -math.inf, timed: bool = False
    ) -> None:
        """Print a figure with its limit and the verdict."""
        verdict = "ok" if least <= value <= most else "FAILED"
        bound = f"at most {most:.3g}" if math.isfinite(most) else f"at least {least:.3g}"
        self._print("seen" if timed and not self._judge_times else verdict, check, f"{value:.3g} ({bound})")

    def run(self, name: str, check: Callable[[], None]) -> None:
        """Run a check, unless the time is up; one that breaks has failed, and the next ones go on."""
        if time.monotonic() > self._until:
            self._print("skipped", name, "no time left")
            return
        try:
            check()
        except Skipped as reason:
            self._print("skipped", name, str(reason))
        except Exception as error:  # the machine may be lent for minutes
            self._print("FAILED", name, f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}")

    def _print(self, verdict: str, check: str, text: str) -> None:
        self.failed += verdict == "FAILED"
        print(f"{verdict:8}{check}: {text}", flush=True)
