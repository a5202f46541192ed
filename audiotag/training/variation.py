"""Training clips whose place one of their variants takes for an epoch.

Shapes: n clips of an epoch, D clips that have V variants, B segments (or clips) of a batch, L frames of a segment, F
values per frame.
"""

import numpy as np
from torch import Tensor

from audiotag.augment.variants import Variants
from audiotag.models.segments import Segmentation
from audiotag.training.batches import gather

ORIGINAL = -1  # in place of a variant's number


def draw_variants(
    variants: Variants, clips: np.ndarray, train: np.ndarray, probability: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a variant, or ORIGINAL, for each clip of an epoch, indices (n,): numbers (n,).

    A clip is replaced with `probability`, by any of its variants that the training part of the fold allows alike; one
    without any stays as it is. Clips that are replaced at a lower probability are so at a higher one, too.
    """
    happens, place = rng.random((2, len(clips)))
    allowed = variants.allowed(train)[np.searchsorted(variants.clips, clips)]  # (n, V)
    count = allowed.sum(axis=1)
    first = np.argsort(~allowed, axis=1, kind="stable")  # the numbers of the allowed ones, then the others
    chosen = np.take_along_axis(first, (place * count).astype(np.int64)[:, None], axis=1)[:, 0]
    return np.where((happens < probability) & (count > 0), chosen, ORIGINAL)


def gather_variants(
    features: np.ndarray | Tensor, variants: Variants | None, index: np.ndarray, segments: Segmentation | None
) -> Tensor:
    """Cut segments as `gather` does; those with a variant's number from that variant: to (B, L, F).

    `index` (B, 3) has clip, first frame, and the variant's number or ORIGINAL.
    """
    x = gather(features, index[:, :2], segments)
    varied = np.flatnonzero(index[:, 2] != ORIGINAL)
    if variants is not None and len(varied):
        clips, starts, numbers = index[varied].T
        values = variants.values
        rows = np.searchsorted(variants.clips, clips) * values.shape[1] + numbers
        cut = gather(values.reshape(-1, *values.shape[2:]), np.stack([rows, starts], axis=1), segments)
        x[varied] = cut.to(x.device)
    return x
