"""Which clips an epoch trains on, as often as it does.

Shapes: n training clips, K tags.
"""

import numpy as np

SMALL = 0.01  # added to the number of a tag's clips, as in AST's code


def draw_clips(clips: np.ndarray, targets: np.ndarray, sampling: str, rng: np.random.Generator) -> np.ndarray:
    """Draw the clips of an epoch from the training clips, both indices (n,), by a sampling of `SAMPLINGS`.

    "uniform": each once. "balanced": n of them with replacement, by `balanced_weights` of their targets (n, K), so that
    a rare tag is heard about as often as a frequent one.
    Source: Kong et al. 2020 (PANNs), section III.A; Gong et al. 2021 (AST), whose code draws by such weights.
    """
    if sampling == "uniform":
        return clips
    weights = balanced_weights(targets)
    return rng.choice(clips, len(clips), p=weights / weights.sum())


def balanced_weights(targets: np.ndarray) -> np.ndarray:
    """Weigh clips by the sum of 1 / (clips with the tag + SMALL) over their tags: targets (n, K) to (n,).

    To have no tag counts as one more tag, so that such clips are drawn as often in all as those of a tag.
    """
    present = targets > 0.5
    columns = np.column_stack([present, ~present.any(axis=1)])
    return columns @ (1 / (columns.sum(axis=0) + SMALL))
