"""Augmentations of training batches: a public function each, in any file of this folder.

Its first arguments are (x, y, rng): features (B, ...), targets (B, K) in [0, 1], and a NumPy generator, from which all
that is random must come; it returns both with the same shapes, on their device, and leaves what it was given alone. The
keyword-only arguments, with literal defaults, are its hyperparameters: `audiotag.config` reads them from the source.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from audiotag.config import NO_AUGMENTATION, TrialConfig, augmentation

if TYPE_CHECKING:
    from torch import Tensor

Augment = Callable[..., "tuple[Tensor, Tensor]"]


def build_augmentation(config: TrialConfig) -> Augment | None:
    """Bind the hyperparameters of the chosen augmentation to its function (x, y, rng); None for "none"."""
    if config.augmentation == NO_AUGMENTATION:
        return None
    function = getattr(import_module(augmentation(config.augmentation).module), config.augmentation)
    return partial(function, **config.augmenting)
