"""Which clips an epoch trains on: each once, or those with rare tags more often."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.tiny_fit import FEATURES, SPLIT, TARGETS, TINY, same_bits, same_tensors, start, trained

import audiotag.training.fit
from audiotag.config import TrialConfig
from audiotag.training.sampling import balanced_weights, draw_clips

CLIPS = np.array([7, 2, 9, 4])
RARE = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.float32)  # tag a: three clips, tag b and no tag: one each

# reference


def test_a_weight_is_the_sum_over_the_tags_of_a_clip() -> None:
    a, b = 1 / 3.01, 1 / 1.01
    np.testing.assert_allclose(balanced_weights(RARE), [a, a, a + b, b])


def test_each_tag_and_the_lack_of_tags_are_drawn_alike() -> None:
    targets = np.zeros((1000, 2), np.float32)
    targets[:900, 0] = targets[900:950, 1] = 1
    drawn = draw_clips(np.arange(1000), targets, "balanced", np.random.default_rng(0))
    assert len(drawn) == 1000
    counts = [(drawn < 900).sum(), ((drawn >= 900) & (drawn < 950)).sum(), (drawn >= 950).sum()]
    assert all(280 < count < 390 for count in counts)
    assert len(set(drawn.tolist())) < 900


def test_uniform_is_each_clip_once_and_draws_nothing() -> None:
    rng = np.random.default_rng(0)
    assert draw_clips(CLIPS, RARE, "uniform", rng).tolist() == CLIPS.tolist()
    assert rng.random() == np.random.default_rng(0).random()


# property


def test_balanced_draws_are_of_the_training_clips_and_repeat_with_their_seed() -> None:
    first, again = (draw_clips(CLIPS, RARE, "balanced", np.random.default_rng(3)) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert set(first.tolist()) <= set(CLIPS.tolist())
    config = replace(TINY, sampling="balanced", max_epochs=3, patience=3)
    assert same_bits(trained(config), trained(config))
    changed = FEATURES.copy()
    changed[10:] = 0
    assert same_tensors(trained(config, features=changed).model.state_dict(), trained(config).model.state_dict())


@pytest.mark.parametrize("model", ["dae_dnn", "cgrnn"])
def test_all_segments_of_a_drawn_clip_are_trained_on(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the only clip that is drawn, as often as there are training clips."""
    monkeypatch.setattr(audiotag.training.fit, "draw_clips", lambda clips, *_: np.full(len(clips), clips[3]))
    seen = []
    cut = audiotag.training.fit.gather_variants
    monkeypatch.setattr(
        audiotag.training.fit, "gather_variants", lambda *given: seen.append(given[2][:, :2]) or cut(*given)
    )
    values = {"model": model, "batch_size": 8, "max_epochs": 1, "sampling": "balanced"}
    config = TrialConfig.from_dict(values | ({"pretrain_epochs": 1} if model == "dae_dnn" else {"gru_units": 2}))
    features = np.random.default_rng(0).normal(size=(16, 110, config.front_end.columns)).astype(np.float32)
    state = start(config, features=features)
    list(audiotag.training.fit.pretrain(state, features, SPLIT.train, seed=0, fold=0, device="cpu"))
    assert seen == []
    step = audiotag.training.fit.build_step(state, config, "cpu")
    audiotag.training.fit._train_epoch(state, step, config, features, TARGETS, SPLIT.train, 0, 0, "cpu")
    starts = list(state.model.segments.starts(110))
    assert len(starts) > 1
    assert sorted(map(tuple, np.concatenate(seen).tolist())) == sorted([(3, start) for start in starts] * 10)


# degenerate


def test_one_clip_and_no_tags() -> None:
    for targets in (np.zeros((1, 1)), np.ones((1, 1)), np.zeros((1, 3))):
        assert draw_clips(np.array([5]), targets, "balanced", np.random.default_rng(0)).tolist() == [5]
