"""Windows of clips: random ones in training, those that cover a clip in scoring."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from helpers.tiny_fit import (
    FEATURES,
    SPLIT,
    TINY,
    epochs,
    history,
    reopened,
    same_bits,
    same_tensors,
    start,
    trained,
)

import audiotag.training.fit
from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus, open_corpus
from audiotag.features.standardise import band_statistics
from audiotag.training.batches import gather
from audiotag.training.fit import predict
from audiotag.training.windows import Windows, make_windows

T, L = FEATURES.shape[1], 4
SPANS = np.full(len(FEATURES), T)
SPANS[:6] = [4, 5, 7, 8, 9, 11]
WINDOWS = Windows(L, SPANS)
CROPPED = replace(TINY, crop_seconds=0.5, max_epochs=3, patience=3)
ALL = np.arange(len(FEATURES))


def train(config: TrialConfig = CROPPED, windows: Windows = WINDOWS, **changes: Any) -> Any:
    state = start(config, windows=windows)
    list(epochs(state, config, windows=windows, **changes))
    return state


def level_scores(x: torch.Tensor) -> torch.Tensor:
    """In place of a network: three functions of a window, each of all its frames."""
    means = x.mean(dim=(1, 2))
    return torch.stack([means.sigmoid(), (2 * means).sigmoid(), x[:, -1, 0].sigmoid()], dim=1)


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Any:
    model = torch.nn.Identity()
    model.score, model.loss, model.precision = level_scores, "bce", "fp32"  # type: ignore[assignment]
    monkeypatch.setattr(audiotag.training.fit, "standardise", lambda model, x: x)
    return model


# --- reference ---


def test_the_windows_of_a_clip_follow_each_other_and_end_with_its_sound() -> None:
    index, firsts = Windows(4, np.array([4, 5, 8, 9, 12])).cover(np.array([3, 0, 2]))
    assert index.tolist() == [[3, 0], [3, 4], [3, 5], [0, 0], [2, 0], [2, 4]]
    assert firsts.tolist() == [0, 3, 4]


@pytest.mark.parametrize("scores", ["mean", "loudest"])
def test_a_clip_scores_the_mean_of_its_windows_or_the_loudest(scorer: Any, scores: str) -> None:
    clips = np.array([5, 0, 11, 2])
    found = predict(scorer, FEATURES, clips, windows=replace(WINDOWS, scores=scores))
    for clip, own in zip(clips, found, strict=True):
        firsts = sorted({*range(0, SPANS[clip] - L + 1, L), SPANS[clip] - L})
        parts = [torch.from_numpy(FEATURES[clip, first : first + L][None]) for first in firsts]
        each = torch.cat([level_scores(part) for part in parts]).numpy()
        loudest = int(np.argmax([float(part.mean()) for part in parts]))
        np.testing.assert_allclose(own, each.mean(axis=0) if scores == "mean" else each[loudest], rtol=1e-6)
    assert found.dtype == np.float32


def test_standardisation_comes_from_the_sound_alone() -> None:
    parts = np.concatenate([FEATURES[clip, : SPANS[clip]] for clip in SPLIT.train])
    mean, scale = band_statistics(FEATURES, SPLIT.train, SPANS)
    np.testing.assert_allclose(mean, parts.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scale, parts.std(axis=0), rtol=1e-4)


# --- property ---


def test_windows_cover_every_frame_and_none_beyond() -> None:
    for span in range(L, 40):
        index, _ = Windows(L, np.array([span])).cover(np.array([0]))
        assert {frame for first in index[:, 1] for frame in range(first, first + L)} == set(range(span))


def test_training_draws_each_place_of_a_window_and_others_in_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    cut = audiotag.training.fit.gather_variants
    monkeypatch.setattr(
        audiotag.training.fit,
        "gather_variants",
        lambda features, variants, index, segments: seen.append(index) or cut(features, variants, index, segments),
    )
    train(replace(CROPPED, max_epochs=40, patience=40, learning_rate=1e-30))
    index = np.concatenate(seen)
    for clip in SPLIT.train:
        own = index[index[:, 0] == clip, 1]
        assert len(own) == 40  # once per epoch
        assert set(own) <= set(range(SPANS[clip] - L + 1))
        assert len(set(own)) >= min(4, SPANS[clip] - L + 1)
    first = [index[part * 10 :][:10] for part in range(2)]
    assert not np.array_equal(np.sort(first[0], axis=0), np.sort(first[1], axis=0))


@pytest.mark.parametrize(
    "own",
    [{"gru_units": 4}, {"model": "cgrnn", "gru_layers": 1, "gru_units": 4}, {"model": "dae_dnn", "pretrain_epochs": 1}],
    ids=str,
)
def test_a_resumed_training_is_that_of_one_go(own: dict[str, Any]) -> None:
    """Also of networks that train on segments: those of the windows."""
    features = np.random.default_rng(2).normal(size=(16, 50, 40)).astype(np.float32)
    arguments: dict[str, Any] = {"features": features, "windows": Windows(35, np.arange(35, 51))}
    if "model" not in own:
        arguments = {"features": FEATURES, "windows": WINDOWS}
    config = TrialConfig(crop_seconds=0.5, batch_size=8, max_epochs=3, **own)
    whole, state = start(config, **arguments), start(config, **arguments)
    list(epochs(whole, config, **arguments))
    next(epochs(state, config, **arguments))
    state = reopened(state, config, lambda config: start(config, **arguments))
    list(epochs(state, config, **arguments))
    assert same_bits(state, whole)


def test_what_lies_behind_the_sound_changes_nothing() -> None:
    changed = FEATURES.copy()
    for clip, span in enumerate(SPANS):
        changed[clip, span:] = 1e3
    state = start(CROPPED, windows=WINDOWS, features=changed)
    list(epochs(state, CROPPED, windows=WINDOWS, features=changed))
    assert same_bits(state, train())


def test_without_a_crop_nothing_is_drawn_and_windows_are_left_alone() -> None:
    plain = replace(CROPPED, crop_seconds=0.0)
    state = start(plain)
    list(epochs(state, plain, windows=WINDOWS))
    assert same_bits(state, trained(plain))


def test_windows_of_whole_clips_train_and_score_as_whole_clips_do() -> None:
    whole = Windows(T, np.full(len(FEATURES), T))
    assert history(train(windows=whole)) == history(trained(replace(CROPPED, crop_seconds=0.0)))


def test_the_choice_of_scores_changes_what_is_validated_and_not_the_weights() -> None:
    mean, loudest = train(), train(windows=replace(WINDOWS, scores="loudest"))
    assert same_tensors(mean.model.state_dict(), loudest.model.state_dict())
    assert not torch.equal(mean.best_scores, loudest.best_scores)


def test_a_crop_trains_other_weights() -> None:
    assert not same_tensors(train().model.state_dict(), trained(TINY).model.state_dict())


# --- corpora ---


@pytest.fixture
def corpus(folder_corpus: Callable[..., Path]) -> Corpus:
    """Clips of .05, 1, 2.5 and 12 s."""
    root = folder_corpus([(f"{number}.wav", number % 2, "xy"[number // 2]) for number in range(4)])
    for number, seconds in enumerate((0.05, 1.0, 2.5, 12.0)):
        wave = 0.1 * np.random.default_rng(number).normal(size=round(16_000 * seconds))
        soundfile.write(root / "audio" / f"{number}.wav", wave, 16_000)
    return open_corpus(root, clip_seconds=11)


def test_windows_lie_in_the_sound_of_short_and_long_clips(corpus: Corpus) -> None:
    assert corpus.clip_seconds == 11
    config = TrialConfig(crop_seconds=0.5)
    windows = make_windows(config, corpus)
    assert windows is not None
    front_end = config.front_end
    crop, one, many, whole = (front_end.frames(front_end.samples(seconds)) for seconds in (0.5, 1, 2.5, 11))
    assert windows.frames == crop
    assert windows.spans.tolist() == [crop, one, many, whole]
    assert make_windows(TrialConfig(), corpus) is None
    unknown = make_windows(config, replace(corpus, seconds=np.zeros(0)))
    assert unknown is not None
    assert unknown.spans.tolist() == [whole] * 4


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (12.0, r"is 12, but the clips of .* to 11 s: choose less"),
        (0.05, r"is 0\.05, but must be .* the 0\.064 s"),
    ],
)
def test_a_crop_that_no_clip_has_is_refused(corpus: Corpus, seconds: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_windows(TrialConfig(crop_seconds=seconds), corpus)


def test_a_crop_without_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="`windows` is None"):
        next(epochs(start(CROPPED), CROPPED))


def test_windows_on_a_device_are_those_on_the_host() -> None:
    index, _ = WINDOWS.cover(ALL)
    cut = audiotag.training.fit.cut_windows(L, None)
    assert torch.equal(gather(FEATURES, index, cut), gather(torch.from_numpy(FEATURES), index, cut))
