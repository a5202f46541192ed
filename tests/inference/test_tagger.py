"""audiotag.inference.tagger: a network in a folder gives what it gave where it was trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks import SMALL, make_network, score_waveforms
from torch import nn

from audiotag.config import TrialConfig
from audiotag.features.log_mel import LogMel
from audiotag.inference.tagger import Tagger, load_tagger, write_description

SAMPLES = 4096
WAVES = np.random.default_rng(0).normal(0, 0.1, (6, SAMPLES)).astype(np.float32)


def save(folder: Path, seed: int, config: TrialConfig = SMALL, seconds: float = 0.256) -> Tagger:
    write_description(folder, config, config.front_end.to_dict(), ["a", "b", "c"], seconds)
    torch.save(make_network(seed, config).state_dict(), folder / "weights.pt")
    return load_tagger(folder)


def test_tagger_takes_one_clip_none_and_many(tmp_path: Path) -> None:
    tagger = save(tmp_path, 3)
    assert (tagger.tags, tagger.front_end) == (("a", "b", "c"), LogMel())
    wanted = score_waveforms(WAVES, 3)
    assert tagger.predict(WAVES) == pytest.approx(wanted)
    assert tagger.predict(WAVES[0]) == pytest.approx(wanted[:1], abs=1e-6)
    assert tagger.predict(WAVES[:0]).shape == (0, 3)
    many = np.concatenate([WAVES] * 12)
    assert tagger.predict(many)[-6:] == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(ValueError, match="must be at least one window"):
        tagger.predict(WAVES[:, :100])
    with pytest.raises(ValueError, match="hold a NaN or an infinity"):
        tagger.predict(np.full((1, SAMPLES), np.nan, np.float32))
    assert json.loads((tmp_path / "tagger.json").read_text())["clip_seconds"] == 0.256


@pytest.mark.parametrize(
    "config",
    [
        TrialConfig(model="dae_dnn"),
        TrialConfig(model="cgrnn", gru_units=4, gru_layers=1),
        TrialConfig(model="cgrnn", imd=True, gru_units=4, gru_layers=1),
        TrialConfig(model="att_loc", imd=True, gru_units=4, gru_layers=1),
    ],
    ids=lambda config: f"{config.model}{'_imd' if config.get('imd') else ''}",
)
def test_tagger_of_every_network(config: TrialConfig, tmp_path: Path) -> None:
    tagger = save(tmp_path, 1, config, 1.0)
    stereo = config.front_end.imd
    shape = (3, 2, 18_000) if stereo else (3, 18_000)
    waves = np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)
    wanted = score_waveforms(waves, 1, config)
    assert tagger.predict(waves) == pytest.approx(wanted, abs=1e-6)
    assert tagger.predict(waves[0]) == pytest.approx(wanted[:1], abs=1e-5)
    with pytest.raises(ValueError, match=r"must be \(clips, 2, S\)" if stereo else r"must be \(clips, S\)"):
        tagger.predict(waves[:, 0] if stereo else waves[:, None])


def test_a_network_without_curves_says_so() -> None:
    tagger = Tagger(nn.Linear(2, 2), LogMel(), ("a", "b"))
    with pytest.raises(ValueError, match="Linear has no curves over time"):
        tagger.curves(np.zeros((1, 3, 2), np.float32))
