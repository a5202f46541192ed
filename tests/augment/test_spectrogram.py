"""SpecAugment, time roll and Freq-MixStyle by hand, and the laws of what is drawn."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.scripted_rng import ScriptedRng
from scipy import stats
from torch import Tensor

from audiotag.augment.columns import nearest_bands
from audiotag.augment.spectrogram import freq_mixstyle, spec_augment, time_roll
from audiotag.features.log_mel import LogMel

FRONT_END = LogMel(n_mels=8)
STEREO = LogMel(n_mels=8, n_fft=64, hop_length=32, power=1.0, imd=True)
NO_TARGETS = torch.zeros(3, 1)


def features(columns: int = 8, frames: int = 10) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(3, frames, columns)).astype(np.float32))


def masked(changed: Tensor, x: Tensor) -> np.ndarray:
    return (changed != x).numpy()


def test_masks_by_hand() -> None:
    """Of two clips: widths as shares of the most, places as shares of the room that is left; one mask of each kind."""
    x = features()[:2]
    frames = [[[[0.99]], [[0.5]]], [[[0.5]], [[0.0]]]]  # widths of 4.95 and 2.5 of at most five frames
    bands = [[[[0.6]], [[0.2]]], [[[0.99]], [[0.5]]]]  # widths of 2.4 and .8 of at most four bands
    rng: Any = ScriptedRng(random=[frames, bands])
    changed, _ = spec_augment(x, NO_TARGETS[:2], rng, FRONT_END, frame_share=0.5, band_share=0.5)
    expected = x.clone()
    mean = x.mean(dim=(0, 1))
    expected[0, 2:6] = mean
    expected[1, 0:2] = mean
    expected[0, :, 5:7] = mean[5:7]
    assert torch.equal(changed, expected)


def test_masks_become_the_mean_of_the_batch() -> None:
    """So a masked value is 0 after standardisation with the batch's own mean."""
    x = features() * 3 + torch.arange(8)
    changed, _ = spec_augment(x, NO_TARGETS, np.random.default_rng(0), FRONT_END, frame_share=1.0, band_share=1.0)
    places = masked(changed, x)
    assert places.any()
    np.testing.assert_allclose((changed - x.mean(dim=(0, 1))).numpy()[places], 0)


@pytest.mark.parametrize("masks", [1, 2])
def test_widths_of_masks_are_uniform_up_to_their_share(masks: int) -> None:
    x = torch.randn(2000, 128, 1, generator=torch.Generator().manual_seed(0)).expand(2000, 128, 128)
    changed, _ = spec_augment(x, torch.zeros(2000, 1), np.random.default_rng(1), LogMel(), frame_share=0.0, masks=masks)
    widths = masked(changed, x)[:, 5].sum(axis=1)
    if masks == 2:
        assert widths.max() in range(30, 47)
        assert widths.mean() > 15
    else:
        assert widths.max() == 23
        assert stats.chisquare(np.bincount(widths, minlength=24)).pvalue > 0.01
        starts = masked(changed, x)[:, 5].argmax(axis=1)[widths > 0]
        assert (starts.min(), starts.max() > 110) == (0, True)


def test_the_bins_of_a_difference_are_masked_with_their_bands() -> None:
    x = features(STEREO.columns)
    for seed in range(10):
        changed, _ = spec_augment(x, NO_TARGETS, np.random.default_rng(seed), STEREO, band_share=0.9)
        places = masked(changed, x)
        assert (places == places[:, :, nearest_bands(STEREO)]).all()


def test_a_roll_by_hand() -> None:
    """Of .128 s, four frames of the paper's front end: 3.96 and -2 frames, and none."""
    x = features(columns=128)
    rng: Any = ScriptedRng(uniform=[[[0.99], [-0.5], [0.0]]])
    rolled, _ = time_roll(x, NO_TARGETS, rng, LogMel(), max_seconds=0.128)
    for clip, shift in enumerate([4, -2, 0]):
        assert torch.equal(rolled[clip], torch.roll(x[clip], shift, dims=0))


def test_rolls_go_both_ways_as_far_as_asked() -> None:
    x = torch.arange(50.0)[None, :, None].expand(500, 50, 8)
    rolled, _ = time_roll(x, torch.zeros(500, 1), np.random.default_rng(0), FRONT_END)
    shifts = np.where((first := rolled[:, 0, 0].numpy()) > 25, 50 - first, -first)
    assert set(shifts) == set(range(-4, 5))
    longer, _ = time_roll(x, torch.zeros(500, 1), np.random.default_rng(0), FRONT_END, max_seconds=100.0)
    assert len(set(longer[:, 0, 0].tolist())) == 50


def test_freq_mixstyle_by_hand() -> None:
    x = features()
    partner, drawn = [2, 0, 1], [0.3, 0.9, 0.5]
    rng: Any = ScriptedRng(permutation=[partner], beta=[[[[lam]] for lam in drawn]], random=[0.39])
    styled, _ = freq_mixstyle(x, NO_TARGETS, rng)
    for i, (j, lam) in enumerate(zip(partner, drawn, strict=True)):
        own, other = x[i].numpy().astype(np.float64), x[j].numpy().astype(np.float64)
        deviations = [np.sqrt(part.var(axis=0) + 1e-6) for part in (own, other)]
        mean = lam * own.mean(axis=0) + (1 - lam) * other.mean(axis=0)
        expected = (own - own.mean(axis=0)) / deviations[0] * (lam * deviations[0] + (1 - lam) * deviations[1]) + mean
        np.testing.assert_allclose(styled[i], expected, rtol=1e-4, atol=1e-5)
    assert rng.asked["beta"] == [(0.3, 0.3, (3, 1, 1))]


def test_freq_mixstyle_gives_a_clip_the_statistics_of_another() -> None:
    x = features() * torch.tensor([1.0, 2.0, 5.0])[:, None, None] + torch.tensor([0.0, 10.0, -3.0])[:, None, None]
    rng: Any = ScriptedRng(permutation=[[1, 2, 0]], beta=[[[[0.0]]] * 3], random=[0.0])
    styled, _ = freq_mixstyle(x, NO_TARGETS, rng)
    torch.testing.assert_close(styled.mean(dim=1), x[[1, 2, 0]].mean(dim=1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(styled.std(dim=1), x[[1, 2, 0]].std(dim=1), rtol=1e-4, atol=1e-4)


def test_freq_mixstyle_changes_its_share_of_the_batches() -> None:
    x, rng = features(), np.random.default_rng(0)
    changed = sum(not torch.equal(freq_mixstyle(x, NO_TARGETS, rng)[0], x) for _ in range(1000))
    assert stats.binomtest(changed, 1000, 0.4).pvalue > 0.01
