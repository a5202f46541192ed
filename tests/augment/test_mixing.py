from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.augment.mixing import extrapolation, mix, mixup, mixup_lp, sample_pairing
from audiotag.augment.schedule import final_stretch, mixing_on
from audiotag.config import AUGMENTATIONS

MIXING = [name for name in AUGMENTATIONS if name != "none"]
BATCH, TAGS = 6, 3


class Drawn:
    """A generator that gives a partner and a lambda chosen beforehand, and notes what it was asked for."""

    def __init__(self, partner: list[int], lam: float) -> None:
        self.partner, self.lam = np.array(partner), lam
        self.asked: list[tuple[float, ...]] = []

    def permutation(self, length: int) -> np.ndarray:
        assert length == len(self.partner)
        return self.partner

    def spawn(self, count: int) -> list["Drawn"]:
        return [self] * count

    def beta(self, a: float, b: float) -> float:
        self.asked.append((a, b))
        return self.lam


def batch(seed: int = 0, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """Features (B, T, M) and targets (B, K) of 0 and 1."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(size, 5, 4)).astype(np.float32))
    return x, torch.from_numpy(rng.integers(0, 2, (size, TAGS)).astype(np.float32))


def weights(name: str, alpha: float, generator: np.random.Generator) -> np.ndarray:
    """(B, B): the weight of each clip (column) in each mixed clip (row), which a batch of unit vectors shows."""
    mixed, _ = mix(torch.eye(BATCH, dtype=torch.float64), torch.zeros(BATCH, 1), name, alpha, generator)
    return mixed.numpy()


# --- reference ---


@pytest.mark.parametrize(
    ("function", "first", "mixes_targets"),
    [(mixup, 0.3, True), (mixup_lp, 0.3, False), (extrapolation, 1.3, False)],
)
def test_formulas_by_hand(function: Callable[..., tuple[Tensor, Tensor]], first: float, mixes_targets: bool) -> None:
    x, y = batch(size=3)
    generator: Any = Drawn([2, 0, 1], lam=0.3)
    mixed_x, mixed_y = function(x, y, 1.5, generator)
    expected_y = torch.stack([0.3 * y[0] + 0.7 * y[2], 0.3 * y[1] + 0.7 * y[0], 0.3 * y[2] + 0.7 * y[1]])
    for i, j in enumerate([2, 0, 1]):
        torch.testing.assert_close(mixed_x[i], first * x[i] + (1 - first) * x[j])
    torch.testing.assert_close(mixed_y, expected_y if mixes_targets else y)
    assert generator.asked == [(1.5, 1.5)]  # one lambda a batch


def test_sample_pairing_is_the_mean_of_two_clips_with_the_target_of_the_first() -> None:
    x, y = batch(size=3)
    generator: Any = Drawn([2, 0, 1], lam=0.9)
    mixed_x, mixed_y = sample_pairing(x, y, generator)
    torch.testing.assert_close(mixed_x, (x + x[[2, 0, 1]]) / 2)
    assert torch.equal(mixed_y, y)


def test_mixed_targets_give_the_loss_of_the_two_loss_form() -> None:
    x, y = batch()
    partner, lam = [3, 0, 5, 2, 1, 4], 0.3
    generator: Any = Drawn(partner, lam)
    _, mixed = mixup(x, y, 1.0, generator)
    probabilities = torch.from_numpy(np.random.default_rng(1).uniform(0.01, 0.99, (BATCH, TAGS)).astype(np.float32))
    two = lam * F.binary_cross_entropy(probabilities, y) + (1 - lam) * F.binary_cross_entropy(probabilities, y[partner])
    torch.testing.assert_close(F.binary_cross_entropy(probabilities, mixed), two)


def test_lambda_follows_the_beta_distribution() -> None:
    generator = np.random.default_rng(0)
    for alpha in (0.5, 1.5):
        lams = np.array([np.diag(weights("mixup", alpha, generator)).min() for _ in range(3000)])
        assert lams.mean() == pytest.approx(0.5, abs=0.03)
        assert lams.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


@pytest.mark.parametrize("name", MIXING)
def test_mix_names_each_function(name: str) -> None:
    x, y = batch()
    direct: dict[str, Callable[..., tuple[Tensor, Tensor]]]
    direct = {"mixup": mixup, "mixup_lp": mixup_lp, "extrapolation": extrapolation}
    arguments = (x, y) if name == "sample_pairing" else (x, y, 0.7)
    expected = direct.get(name, sample_pairing)(*arguments, np.random.default_rng(5))
    mixed = mix(x, y, name, 0.0 if name == "sample_pairing" else 0.7, np.random.default_rng(5))
    assert torch.equal(mixed[0], expected[0])
    assert torch.equal(mixed[1], expected[1])


def test_the_schedule_has_the_stretches_of_its_paper() -> None:
    on = [mixing_on("intermittent", epoch, 1000) for epoch in range(1000)]
    assert not any(on[:100])
    assert on[100:800] == ([True] * 8 + [False] * 2) * 70
    assert not any(on[800:])
    assert final_stretch("intermittent", 1000) == 800


@pytest.mark.parametrize(
    ("max_epochs", "mixed"), [(1, ""), (2, "+"), (4, "+++"), (5, "++++"), (10, ".+++++++"), (20, "..++++++++..++++")]
)
def test_the_schedule_of_few_epochs_keeps_its_last_stretch(max_epochs: int, mixed: str) -> None:
    on = [mixing_on("intermittent", epoch, max_epochs) for epoch in range(max_epochs)]
    assert on == [sign == "+" for sign in mixed] + [False] * (max_epochs - len(mixed))
    assert final_stretch("intermittent", max_epochs) == len(mixed)


def test_without_a_schedule_every_epoch_mixes_and_may_be_the_best() -> None:
    assert all(mixing_on("always", epoch, 5) for epoch in range(5))
    assert final_stretch("always", 5) == 0


# --- property ---


@pytest.mark.parametrize("name", MIXING)
def test_each_mixed_clip_has_one_partner_and_weights_of_sum_1(name: str) -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        table = weights(name, 1.5, generator)
        np.testing.assert_allclose(table.sum(axis=1), 1)
        np.testing.assert_allclose(table.sum(axis=0), 1)  # a permutation: each clip is partner once
        assert (np.count_nonzero(table, axis=1) <= 2).all()
        own = np.diag(table)[np.count_nonzero(table, axis=1) == 2]
        assert np.ptp(own) < 1e-12 if len(own) else True  # one lambda a batch
        assert (own > 1).all() if name == "extrapolation" else ((own >= 0) & (own <= 1)).all()


def test_partners_depend_on_the_seed_only() -> None:
    def partners(name: str, alpha: float, seed: int) -> list[list[bool]]:
        return (weights(name, alpha, np.random.default_rng(seed)) != 0).tolist()

    expected = partners("mixup", 1.5, 3)
    assert all(partners(name, alpha, 3) == expected for name in MIXING for alpha in (0.5, 1.0, 5.0))
    assert partners("mixup", 1.5, 4) != expected


@pytest.mark.parametrize("name", MIXING)
def test_the_same_seed_gives_the_same_batch(name: str) -> None:
    x, y = batch()
    first, second, other = (mix(x, y, name, 0.5, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_mixed_targets_stay_between_0_and_1(alpha: float) -> None:
    generator = np.random.default_rng(0)
    for seed in range(50):
        mixed = mixup(*batch(seed), alpha, generator)[1]
        assert mixed.min() >= 0
        assert mixed.max() <= 1


@pytest.mark.parametrize("name", [name for name in MIXING if name != "mixup"])
def test_targets_are_kept_and_features_are_not(name: str) -> None:
    x, y = batch()
    mixed_x, mixed_y = mix(x, y, name, 0.5, np.random.default_rng(0))
    assert torch.equal(mixed_y, y)
    assert not torch.equal(mixed_x, x)


@pytest.mark.parametrize("name", MIXING)
def test_standardisation_and_mixing_commute(name: str) -> None:
    x, y = batch()
    mean, scale = torch.tensor([-18.0, -3.0, 0.0, 2.0]), torch.tensor([0.1, 1.0, 2.0, 5.0])
    before, _ = mix((x - mean) / scale, y, name, 1.5, np.random.default_rng(2))
    after, _ = mix(x, y, name, 1.5, np.random.default_rng(2))
    torch.testing.assert_close(before, (after - mean) / scale, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", MIXING)
def test_the_batch_that_came_in_is_left_alone(name: str) -> None:
    x, y = batch()
    mixed = mix(x, y, name, 0.5, np.random.default_rng(0))
    assert torch.equal(x, batch()[0])
    assert torch.equal(y, batch()[1])
    assert [part.dtype for part in mixed] == [torch.float32] * 2
    assert [part.shape for part in mixed] == [x.shape, y.shape]


# --- degenerate ---


@pytest.mark.parametrize(
    ("name", "alpha"), [("none", 0.0), ("none", 1.5), ("mixup", 0.0), ("mixup_lp", 0), ("extrapolation", 0.0)]
)
def test_none_and_alpha_0_leave_the_batch_and_the_generator_alone(name: str, alpha: float) -> None:
    x, y = batch()
    generator = np.random.default_rng(0)
    mixed = mix(x, y, name, alpha, generator)
    assert torch.equal(mixed[0], x)
    assert torch.equal(mixed[1], y)
    assert generator.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("name", MIXING)
def test_a_batch_of_one_clip_mixes_with_itself(name: str) -> None:
    x, y = batch(size=1)
    mixed = mix(x, y, name, 1.5, np.random.default_rng(0))
    torch.testing.assert_close(mixed[0], x)
    torch.testing.assert_close(mixed[1], y)


@pytest.mark.parametrize("alpha", [1e-3, 1e-12, 1e6])
def test_very_small_and_large_alphas_stay_finite(alpha: float) -> None:
    mixed = mixup(*batch(), alpha, np.random.default_rng(0))
    assert all(torch.isfinite(part).all() for part in mixed)


# --- malformed ---


@pytest.mark.parametrize("name", ["mix_up", "Mixup", "", "specaugment"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_an_unknown_name(name: str, alpha: float) -> None:
    message = (
        f"The value of `augmentation` is '{name}', but must be none, sample_pairing, mixup, mixup_lp, extrapolation"
    )
    with pytest.raises(ValueError, match=message):
        mix(*batch(), name, alpha, np.random.default_rng(0))


def test_partners_of_later_batches_do_not_depend_on_alpha() -> None:
    x, y = batch()
    seen = []
    for alpha in (0.1, 1.0, 5.0):
        generator = np.random.default_rng(0)
        for _ in range(3):
            mixup(x, y, alpha, generator)
        seen.append(generator.permutation(100).tolist())
    assert seen[0] == seen[1] == seen[2]
