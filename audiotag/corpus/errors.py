"""The error of a corpus, and the phrases that messages about many clips need."""

from collections.abc import Iterable, Sequence

NAMED = 5  # clips, rows or tags that a message names


class CorpusError(ValueError):
    """A corpus that cannot be used, in one line: what is wrong, where, and what to do.

    Attributes:
        problems: Each single problem in a line of its own; at least one.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message, tuple(problems))  # both in args: the error survives pickling between processes
        self.problems = tuple(problems) or (message,)

    def __str__(self) -> str:
        return self.args[0]


def count(number: int, noun: str) -> str:
    """Write a number with its noun: "1 clip", "2 clips"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def list_first(items: Iterable[str], most: int = NAMED, separator: str = ", ") -> str:
    """Write the first few items, and how many more there are: "a, b and 3 more"."""
    items = list(items)
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + rest


def name_first(names: Iterable[str]) -> str:
    """Write the first few names, and how many more there are: "`a.wav`, `b.wav` and 3 more"."""
    return list_first([f"`{name}`" for name in names])
