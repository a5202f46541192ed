"""A helper of tests: trials with every combination of some augmentations."""

from collections.abc import Mapping
from itertools import product
from typing import Any

THREE: dict[str, dict[str, Any]] = {"mixup": {"alpha": 1.5}, "spec_augment": {}, "freq_mixstyle": {"alpha": 0.3}}


def every_chain(augmentations: Mapping[str, Mapping[str, Any]] = THREE) -> list[dict[str, Any]]:
    """The hyperparameters of each trial, those with the fewest augmentations first.

    A name that two augmentations of a trial have is qualified: "mixup.alpha".
    """
    return [_chain(augmentations, on) for on in sorted(product((False, True), repeat=len(augmentations)), key=sum)]


def _chain(augmentations: Mapping[str, Mapping[str, Any]], on: tuple[bool, ...]) -> dict[str, Any]:
    chain = [name for name, there in zip(augmentations, on, strict=True) if there]
    params: dict[str, Any] = {"augmentation": "+".join(chain) or "none"}
    for name in chain:
        for parameter, value in augmentations[name].items():
            shared = sum(parameter in augmentations[other] for other in chain) > 1
            params[f"{name}.{parameter}" if shared else parameter] = value
    return params
