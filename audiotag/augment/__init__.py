"""Augmentations of training batches: a public function each, in any file of this folder.

Its first arguments are (x, y, rng): features (B, T, F) as the front end gives them, natural logarithms of mel bands
that are standardised after it; targets (B, K) in [0, 1]; and a NumPy generator, from which all that is random must
come. One that asks for bands, seconds or decibels has a fourth, `front_end`: the `LogMel` that x was computed with. One
that mixes inside the network has `network` there: the module that is trained. It returns features and targets with the
same shapes, on their device, leaves what it was given alone, and keeps no state.

The keyword-only arguments, with literal defaults, are its hyperparameters: `audiotag.config` reads them from the
source. The annotation `Literal[...]` lists the values of a text. Combinations of values that make no sense stand in the
file's `RESTRICTIONS`, as in `mixing.py`, and are refused before anything is trained.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from audiotag.config import NO_AUGMENTATION, TrialConfig, augmentation, chain_parameters
from audiotag.declarations.catalogue import load

if TYPE_CHECKING:
    from torch import Tensor, nn

Augment = Callable[..., "tuple[Tensor, Tensor]"]


def build_augmentations(config: TrialConfig, network: "nn.Module | None" = None) -> list[Augment]:
    """Bind hyperparameters to the functions (x, y, rng) of the chosen augmentations, in order; none for "none".

    `network` is the one that is trained, for augmentations that mix inside it.
    """
    if config.augmentation == NO_AUGMENTATION:
        return []
    found: list[Augment] = []
    for name, words in chain_parameters(config.augmentation, config.code).items():
        bound: dict[str, Any] = {
            word: config.augmenting[word_of_trial]
            for word, word_of_trial in words.items()
            if word_of_trial in config.augmenting
        }
        declared = augmentation(name, config.code)
        bound |= {"front_end": config.front_end} if declared.takes_front_end else {}
        bound |= {"network": network} if declared.takes_network else {}
        found.append(partial(load("augmentation", name, config.code), **bound))
    return found
