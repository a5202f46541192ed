"""The mixing family: the paper's functions bit for bit, the formulas by hand, and the laws of what is drawn."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from helpers.scripted_rng import ScriptedRng
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from audiotag.augment.columns import loudness
from audiotag.augment.mixing import between_class, extrapolation, mix, mixup, mixup_lp, sample_pairing
from audiotag.features.log_mel import LogMel, log_mel, mel_filters

BATCH, FRAMES, BANDS, TAGS = 6, 5, 4, 3
Mix = Callable[..., tuple[Tensor, Tensor]]
WITH_ALPHA = {"mixup": mixup, "mixup_lp": mixup_lp, "extrapolation": extrapolation}
MIXING: dict[str, Mix] = {name: partial(function, alpha=1.5) for name, function in WITH_ALPHA.items()}
MIXING["sample_pairing"] = sample_pairing
with_alpha = pytest.mark.parametrize("function", WITH_ALPHA.values(), ids=WITH_ALPHA)
every_function = pytest.mark.parametrize("name", MIXING)

ENERGIES = LogMel(n_mels=BANDS)
MAGNITUDES = LogMel(n_mels=BANDS, n_fft=64, hop_length=32, power=1.0)
STEREO = replace(MAGNITUDES, imd=True)
AXES: dict[str, tuple[Any, ...]] = {
    "target": ("soft", "first", "union"),
    "direction": ("interpolate", "extrapolate", "half"),
    "domain": ("log_mel", "power"),
    "lambdas": ("per_batch", "per_clip"),
    "dominant": (False, True),
}
POINTS = [dict(zip(AXES, values, strict=True)) for values in product(*AXES.values())]
GRID = [p for p in POINTS if p["direction"] != "extrapolate" or (p["target"], p["domain"]) == ("first", "log_mel")]
PAPER: dict[str, dict[str, Any]] = {  # its four functions as points of the grid
    "mixup": {"target": "soft"},
    "mixup_lp": {"target": "first"},
    "sample_pairing": {"target": "first", "direction": "half"},
    "extrapolation": {"target": "first", "direction": "extrapolate"},
}


def batch(seed: int = 0, size: int = BATCH, columns: int = BANDS) -> tuple[Tensor, Tensor]:
    """Features (B, T, F) and targets (B, K) of 0 and 1."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(size, FRAMES, columns)).astype(np.float32))
    return x, torch.from_numpy(rng.integers(0, 2, (size, TAGS)).astype(np.float32))


def weights(function: Mix, rng: np.random.Generator, size: int = BATCH) -> np.ndarray:
    """(B, B): the weight of each clip (column) in each mixed clip (row), which a batch of unit vectors shows."""
    mixed, _ = function(torch.eye(size, dtype=torch.float64), torch.zeros(size, 1), rng)
    return mixed.numpy()


# --- the paper's functions as they were before they became points of a family ---


def frozen_draw(x: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    partner = torch.as_tensor(rng.permutation(len(x)), device=x.device)
    lam = rng.spawn(1)[0].beta(alpha, alpha)
    return partner, float(lam)


def frozen_blend(values: Tensor, partner: Tensor, weight: float) -> Tensor:
    return torch.lerp(values[partner], values, weight)


def frozen(name: str, x: Tensor, y: Tensor, rng: np.random.Generator, alpha: float) -> tuple[Tensor, Tensor]:
    if name == "sample_pairing":
        partner, _ = frozen_draw(x, 1.0, rng)
        return frozen_blend(x, partner, 0.5), y
    if alpha == 0:
        return x, y
    partner, lam = frozen_draw(x, alpha, rng)
    if name == "mixup":
        return frozen_blend(x, partner, lam), frozen_blend(y, partner, lam)
    return frozen_blend(x, partner, 1.0 + lam if name == "extrapolation" else lam), y


@every_function
@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.5, 5.0])
def test_the_papers_functions_are_those_of_before_bit_for_bit(name: str, alpha: float) -> None:
    old, new, point = (np.random.default_rng(3) for _ in range(3))
    function: Mix = sample_pairing if name == "sample_pairing" else partial(WITH_ALPHA[name], alpha=alpha)
    strength = {} if name == "sample_pairing" else {"alpha": alpha}
    for seed in range(5):
        x, y = batch(seed)
        expected = frozen(name, x, y, old, alpha)
        for found in (function(x, y, new), mix(x, y, point, ENERGIES, **PAPER[name], **strength)):
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])
    assert old.random() == new.random() == point.random()


# --- reference ---


@pytest.mark.parametrize("point", GRID, ids=lambda point: "-".join(map(str, point.values())))
@pytest.mark.parametrize("front_end", [ENERGIES, MAGNITUDES], ids=["energies", "magnitudes"])
def test_every_point_of_the_grid_by_hand(point: dict[str, Any], front_end: LogMel) -> None:
    x, y = batch(size=3)
    partner, drawn = [2, 0, 1], [0.3, 0.8, 0.05]
    per_clip = point["lambdas"] == "per_clip"
    rng: Any = ScriptedRng(permutation=[partner], beta=[drawn if per_clip else drawn[0]], random=[0.0])
    mixed_x, mixed_y = mix(x, y, rng, front_end, **point, alpha=0.7)
    for i, j in enumerate(partner):
        lam = drawn[i] if per_clip else drawn[0]
        lam = max(lam, 1 - lam) if point["dominant"] else lam
        lam = 0.5 if point["direction"] == "half" else lam
        a, b = x[i].double(), x[j].double()
        if point["direction"] == "extrapolate":
            expected = (1 + lam) * a - lam * b
        elif point["domain"] == "log_mel":
            expected = lam * a + (1 - lam) * b
        elif front_end is ENERGIES:
            expected = (lam * a.exp() + (1 - lam) * b.exp()).log()
        else:
            expected = (lam * a.exp().square() + (1 - lam) * b.exp().square()).sqrt().log()
        torch.testing.assert_close(mixed_x[i].double(), expected, rtol=1e-5, atol=1e-5)
        targets = {"soft": lam * y[i] + (1 - lam) * y[j], "first": y[i], "union": torch.maximum(y[i], y[j])}
        torch.testing.assert_close(mixed_y[i], targets[point["target"]])
    if point["direction"] != "half":
        assert rng.asked["beta"] == [(0.7, 0.7, 3 if per_clip else None)]


def test_mixing_powers_gives_the_spectrogram_of_both_sounds_at_once() -> None:
    """Noise in two ranges of frequencies that have no bin in common: there the phases do not matter."""
    spectra = np.random.default_rng(0).normal(size=(2, 8001)) * [[1], [30]]
    spectra[0, 3000:], spectra[1, :3500] = 0, 0
    waves = np.fft.irfft(spectra * 100, axis=1).astype(np.float32)
    front_end = LogMel(n_mels=64)
    both = log_mel(math.sqrt(0.3) * waves[0] + math.sqrt(0.7) * waves[1], front_end)
    rng: Any = ScriptedRng(permutation=[[1, 0]], beta=[0.3], random=[0.0])
    x = torch.from_numpy(log_mel(waves, front_end))
    powers, _ = mix(x, torch.zeros(2, 1), rng, front_end, domain="power")
    errors = [np.abs(mixed.numpy() - both) for mixed in (powers[0], torch.lerp(x[1], x[0], 0.3))]
    assert np.median(errors[0]) < 0.01
    assert errors[0].max() < 0.5  # where the window's leakage reaches into the other range
    assert np.median(errors[1]) > 1  # what mixing logarithms gives


@pytest.mark.parametrize("direction", ["interpolate", "half"])
def test_differences_between_channels_are_blended_as_they_are(direction: Any) -> None:
    x, y = batch(columns=STEREO.columns)
    how: Any = {"direction": direction} | ({"lambdas": "per_clip"} if direction != "half" else {})
    mixed, _ = mix(x, y, np.random.default_rng(0), STEREO, domain="power", **how)
    mono, _ = mix(x[..., :BANDS], y, np.random.default_rng(0), MAGNITUDES, domain="power", **how)
    plain, _ = mix(x, y, np.random.default_rng(0), STEREO, **how)
    assert torch.equal(mixed[..., :BANDS], mono)
    assert torch.equal(mixed[..., BANDS:], plain[..., BANDS:])


def test_mixed_targets_give_the_loss_of_the_two_loss_form() -> None:
    x, y = batch()
    partner, lam = [3, 0, 5, 2, 1, 4], 0.3
    rng: Any = ScriptedRng(permutation=[partner], beta=[lam], random=[0.0])
    _, mixed = mixup(x, y, rng, alpha=1.0)
    probabilities = torch.from_numpy(np.random.default_rng(1).uniform(0.01, 0.99, (BATCH, TAGS)).astype(np.float32))
    two = lam * F.binary_cross_entropy(probabilities, y) + (1 - lam) * F.binary_cross_entropy(probabilities, y[partner])
    torch.testing.assert_close(F.binary_cross_entropy(probabilities, mixed), two)


@pytest.mark.parametrize("lambdas", ["per_batch", "per_clip"])
@pytest.mark.parametrize("dominant", [False, True])
@pytest.mark.parametrize("alpha", [0.5, 1.5])
def test_lambda_follows_the_beta_distribution(lambdas: Any, dominant: bool, alpha: float) -> None:
    rng = np.random.default_rng(0)
    found: list[float] = []
    while len(found) < 3000:
        how = {"lambdas": lambdas, "dominant": dominant, "alpha": alpha}
        table = weights(lambda x, y, rng, how=how: mix(x, y, rng, ENERGIES, **how), rng)
        own = np.diag(table)[np.count_nonzero(table, axis=1) == 2]  # not of a clip that is its own partner
        found += [*own] if lambdas == "per_clip" else [*own[:1]]
    law = stats.beta(alpha, alpha).cdf
    folded = (lambda lam: np.maximum(law(lam) - law(1 - lam), 0)) if dominant else law
    assert stats.kstest(found, folded).pvalue > 0.01
    assert stats.kstest(found, stats.beta(2 * alpha, 2 * alpha).cdf).pvalue < 1e-6  # the test can fail


def test_probability_is_the_share_of_batches_that_are_mixed() -> None:
    x, y = batch()
    rng = np.random.default_rng(0)
    mixed = [not torch.equal(mix(x, y, rng, ENERGIES, probability=0.3)[0], x) for _ in range(1000)]
    assert stats.binomtest(sum(mixed), 1000, 0.3).pvalue > 0.01


def test_the_same_batches_are_mixed_at_every_strength() -> None:
    def mixed(**how: Any) -> list[bool]:
        rng = np.random.default_rng(0)
        return [not torch.equal(mix(*batch(), rng, ENERGIES, probability=0.5, **how)[0], batch()[0]) for _ in range(30)]

    expected = mixed(direction="half")
    assert 5 < sum(expected) < 25
    for how in ({"alpha": 0.7}, {"alpha": 5.0}, {"lambdas": "per_clip"}, {"domain": "power", "dominant": True}):
        assert mixed(**how) == expected


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


@settings(deadline=None)
@given(
    point=st.sampled_from(GRID),
    alpha=st.floats(0.01, 50),
    targets=st.lists(st.floats(0, 1, width=32), min_size=BATCH, max_size=BATCH),
    seed=st.integers(0, 2**32),
)
def test_mixed_targets_stay_in_0_to_1(point: dict[str, Any], alpha: float, targets: list[float], seed: int) -> None:
    x, y = batch()[0], torch.tensor(targets)[:, None]
    mixed_x, mixed_y = mix(x, y, np.random.default_rng(seed), ENERGIES, **point, alpha=alpha)
    assert torch.isfinite(mixed_x).all()
    assert ((mixed_y >= 0) & (mixed_y <= 1)).all()


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
@pytest.mark.parametrize("domain", AXES["domain"])
def test_very_small_and_large_alphas_stay_finite(alpha: float, domain: Any) -> None:
    mixed = mix(*batch(), np.random.default_rng(0), ENERGIES, alpha=alpha, domain=domain)
    assert all(torch.isfinite(part).all() for part in mixed)


@pytest.mark.parametrize(("lam", "taken"), [(0.0, 1), (1.0, 0)])
@pytest.mark.parametrize("per_clip", [False, True])
def test_powers_at_the_ends_of_lambda_are_those_of_one_clip(lam: float, taken: int, per_clip: bool) -> None:
    x = torch.tensor([[[500.0, -500.0]], [[-18.0, 90.0]]])  # as numbers, float32 would not hold their powers
    rng: Any = ScriptedRng(permutation=[[1, 0]], beta=[[lam, lam] if per_clip else lam], random=[0.0])
    lambdas: Any = "per_clip" if per_clip else "per_batch"
    mixed, _ = mix(x, torch.zeros(2, 1), rng, LogMel(n_mels=2), domain="power", lambdas=lambdas)
    assert torch.equal(mixed[0], x[taken])


# --- between-class ---


def test_between_class_mixing_by_hand() -> None:
    x, y = batch(size=2)
    rng: Any = ScriptedRng(permutation=[[1, 0]], beta=[[0.3, 0.6]])
    mixed_x, mixed_y = between_class(x, y, rng, ENERGIES, alpha=1.0)
    level = loudness(x, ENERGIES)
    for i, (j, r) in enumerate([(1, 0.3), (0, 0.6)]):
        t = 1 / (1 + 10 ** (float(level[i] - level[j]) / 20) * (1 - r) / r)
        expected = (t**2 * x[i].exp() + (1 - t) ** 2 * x[j].exp()) / (t**2 + (1 - t) ** 2)
        torch.testing.assert_close(mixed_x[i], expected.log())
        torch.testing.assert_close(mixed_y[i], r * y[i] + (1 - r) * y[j])


@pytest.mark.parametrize("frequency", [100, 1000, 6000])
def test_the_loudness_of_a_tone_is_its_energy_weighted_by_a(frequency: int) -> None:
    import librosa

    front_end = LogMel()
    wave = 0.1 * np.sin(2 * np.pi * frequency * np.arange(16000) / 16000).astype(np.float32)
    wave[8000:] /= 10  # the loudest frame counts
    window = np.hamming(1025)[:-1]
    energy = np.square(np.abs(np.fft.rfft(wave[:1024] * window))).sum()
    expected = 10 * np.log10(energy) + librosa.A_weighting(frequency)
    found = loudness(torch.from_numpy(log_mel(wave[None], front_end)), front_end)
    assert float(found) == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("front_end", [ENERGIES, MAGNITUDES], ids=["energies", "magnitudes"])
def test_between_class_mixing_hears_through_a_gain(front_end: LogMel) -> None:
    """The proportion of two clips in the mixture does not depend on how loud each was."""
    x, y = batch()
    louder = x + torch.linspace(-3, 3, BATCH)[:, None, None]
    (first, targets), (second, again) = (
        between_class(each, y, np.random.default_rng(1), front_end) for each in (x, louder)
    )
    assert torch.equal(targets, again)
    shape, again = (mixed - mixed.mean(dim=(1, 2), keepdim=True) for mixed in (first, second))
    torch.testing.assert_close(shape, again, rtol=0, atol=0.02)


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_the_level_ignores_a_filter_without_a_bin() -> None:
    narrow = LogMel(n_fft=128, hop_length=64)
    assert (mel_filters(narrow).amax(dim=0) == 0).any()
    x = torch.from_numpy(log_mel(np.random.default_rng(0).normal(size=(2, 4000)).astype(np.float32) / 10, narrow))
    assert torch.isfinite(loudness(x, narrow)).all()
    assert (loudness(x, narrow) < 60).all()
