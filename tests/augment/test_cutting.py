"""CutMix and SpecMix: what is taken from the other clip, and its share in the target."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.scripted_rng import ScriptedRng
from scipy import stats
from torch import Tensor

from audiotag.augment.columns import nearest_bands
from audiotag.augment.cutting import cutmix, specmix
from audiotag.features.log_mel import LogMel

FRONT_END = LogMel(n_mels=8)
STEREO = LogMel(n_mels=8, n_fft=64, hop_length=32, power=1.0, imd=True)
CLIPS, FRAMES = 4, 10


def numbered(front_end: LogMel = FRONT_END) -> tuple[Tensor, Tensor]:
    """Clips whose features are all their own number, with a tag each."""
    x = torch.arange(CLIPS, dtype=torch.float32)[:, None, None].expand(CLIPS, FRAMES, front_end.columns)
    return x.contiguous(), torch.eye(CLIPS)


def regions(mixed: Tensor) -> np.ndarray:
    """Where each clip holds another one's features: (B, T, F)."""
    return (mixed != torch.arange(CLIPS)[:, None, None]).numpy()


def check_targets(mixed: Tensor, y: Tensor, bands: int) -> None:
    """The target of each clip is the share of its bands that each clip fills."""
    for clip, target in zip(mixed, y, strict=True):
        filled = [float((clip[:, :bands] == number).float().mean()) for number in range(CLIPS)]
        np.testing.assert_allclose(target, filled, atol=1e-6)


@pytest.mark.parametrize(
    ("centre", "frames", "bands"),
    [([0.5, 0.5], (3, 8), (2, 6)), ([0.0, 0.99], (0, 3), (5, 8)), ([0.95, 0.1], (7, 10), (0, 2))],
)
def test_cutmix_by_hand(centre: list[float], frames: tuple[int, int], bands: tuple[int, int]) -> None:
    """A lambda of .75 makes the sides half as long: five frames, four bands."""
    x, y = numbered()
    rng: Any = ScriptedRng(permutation=[[1, 2, 3, 0]], random=[centre], beta=[0.75])
    mixed, targets = cutmix(x, y, rng, FRONT_END, alpha=0.4)
    expected = x.clone()
    expected[:, slice(*frames), slice(*bands)] = x[[1, 2, 3, 0], slice(*frames), slice(*bands)]
    assert torch.equal(mixed, expected)
    share = (frames[1] - frames[0]) * (bands[1] - bands[0]) / (FRAMES * 8)
    torch.testing.assert_close(targets, (1 - share) * y + share * y[[1, 2, 3, 0]])
    assert rng.asked["beta"] == [(0.4, 0.4)]


def test_specmix_by_hand() -> None:
    """One strip of two frames and two of two bands each, which overlap in part."""
    x, y = numbered()
    rng: Any = ScriptedRng(permutation=[[1, 2, 3, 0]], integers=[1, 2], random=[[0.5], [0.0, 0.99]])
    mixed, targets = specmix(x, y, rng, FRONT_END, strips=3, frame_share=0.2, band_share=0.25)
    expected = x.clone()
    for place in [(slice(4, 6), slice(None)), (slice(None), slice(0, 2)), (slice(None), slice(6, 8))]:
        expected[:, *place] = x[[1, 2, 3, 0]][:, *place]
    assert torch.equal(mixed, expected)
    share = 1 - 8 * 4 / 80
    torch.testing.assert_close(targets, (1 - share) * y + share * y[[1, 2, 3, 0]])
    assert rng.asked["integers"] == [(0, 3), (0, 3)]


@pytest.mark.parametrize("front_end", [FRONT_END, STEREO], ids=["mono", "stereo"])
def test_targets_have_the_shares_that_the_features_have(front_end: LogMel) -> None:
    for seed in range(50):
        for function, strength in ((cutmix, {"alpha": 1.0}), (specmix, {"frame_share": 0.3, "band_share": 0.3})):
            mixed, targets = function(*numbered(front_end), np.random.default_rng(seed), front_end, **strength)
            check_targets(mixed, targets, 8)


def test_a_box_is_the_same_in_all_clips_and_its_area_follows_lambda() -> None:
    """With alpha 1 the area before it is cut off at the edges is uniform."""
    rng, areas = np.random.default_rng(0), []
    front_end = LogMel(n_mels=128)
    x = torch.arange(2.0)[:, None, None].expand(2, 128, 128)
    while len(areas) < 500:
        mixed, _ = cutmix(x, torch.eye(2), rng, front_end, alpha=1.0)
        region = (mixed[0] == 1).numpy()
        frames, bands = region.any(axis=1), region.any(axis=0)
        assert (region == np.outer(frames, bands)).all()
        assert all(np.flatnonzero(np.diff(side)).size <= 2 for side in (frames, bands))
        inside = not (frames[[0, -1]].any() or bands[[0, -1]].any())
        if inside and (mixed[1] == 0).any():
            areas.append(float(region.mean()))

    def law(area: np.ndarray) -> np.ndarray:
        """Uniform areas, of which a box of side s lies inside with a probability of (1 - s)^2."""
        return 6 * area - 8 * area**1.5 + 3 * area**2

    assert stats.kstest(areas, law).pvalue > 0.01


def test_the_number_of_strips_is_uniform() -> None:
    rng, front_end = np.random.default_rng(0), LogMel(n_mels=100)
    x = torch.arange(2.0)[:, None, None].expand(2, 100, 100)
    counts = []
    for _ in range(400):
        mixed, _ = specmix(x, torch.eye(2), rng, front_end, strips=2, frame_share=0.0, band_share=0.01)
        counts.append(int((mixed[0] == 1).any(dim=0).sum()))
    pairs = sum(count > 0 for count in counts)  # a clip is its own partner in half of the batches
    assert stats.binomtest(pairs, 400, 1 / 3).pvalue > 0.01
    assert stats.binomtest(sum(count == 2 for count in counts), pairs, 0.5).pvalue > 0.01


def test_the_bins_of_a_difference_go_with_the_nearest_band() -> None:
    band_of = nearest_bands(STEREO)
    assert list(band_of[:8]) == list(range(8))
    assert (np.diff(band_of[8:]) >= 0).all()
    assert (band_of[8], band_of[-1]) == (0, 7)
    for seed in range(20):
        mixed, _ = specmix(*numbered(STEREO), np.random.default_rng(seed), STEREO, band_share=0.3)
        taken = regions(mixed)
        assert (taken == taken[:, :, band_of]).all()
