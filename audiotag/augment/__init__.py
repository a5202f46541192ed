"""Augmentations of training batches and of waveforms: a public function each, in any file of this folder.

The first arguments of one of batches are (x, y, rng): features (B, T, F) as the front end gives them, natural
logarithms of mel bands that are standardised after it; targets (B, K) in [0, 1], NaN where it is unknown whether a clip
has a tag, and so in what is computed with it; and a NumPy generator, from which all that is random must come. One that
asks for bands, seconds or decibels has a fourth, `front_end`: the `LogMel` that x was computed with. One that mixes
inside the network has `network` there: the module that is trained. It returns features and targets with the same
shapes, on their device, leaves what it was given alone, and keeps no state. Where a hyperparameter `domain` of it is
"waveform", x are waveforms (B, S), in stereo (B, 2, S), before the front end.

Those of one of waveforms are (wave, sample_rate, rng): a clip (S,) or, of a stereo front end, (2, S), float32 in about
[-1, 1]; Hz; and a generator. It returns one variant of the clip, of the same shape, and leaves the targets alone.
`audiotag.augment.variants` calls it a few times per clip, each time with random numbers that derive from the clip's
content, and keeps the features of what it gives. One that has a list of values has a further argument `variant`, a
number that goes up by one from a clip's variant to the next, in a chain in another order: `values[variant %
len(values)]`. One that adds another sound has, at the end, `noise`, of the shape of `wave`.

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
    """Bind hyperparameters to the functions (x, y, rng) of the chosen augmentations of batches, in order.

    `network` is the one that is trained, for augmentations that mix inside it.
    """
    found: list[Augment] = []
    for name, parameters in part_parameters(config).items():
        declared = augmentation(name, config.code)
        if declared.of_waveforms:
            continue
        bound: dict[str, Any] = parameters | ({"front_end": config.front_end} if declared.takes_front_end else {})
        bound |= {"network": network} if declared.takes_network else {}
        found.append(partial(load("augmentation", name, config.code), **bound))
    return found


def part_parameters(config: TrialConfig) -> dict[str, dict[str, Any]]:
    """Give the hyperparameters of each augmentation of a configuration's chain, by its own words; none for "none"."""
    if config.augmentation == NO_AUGMENTATION:
        return {}
    return {
        name: {
            word: config.augmenting[word_of_trial]
            for word, word_of_trial in words.items()
            if word_of_trial in config.augmenting
        }
        for name, words in chain_parameters(config.augmentation, config.code).items()
    }
