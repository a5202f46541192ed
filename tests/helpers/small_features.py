"""Helpers of the tests of features: small front ends, and noise for them."""

from dataclasses import replace

import numpy as np

from audiotag.features.log_mel import LogMel

SMALL = LogMel(sample_rate=8000, n_fft=128, hop_length=64, n_mels=4)
SMALL_IMD = replace(SMALL, power=1.0, imd=True)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 0.2, shape).astype(np.float32)
