"""Mixing of waveforms: what the network gets is the features of the mixture, with the draws of any other domain."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from helpers.tiny_fit import TARGETS, reopened, same_tensors

import audiotag.training.fit
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import open_corpus
from audiotag.corpus.errors import CorpusError
from audiotag.corpus.splits import FoldSplit
from audiotag.features.log_mel import LogMel, log_mel
from audiotag.features.mapped import find_mapped
from audiotag.features.waves import Waves, load_waves
from audiotag.training.fit import FitState, fit, start_fit

SMALL: dict[str, Any] = {"max_epochs": 1, "batch_size": 4, "learning_rate": 1e-2}
MIX: dict[str, Any] = {"augmentation": "mix", "domain": "waveform", "alpha": 0.5}
CLIPS = 8
SPLIT = FoldSplit(np.arange(6), np.arange(6, CLIPS), np.arange(6, CLIPS))


def clips_of(config: TrialConfig, seconds: float = 0.5) -> tuple[np.ndarray, Waves]:
    """Features (N, T, F) of noise, and the waveforms of all clips but the first, which is not trained on."""
    front_end = config.front_end
    shape = (CLIPS, *([2] if front_end.imd else []), front_end.samples(seconds))
    waves = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    return log_mel(waves, front_end), Waves(waves[:7], np.arange(7), front_end)


def train(config: TrialConfig, features: np.ndarray, waves: Waves | None, state: FitState | None = None) -> FitState:
    common: dict[str, Any] = {"seed": 0, "fold": 0, "device": "cpu"}
    state = state or start_fit(config, features, 3, SPLIT.train, **common)
    for _ in fit(state, config, features, TARGETS[:CLIPS], SPLIT, waves=waves, **common):
        pass
    return state


def seen(monkeypatch: pytest.MonkeyPatch, config: TrialConfig) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The batches that a network is trained on."""
    found, loss = [], audiotag.training.fit.tagging_loss
    with monkeypatch.context() as patch:
        patch.setattr(
            audiotag.training.fit, "tagging_loss", lambda m, x, y, d: found.append((x, y)) or loss(m, x, y, d)
        )
        train(config, *clips_of(config))
    return found


# --- reference ---


@pytest.mark.parametrize("model", [{"model": "crnn"}, {"model": "cgrnn"}, {"model": "att_loc", "imd": True}])
def test_a_batch_has_the_features_of_mixed_waveforms(model: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"augmentation": "mix", "domain": "waveform", "target": "first", "direction": "half"}
    config = TrialConfig(**SMALL, **half, **model)
    mixed = seen(monkeypatch, config)
    plain = seen(monkeypatch, TrialConfig(**SMALL, **model))  # the same order of clips
    features, waves = clips_of(config)
    rng = np.random.default_rng((0, 0, 0, 2))  # of mixing
    for (x, y), (own, targets) in zip(mixed, plain, strict=True):
        partner = rng.permutation(len(x))
        assert torch.equal(y, targets)
        for row in range(len(x)):
            first, second = (place_of(own[each], features) for each in (row, partner[row]))
            hop, samples = config.front_end.hop_length, (x.shape[1] - 1) * config.front_end.hop_length
            parts = [
                waves.values[clip, ..., start * hop : start * hop + samples + config.front_end.n_fft]
                for clip, start in (first, second)
            ]
            np.testing.assert_allclose(x[row], log_mel((parts[0] + parts[1]) / 2, config.front_end), atol=2e-4)


def place_of(x: torch.Tensor, features: np.ndarray) -> tuple[int, int]:
    """The clip, and the first frame, that some features (L, F) are of."""
    for clip, rows in enumerate(features):
        for start in range(len(rows) - len(x) + 1):
            if np.array_equal(rows[start : start + len(x)], x.numpy()):
                return clip, start
    raise AssertionError("no such clip")


def test_targets_are_those_of_the_other_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [seen(monkeypatch, TrialConfig(**SMALL, **{**MIX, "domain": domain})) for domain in ("waveform", "power")]
    for (x, y), (other, targets) in zip(*batches, strict=True):
        torch.testing.assert_close(y, targets)
        assert not torch.equal(x, other)


# --- property ---


def test_an_epoch_without_mixing_takes_the_features() -> None:
    config = TrialConfig(**{**SMALL, "max_epochs": 10}, **MIX, schedule="intermittent")
    features, waves = clips_of(config)
    once = replace(config, max_epochs=1)  # its only epoch is in the last stretch
    plain = train(TrialConfig(**{**SMALL, "max_epochs": 1}), features, None)
    assert same_tensors(train(once, features, waves).best, plain.best)


def test_it_continues_bit_for_bit() -> None:
    config = TrialConfig(**{**SMALL, "max_epochs": 2}, **MIX, lambdas="per_clip")
    features, waves = clips_of(config)
    whole = train(config, features, waves)
    half = train(replace(config, max_epochs=1), features, waves)
    begin = partial(start_fit, features=features, n_tags=3, train=SPLIT.train, seed=0, fold=0, device="cpu")
    resumed = train(config, features, waves, reopened(half, config, begin))
    assert same_tensors(whole.model.state_dict(), resumed.model.state_dict())


def test_waveforms_of_development_clips_are_read_once(tmp_path: Path, folder_corpus: Callable[..., Path]) -> None:
    root = folder_corpus([(f"{number}.wav", number % 2, "x" if number < 2 else "") for number in range(5)], seconds=0.2)
    corpus, front_end = open_corpus(root), LogMel()
    steps: list[tuple[int, int]] = []
    waves = load_waves(corpus, front_end, tmp_path / "cache", lambda done, total: steps.append((done, total)))
    assert steps == [(5, 5)]
    assert waves.values.shape == (5, front_end.samples(corpus.clip_seconds))
    wave, rate = soundfile.read(corpus.paths[3], dtype="float32")
    if rate == front_end.sample_rate:
        np.testing.assert_array_equal(waves.values[3], wave[: waves.values.shape[1]])
    corpus.paths[2].unlink()
    again = load_waves(corpus, front_end, tmp_path / "cache")
    np.testing.assert_array_equal(again.values, waves.values)
    assert find_mapped(again.values) is not None
    with pytest.raises(CorpusError, match=r"2\.wav"):
        load_waves(corpus, front_end, tmp_path / "another")


# --- malformed ---


def test_waveforms_must_be_given() -> None:
    config = TrialConfig(**SMALL, **MIX)
    with pytest.raises(ValueError, match="The value of `waves` is None"):
        train(config, clips_of(config)[0], None)


@pytest.mark.parametrize("augmentation", ["gain+mix", "pitch_shift+mix"])
def test_only_the_first_of_a_chain_mixes_waveforms(augmentation: str) -> None:
    with pytest.raises(ValueError, match=r"`domain` is 'waveform' in '.*mix', but the first alone of a chain"):
        TrialConfig(augmentation=augmentation, domain="waveform")
    assert TrialConfig(augmentation="mix+gain", domain="waveform").mixes_waveforms
    assert not TrialConfig(augmentation=augmentation, domain="power").mixes_waveforms
