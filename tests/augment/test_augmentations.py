"""The contract of every augmentation, a new one too: what it returns, and that its randomness is the generator's."""

import numpy as np
import pytest
import torch
from torch import Tensor

from audiotag.augment import Augment, build_augmentation
from audiotag.config import TrialConfig, augmentation, augmentation_names

NAMES = augmentation_names()[1:]
every_augmentation = pytest.mark.parametrize("name", NAMES)


def batch(size: int = 6) -> tuple[Tensor, Tensor]:
    """Features (B, T, M) and targets (B, K) of 0 and 1."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(size, 5, 4)).astype(np.float32))
    return x, torch.from_numpy(rng.integers(0, 2, (size, 3)).astype(np.float32))


def built(name: str) -> Augment:
    strength = {"alpha": 0.5} if "alpha" in augmentation(name).parameters else {}
    augment = build_augmentation(TrialConfig(augmentation=name, **strength))
    assert augment is not None
    return augment


@every_augmentation
@pytest.mark.parametrize("size", [1, 6])
def test_it_keeps_shapes_and_leaves_its_input_alone(name: str, size: int) -> None:
    x, y = batch(size)
    for seed in range(20):
        new_x, new_y = built(name)(x, y, np.random.default_rng(seed))
        assert (new_x.shape, new_y.shape, new_x.dtype, new_y.dtype) == (x.shape, y.shape, x.dtype, y.dtype)
        assert torch.isfinite(new_x).all()
        assert ((new_y >= 0) & (new_y <= 1)).all()
    assert torch.equal(x, batch(size)[0])
    assert torch.equal(y, batch(size)[1])


@every_augmentation
def test_it_changes_the_features_as_its_generator_says(name: str) -> None:
    torch.manual_seed(1)
    first, second, other = (built(name)(*batch(), np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], batch()[0])
    assert not torch.equal(first[0], other[0])


def test_none_is_no_function() -> None:
    assert build_augmentation(TrialConfig()) is None
