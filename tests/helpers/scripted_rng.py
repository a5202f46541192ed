"""A generator that gives what a test wants drawn, for formulas by hand."""

from typing import Any

import numpy as np


class ScriptedRng:
    """Gives, for each method of NumPy's generator, the values of a list in turn, and notes the arguments."""

    def __init__(self, **values: list[Any]) -> None:
        self.values, self.asked = values, dict[str, list[tuple[Any, ...]]]()

    def spawn(self, count: int) -> list["ScriptedRng"]:
        return [self] * count

    def __getattr__(self, method: str) -> Any:
        def draw(*arguments: Any, **_: Any) -> Any:
            self.asked.setdefault(method, []).append(arguments)
            value = self.values[method].pop(0)
            return np.array(value) if isinstance(value, list) else value

        if method not in self.values:
            raise AttributeError(method)
        return draw
