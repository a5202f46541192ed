"""Gain, FilterAugment and noise by hand, and as waveforms have them."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from helpers.scripted_rng import ScriptedRng
from scipy import stats

from audiotag.augment.columns import nearest_bands
from audiotag.augment.levels import filter_augment, gain, noise
from audiotag.features.log_mel import LogMel, log_mel

ENERGIES = LogMel(n_mels=8)
MAGNITUDES = LogMel(n_mels=8, n_fft=64, hop_length=32, power=1.0)
STEREO = LogMel(n_mels=8, n_fft=64, hop_length=32, power=1.0, imd=True)
NO_TARGETS = torch.zeros(3, 1)


def features(front_end: LogMel, frames: int = 5) -> torch.Tensor:
    drawn = np.random.default_rng(0).normal(size=(3, frames, front_end.columns))
    return torch.from_numpy(drawn.astype(np.float32))


@pytest.mark.parametrize("front_end", [LogMel(), LogMel(power=1.0, unit_peaks=True)], ids=["energies", "magnitudes"])
def test_a_gain_is_that_of_the_waveform(front_end: LogMel) -> None:
    wave = np.random.default_rng(0).normal(size=(1, 4000)).astype(np.float32) / 10
    x = torch.from_numpy(log_mel(wave, front_end))
    rng: Any = ScriptedRng(uniform=[[[-0.5]]])
    louder, _ = gain(x, NO_TARGETS[:1], rng, front_end, max_gain=12.0)
    np.testing.assert_allclose(louder, log_mel(wave * np.float32(10 ** (-6 / 20)), front_end), atol=1e-3)


def test_a_gain_of_two_channels_is_that_of_both_waveforms() -> None:
    front_end = LogMel(power=1.0, imd=True)
    waves = np.random.default_rng(0).normal(size=(1, 2, 4000)).astype(np.float32) / 10
    rng: Any = ScriptedRng(uniform=[[[1.0]]])
    louder, _ = gain(torch.from_numpy(log_mel(waves, front_end)), NO_TARGETS[:1], rng, front_end, max_gain=6.0)
    np.testing.assert_allclose(louder, log_mel(waves * np.float32(10 ** (6 / 20)), front_end), atol=1e-3)


def test_gains_are_uniform_in_decibels() -> None:
    x = torch.zeros(2000, 1, 8)
    changed, _ = gain(x, torch.zeros(2000, 1), np.random.default_rng(0), ENERGIES)
    decibels = changed[:, 0, 0].numpy() * 10 / math.log(10)
    assert stats.kstest(decibels, stats.uniform(-12, 24).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [[0, 2, 4, 6, 6, 0, 0, -6], [6, 2, -2, -6, -6, -6, -6, 0]]),
        ("step", [[0, 0, 0, 0, 6, 6, 0, 0], [6, 6, 6, 6, -6, -6, -6, -6]]),
    ],
)
def test_filter_augment_by_hand(shape: Any, expected: list[list[float]]) -> None:
    """Three parts of four, two and two bands; the gains at their four edges are shares of 6 dB."""
    drawn = [[0.0, 1.0, 0.0, -1.0], [1.0, -1.0, -1.0, 0.0]]
    rng: Any = ScriptedRng(integers=[3, [2, 2]], uniform=[drawn])
    x = features(ENERGIES)[:2]
    changed, _ = filter_augment(x, NO_TARGETS[:2], rng, ENERGIES, shape=shape, narrowest=2)
    decibels = (changed - x) * 10 / math.log(10)
    for frame in range(5):
        torch.testing.assert_close(decibels[:, frame], torch.tensor(expected, dtype=torch.float32), atol=1e-4, rtol=0)
    assert rng.asked["integers"] == [(3, 5), (0, 2, 2)]


def reference_filter(edges: list[int], gains: np.ndarray, shape: str) -> np.ndarray:
    """The loops of FilterAugment's definition: gains (parts + 1) at edges to decibels of each band."""
    found = np.zeros(edges[-1])
    for part, (start, stop) in enumerate(pairwise(edges)):
        both = (gains[part], gains[part] if shape == "step" else gains[part + 1])
        found[start:stop] = np.linspace(*both, stop - start)
    return found


@pytest.mark.parametrize("shape", ["linear", "step"])
def test_a_filter_has_parts_of_enough_bands_for_all_clips(shape: Any) -> None:
    front_end, seen = LogMel(n_mels=40), set()
    for seed in range(200):
        x = torch.zeros(2, 1, 40)
        changed, _ = filter_augment(x, NO_TARGETS[:2], np.random.default_rng(seed), front_end, shape="step")
        decibels = changed[:, 0].numpy() * 10 / math.log(10)
        assert np.abs(decibels).max() <= 6 + 1e-5
        edges = [0, *(np.flatnonzero(np.diff(decibels[0])) + 1).tolist(), 40]
        assert edges == [0, *(np.flatnonzero(np.diff(decibels[1])) + 1).tolist(), 40]
        assert min(np.diff(edges)) >= 6
        seen.add(len(edges) - 1)
        own = np.random.default_rng(seed).spawn(1)[0]
        own.integers(3, 5, endpoint=True)
        gains = own.uniform(-1, 1, (2, len(edges))) * 6
        found, _ = filter_augment(x, NO_TARGETS[:2], np.random.default_rng(seed), front_end, shape=shape)
        expected = np.stack([reference_filter(edges, own_gains, shape) for own_gains in gains])
        np.testing.assert_allclose(found[:, 0].numpy() * 10 / math.log(10), expected, atol=1e-4)
    assert seen == {3, 4, 5}


@pytest.mark.parametrize("parts", [1, 8, 30])
def test_parts_are_narrower_where_there_is_no_room(parts: int) -> None:
    x = features(ENERGIES)
    changed, _ = filter_augment(
        x, NO_TARGETS, np.random.default_rng(0), ENERGIES, min_parts=parts, max_parts=parts, narrowest=9
    )
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, x)


def test_a_filter_scales_the_differences_of_two_channels() -> None:
    x = features(STEREO)
    changed, _ = filter_augment(x, NO_TARGETS, np.random.default_rng(0), STEREO, narrowest=1)
    magnitudes = (changed - x)[..., :8].exp()  # of sums of magnitudes: what each band was multiplied by
    np.testing.assert_allclose(changed[..., 8:], x[..., 8:] * magnitudes[..., nearest_bands(STEREO)[8:]], rtol=1e-4)


@pytest.mark.parametrize("front_end", [ENERGIES, MAGNITUDES], ids=["energies", "magnitudes"])
def test_noise_by_hand(front_end: LogMel) -> None:
    x = features(front_end)
    drawn = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    rng: Any = ScriptedRng(random=[[[[0.0]], [[0.5]], [[1.0]]], 0.0], standard_normal=[drawn])
    noisy, _ = noise(x, NO_TARGETS, rng, front_end)
    for i, snr in enumerate([6, 18, 30]):
        magnitudes = np.exp(x[i].numpy().astype(np.float64) / front_end.power)
        sigma = magnitudes.std(ddof=1) / 10 ** (snr / 20)
        expected = front_end.power * np.log(np.abs(magnitudes + sigma * drawn[i]))
        np.testing.assert_allclose(noisy[i], expected, rtol=1e-3, atol=1e-4)


def test_noise_keeps_to_the_ratio_that_is_asked_for() -> None:
    x = 3 + torch.randn(64, 100, 8, generator=torch.Generator().manual_seed(0)) / 10  # far from magnitudes of 0
    for low, high in ((6.0, 30.0), (30.0, 6.0), (10.0, 10.0)):
        noisy, _ = noise(x, torch.zeros(64, 1), np.random.default_rng(0), MAGNITUDES, low_snr=low, high_snr=high)
        ratio = 20 * torch.log10(x.exp().std((1, 2)) / (noisy.exp() - x.exp()).std((1, 2)))
        assert ratio.min() > min(low, high) - 1
        assert ratio.max() < max(low, high) + 1
        assert float(ratio.max() - ratio.min()) > 0.7 * abs(high - low)


def test_no_feature_falls_below_that_of_silence() -> None:
    x = features(ENERGIES)
    magnitudes = (x / 2).exp()
    cancelled = -(magnitudes / magnitudes.std((1, 2), keepdim=True)).numpy()  # at an SNR of 0 dB
    rng: Any = ScriptedRng(random=[[[[0.0]]] * 3, 0.0], standard_normal=[cancelled])
    noisy, _ = noise(x, NO_TARGETS, rng, ENERGIES, low_snr=0.0)
    torch.testing.assert_close(noisy, torch.full_like(x, math.log(ENERGIES.log_offset)))


def test_noise_of_differences_has_their_own_deviation() -> None:
    x = features(STEREO, frames=200)
    noisy, _ = noise(x, NO_TARGETS, np.random.default_rng(0), STEREO, low_snr=20.0, high_snr=20.0)
    ratio = 20 * torch.log10(x[..., 8:].std((1, 2)) / (noisy - x)[..., 8:].std((1, 2)))
    torch.testing.assert_close(ratio, torch.full((3,), 20.0), atol=0.5, rtol=0)
