"""Labels of which some are unknown: targets are 1 where a clip has a tag, 0 where it lacks it, NaN where nobody knows.

What is computed with an unknown label is unknown, so a mixture of clips is labelled only where both of them are, and
whatever counts or compares leaves it out. Shapes: n clips, K tags.
"""

import numpy as np


def have_unknown(targets: np.ndarray) -> bool:
    """Whether any label is unknown."""
    return targets.dtype.kind == "f" and bool(np.isnan(targets).any())


def count_known(targets: np.ndarray) -> np.ndarray:
    """Count the clips of which it is known whether they have a tag, of each tag (K,)."""
    return (~np.isnan(targets)).sum(axis=0)


def as_lists(targets: np.ndarray) -> list[list[int | None]]:
    """Give targets (n, K) as JSON holds them; None for a label that is unknown."""
    rows: list[list[int | None]] = np.nan_to_num(targets, nan=-1).astype(int).tolist()
    if have_unknown(targets):
        return [[None if label == -1 else label for label in row] for row in rows]
    return rows


def as_json(targets: np.ndarray) -> str:
    """Give targets (n, K) as JSON of `as_lists`, which takes five times as long."""
    letters = np.where(np.isnan(targets), b"n", np.where(targets == 1, b"1", b"0"))
    rows = (", ".join(row.tobytes().decode()) for row in letters)
    return f"[{', '.join(f'[{row}]' for row in rows)}]".replace("n", "null")


def balanced_classes(targets: np.ndarray) -> np.ndarray:
    """The classes of clips that divisions make about as frequent in every part, (n, classes) bool.

    They are the tags, and of a tag with unknown labels also its known absence: a part needs both to score the tag.
    """
    present, unknown = targets > 0, np.isnan(targets)
    partly = unknown.any(axis=0)
    return np.column_stack([present, (~present & ~unknown)[:, partly]]) if partly.any() else present
