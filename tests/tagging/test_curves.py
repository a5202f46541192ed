"""Curves of the tags over the time of a recording."""

from typing import Any

import numpy as np
import pytest
from helpers.networks import make_network

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.inference.recordings import Clip
from audiotag.inference.tagger import Tagger
from study.tagging.curves import Track

RATE = 16_000


@pytest.mark.parametrize(
    "parameters",
    [
        {"gru_units": 4},
        {"model": "dae_dnn"},
        {"model": "cgrnn", "gru_units": 4, "gru_layers": 1},
        {"model": "att_loc", "imd": True, "gru_units": 4, "gru_layers": 1},
    ],
    ids=lambda parameters: parameters.get("model", "crnn"),
)
def test_every_network_has_curves(parameters: dict[str, Any]) -> None:
    config = TrialConfig.from_dict(parameters)
    shape = (1, 2, 20_000) if config.front_end.imd else (1, 20_000)
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    tagger = Tagger(make_network(0, config), config.front_end, ("x", "y", "z"))
    features = log_mel(wave, config.front_end)
    (curves,) = tagger.curves(features)
    assert 0 <= curves.min() <= curves.max() <= 1
    if config.model in ("cgrnn", "dae_dnn"):
        assert curves.mean(axis=0) == pytest.approx(tagger.score(features)[0], abs=1e-6)
    else:
        assert curves.shape == (features.shape[1], 3)


def test_a_drawing_keeps_some_columns_and_no_padding() -> None:
    """A clip of 1 s, of which the last half is padding: 30 frames, 15 of them with their middles in it."""
    features = np.random.default_rng(0).normal(size=(30, 128)).astype(np.float32)
    curves = np.arange(30.0)[:, None]
    track = Track(columns=15)
    track.add(Clip(2.0, 2.5, np.zeros(RATE)), features, curves, LogMel())
    shown = sum((frame * 512 + 512) / RATE < 0.5 for frame in range(30))  # middles of windows
    assert track.curves[0][:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert shown == 15
    assert track.bands[0].shape == (8, 128)
    assert track.bands[0].max(axis=0) == pytest.approx(features[:15].max(axis=0))
    assert track.times[0].max() < 2.5
