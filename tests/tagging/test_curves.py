"""study.tagging.curves: when in a recording each tag is heard."""

import numpy as np
import pytest
import torch

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.inference.recordings import Clip
from audiotag.inference.tagger import Tagger
from audiotag.models.build import build_network
from study.tagging.curves import Track

RATE = 16_000


def noise(seconds: float, seed: int = 0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    shape = (round(seconds * rate), channels)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


@pytest.mark.parametrize(
    "config",
    [
        TrialConfig(gru_units=4),
        TrialConfig(model="dae_dnn"),
        TrialConfig(model="cgrnn", gru_units=4, gru_layers=1),
        TrialConfig(model="att_loc", imd=True, gru_units=4, gru_layers=1),
    ],
    ids=lambda config: config.model,
)
def test_every_system_has_curves(config: TrialConfig) -> None:
    heard = config.front_end
    columns = heard.columns
    torch.manual_seed(0)
    network = build_network(config, columns, 2, torch.full((columns,), -9.0), torch.full((columns,), 2.0)).eval()
    wave = noise(1.2, channels=2).T if heard.imd else noise(1.2)[:, 0]
    tagger, features = Tagger(network, heard, ("x", "y")), log_mel(wave[None], heard)
    (curves,) = tagger.curves(features)
    assert curves.min() >= 0
    assert curves.max() <= 1
    if config.model in ("cgrnn", "dae_dnn"):
        assert curves.mean(axis=0) == pytest.approx(tagger.score(features)[0], abs=1e-6)
    else:
        assert curves.shape == (features.shape[1], 2)


def test_a_drawing_keeps_some_columns_and_no_padding() -> None:
    """A clip of 1 s, of which the last half is padding: 30 frames, 15 of them with their middles in it."""
    heard, features = LogMel(), np.random.default_rng(0).normal(size=(30, 128)).astype(np.float32)
    curves = np.arange(30.0)[:, None]
    track = Track(columns=15)
    track.add(Clip(2.0, 2.5, np.zeros(RATE)), features, curves, heard)
    shown = sum((frame * 512 + 512) / RATE < 0.5 for frame in range(30))  # middles of windows
    assert track.curves[0][:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert shown == 15
    assert track.bands[0].shape == (8, 128)
    assert track.bands[0].max(axis=0) == pytest.approx(features[:15].max(axis=0))
    assert track.times[0].max() < 2.5
