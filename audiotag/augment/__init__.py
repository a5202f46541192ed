"""Augmentations of training batches: a public function each, in any file of this folder.

Its first arguments are (x, y, rng): features (B, T, F) as the front end gives them, natural logarithms of mel bands
that are standardised after it; targets (B, K) in [0, 1]; and a NumPy generator, from which all that is random must
come. One that asks for bands, seconds or decibels has a fourth, `front_end`: the `LogMel` that x was computed with. It
returns features and targets with the same shapes, on their device, leaves what it was given alone, and keeps no state.

The keyword-only arguments, with literal defaults, are its hyperparameters: `audiotag.config` reads them from the
source. The annotation `Literal[...]` lists the values of a text. Combinations of values that make no sense stand in the
file's `RESTRICTIONS`, as in `mixing.py`, and are refused before anything is trained.
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
    declared = augmentation(config.augmentation)
    bound = dict(config.augmenting) | ({"front_end": config.front_end} if declared.takes_front_end else {})
    return partial(getattr(import_module(declared.module), config.augmentation), **bound)
