"""Sample mixing: the formulas by hand, and the facts of each function."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.augment.mixing import extrapolation, mixup, mixup_lp, sample_pairing

BATCH, TAGS = 6, 3
Mix = Callable[..., tuple[Tensor, Tensor]]
WITH_ALPHA = {"mixup": mixup, "mixup_lp": mixup_lp, "extrapolation": extrapolation}
MIXING: dict[str, Mix] = {name: partial(function, alpha=1.5) for name, function in WITH_ALPHA.items()}
MIXING["sample_pairing"] = sample_pairing
with_alpha = pytest.mark.parametrize("function", WITH_ALPHA.values(), ids=WITH_ALPHA)
every_function = pytest.mark.parametrize("name", MIXING)


class Drawn:
    """A generator that gives a partner and a lambda chosen beforehand, and notes the requests."""

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


def weights(function: Mix, rng: np.random.Generator) -> np.ndarray:
    """(B, B): the weight of each clip (column) in each mixed clip (row), which a batch of unit vectors shows."""
    mixed, _ = function(torch.eye(BATCH, dtype=torch.float64), torch.zeros(BATCH, 1), rng)
    return mixed.numpy()


# --- reference ---


@pytest.mark.parametrize(
    ("function", "first", "mixes_targets"),
    [(mixup, 0.3, True), (mixup_lp, 0.3, False), (extrapolation, 1.3, False)],
)
def test_formulas_by_hand(function: Mix, first: float, mixes_targets: bool) -> None:
    x, y = batch(size=3)
    rng: Any = Drawn([2, 0, 1], lam=0.3)
    mixed_x, mixed_y = function(x, y, rng, alpha=1.5)
    expected_y = torch.stack([0.3 * y[0] + 0.7 * y[2], 0.3 * y[1] + 0.7 * y[0], 0.3 * y[2] + 0.7 * y[1]])
    for i, j in enumerate([2, 0, 1]):
        torch.testing.assert_close(mixed_x[i], first * x[i] + (1 - first) * x[j])
    torch.testing.assert_close(mixed_y, expected_y if mixes_targets else y)
    assert rng.asked == [(1.5, 1.5)]  # one lambda per batch


def test_sample_pairing_is_the_mean_of_two_clips_with_the_target_of_the_first() -> None:
    x, y = batch(size=3)
    rng: Any = Drawn([2, 0, 1], lam=0.9)
    mixed_x, mixed_y = sample_pairing(x, y, rng)
    torch.testing.assert_close(mixed_x, (x + x[[2, 0, 1]]) / 2)
    assert torch.equal(mixed_y, y)


def test_mixed_targets_give_the_loss_of_the_two_loss_form() -> None:
    x, y = batch()
    partner, lam = [3, 0, 5, 2, 1, 4], 0.3
    rng: Any = Drawn(partner, lam)
    _, mixed = mixup(x, y, rng, alpha=1.0)
    probabilities = torch.from_numpy(np.random.default_rng(1).uniform(0.01, 0.99, (BATCH, TAGS)).astype(np.float32))
    two = lam * F.binary_cross_entropy(probabilities, y) + (1 - lam) * F.binary_cross_entropy(probabilities, y[partner])
    torch.testing.assert_close(F.binary_cross_entropy(probabilities, mixed), two)


def test_lambda_follows_the_beta_distribution() -> None:
    rng = np.random.default_rng(0)
    for alpha in (0.5, 1.5):
        lams = np.array([np.diag(weights(partial(mixup, alpha=alpha), rng)).min() for _ in range(3000)])
        assert lams.mean() == pytest.approx(0.5, abs=0.03)
        assert lams.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


# --- property ---


@every_function
def test_each_mixed_clip_has_one_partner_and_weights_of_sum_1(name: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        table = weights(MIXING[name], rng)
        np.testing.assert_allclose(table.sum(axis=1), 1)
        np.testing.assert_allclose(table.sum(axis=0), 1)  # a permutation: each clip is partner once
        assert (np.count_nonzero(table, axis=1) <= 2).all()
        own = np.diag(table)[np.count_nonzero(table, axis=1) == 2]
        assert np.ptp(own) < 1e-12 if len(own) else True  # one lambda per batch
        assert (own > 1).all() if name == "extrapolation" else ((own >= 0) & (own <= 1)).all()


def test_partners_depend_on_the_seed_only() -> None:
    def partners(function: Mix, seed: int) -> list[list[bool]]:
        return (weights(function, np.random.default_rng(seed)) != 0).tolist()

    expected = partners(sample_pairing, 3)
    for alpha in (0.5, 1.0, 5.0):
        assert all(partners(partial(function, alpha=alpha), 3) == expected for function in WITH_ALPHA.values())
    assert partners(sample_pairing, 4) != expected


def test_partners_of_later_batches_do_not_depend_on_alpha() -> None:
    x, y = batch()
    seen = []
    for alpha in (0.1, 1.0, 5.0):
        rng = np.random.default_rng(0)
        for _ in range(3):
            mixup(x, y, rng, alpha=alpha)
        seen.append(rng.permutation(100).tolist())
    assert seen[0] == seen[1] == seen[2]


@every_function
def test_standardisation_and_mixing_commute(name: str) -> None:
    x, y = batch()
    mean, scale = torch.tensor([-18.0, -3.0, 0.0, 2.0]), torch.tensor([0.1, 1.0, 2.0, 5.0])
    before, _ = MIXING[name]((x - mean) / scale, y, np.random.default_rng(2))
    after, _ = MIXING[name](x, y, np.random.default_rng(2))
    torch.testing.assert_close(before, (after - mean) / scale, rtol=1e-4, atol=1e-3)


# --- degenerate ---


@with_alpha
def test_an_alpha_of_0_leaves_the_batch_and_the_generator_alone(function: Mix) -> None:
    x, y = batch()
    rng = np.random.default_rng(0)
    mixed = function(x, y, rng)
    assert torch.equal(mixed[0], x)
    assert torch.equal(mixed[1], y)
    assert rng.random() == np.random.default_rng(0).random()


@every_function
def test_a_batch_of_one_clip_mixes_with_itself(name: str) -> None:
    x, y = batch(size=1)
    mixed = MIXING[name](x, y, np.random.default_rng(0))
    torch.testing.assert_close(mixed[0], x)
    torch.testing.assert_close(mixed[1], y)


@pytest.mark.parametrize("alpha", [1e-3, 1e-12, 1e6])
def test_very_small_and_large_alphas_stay_finite(alpha: float) -> None:
    mixed = mixup(*batch(), np.random.default_rng(0), alpha=alpha)
    assert all(torch.isfinite(part).all() for part in mixed)
