"""Mean and scale per column, for standardisation."""

import math

import numpy as np
import pytest
from helpers.small_features import noise

from audiotag.features.standardise import band_statistics


def test_band_statistics_by_hand() -> None:
    features = np.array([[[1, 10], [3, 10]], [[5, 10], [7, 14]]], dtype=np.float32)  # 2 clips, 2 frames, 2 bands
    mean, scale = band_statistics(features, np.array([0, 1]))
    np.testing.assert_allclose(mean, [4, 11])
    np.testing.assert_allclose(scale, [math.sqrt(5), math.sqrt(3)], rtol=1e-6)
    assert (mean.dtype, scale.dtype) == (np.float32, np.float32)


def test_only_the_given_clips_matter_to_the_statistics() -> None:
    features = noise(6, 10, 4)
    clips = np.array([4, 1, 3])
    expected = band_statistics(features[clips], np.arange(3))
    features[[0, 2, 5]] = np.nan
    np.testing.assert_allclose(band_statistics(features, clips), expected, rtol=1e-6)
    np.testing.assert_allclose(expected[1], features[clips].std(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, -18.420681, 7.1])
@pytest.mark.parametrize("clips", [1, 20, 1500])
def test_a_band_that_never_changes_has_scale_1(value: float, clips: int) -> None:
    features = noise(clips, 124, 2)
    features[..., 1] = value
    mean, scale = band_statistics(features, np.arange(clips))
    assert mean[1] == pytest.approx(value)
    assert scale[1] == 1
    assert scale[0] == pytest.approx(0.4 / math.sqrt(12), rel=0.1)


def test_a_faint_band_keeps_its_own_scale() -> None:
    features = np.full((2, 50, 1), -18.0, dtype=np.float32)
    features[1] += 0.02
    np.testing.assert_allclose(band_statistics(features, np.arange(2))[1], 0.01, rtol=1e-3)


def test_columns_of_small_values_keep_their_own_scale() -> None:
    """Differences of magnitudes are centred on 0 and may be tiny; what never changes is still left alone."""
    features = np.zeros((3, 50, 3), dtype=np.float32)
    features[..., 0] = 1e-5 * np.sign(noise(3, 50))
    features[..., 1] = 1e-9 * np.sign(noise(3, 50))
    scale = band_statistics(features, np.arange(3))[1]
    np.testing.assert_allclose(scale, [1e-5, 1, 1], rtol=0.1)
