"""Variants in the place of training clips: how often, which of them, in what training, and never in validation."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_fit import FEATURES, SPLIT, TARGETS, TINY, epochs, reopened, same_bits, same_tensors, start, trained

import audiotag.training.fit
from audiotag.augment.noises import NO_CLIP
from audiotag.augment.variants import Variants
from audiotag.config import TrialConfig
from audiotag.models.segments import Segmentation
from audiotag.training.batches import gather
from audiotag.training.fit import pretrain
from audiotag.training.variation import ORIGINAL, draw_variants, gather_variants

CONFIG = replace(TINY, augmentation="pitch_shift")
V = 3


def make_variants(features: np.ndarray = FEATURES, clips: np.ndarray | None = None) -> Variants:
    """Of each clip the features plus 100 times the variant's number and 10."""
    chosen = np.arange(len(features)) if clips is None else clips
    values = features[chosen][:, None] + 10 + 100 * np.arange(V, dtype=np.float32)[:, None, None]
    return Variants(values.astype(np.float32), chosen, np.full((len(chosen), V), NO_CLIP))


VARIANTS = make_variants()
TRAIN = SPLIT.train


# reference


def test_clips_are_replaced_as_often_as_the_probability_says_by_each_variant_alike() -> None:
    clips = np.repeat(TRAIN, 600)
    drawn = draw_variants(VARIANTS, clips, TRAIN, 0.3, np.random.default_rng(0))
    assert (drawn != ORIGINAL).mean() == pytest.approx(0.3, abs=0.02)
    shares = np.bincount(drawn[drawn != ORIGINAL], minlength=V) / (drawn != ORIGINAL).sum()
    np.testing.assert_allclose(shares, 1 / V, atol=0.04)


@pytest.mark.parametrize(("probability", "replaced"), [(0.0, 0), (1.0, 10)])
def test_none_and_all(probability: float, replaced: int) -> None:
    drawn = draw_variants(VARIANTS, TRAIN, TRAIN, probability, np.random.default_rng(0))
    assert (drawn != ORIGINAL).sum() == replaced


def test_only_variants_whose_background_is_trained_on_are_drawn() -> None:
    noises = np.array([[1, 11, 2], [12, 13, 14], [3, 4, 5], [15, 0, 11], [NO_CLIP] * 3])
    variants = Variants(np.zeros((5, V, 2, 2)), np.array([0, 3, 5, 7, 9]), noises)
    clips = np.repeat(variants.clips, 100)
    drawn = draw_variants(variants, clips, np.arange(10), 1.0, np.random.default_rng(0)).reshape(5, 100)
    assert [set(row) for row in drawn.tolist()] == [{0, 2}, {ORIGINAL}, {0, 1, 2}, {1}, {0, 1, 2}]


def test_a_batch_has_the_variants_that_its_index_names() -> None:
    variants = make_variants(clips=np.array([1, 4, 6]))
    index = np.array([[4, 0, 2], [0, 0, ORIGINAL], [1, 0, 0], [6, 0, ORIGINAL]])
    cut = gather_variants(FEATURES, variants, index, None)
    np.testing.assert_allclose(
        cut, np.stack([FEATURES[4] + 210, FEATURES[0], FEATURES[1] + 10, FEATURES[6]]), rtol=1e-6
    )
    placed = gather_variants(torch.from_numpy(FEATURES), variants, index, None)
    np.testing.assert_array_equal(placed, cut)


def test_segments_are_cut_from_the_same_place_of_a_variant() -> None:
    index = np.array([[4, 3, 2], [4, 6, ORIGINAL], [5, 6, 0]])
    cut = gather_variants(FEATURES, VARIANTS, index, Segmentation(4, 3))
    wanted = [FEATURES[4, 3:7] + 210, FEATURES[4, 6:10], FEATURES[5, 6:10] + 10]
    np.testing.assert_allclose(cut, np.stack(wanted), rtol=1e-6)


# property


def test_lower_probabilities_replace_fewer_of_the_same_clips() -> None:
    drawn = [draw_variants(VARIANTS, TRAIN, TRAIN, p, np.random.default_rng(1)) for p in (0.2, 0.6, 1.0)]
    for fewer, more in pairwise(drawn):
        assert (more[fewer != ORIGINAL] == fewer[fewer != ORIGINAL]).all()


def test_with_a_probability_of_0_training_is_that_without() -> None:
    assert same_bits(trained(replace(CONFIG, variant_probability=0.0), variants=VARIANTS), trained())


def test_training_with_variants_repeats_with_its_seed_and_resumes_to_the_same_bits() -> None:
    config = replace(CONFIG, dropout=0.3, max_epochs=6)
    whole = trained(config, variants=VARIANTS)
    assert same_bits(whole, trained(config, variants=VARIANTS))
    assert not same_bits(whole, trained(replace(TINY, dropout=0.3, max_epochs=6)))
    state = start(config)
    for _, _ in zip(range(2), epochs(state, config, variants=VARIANTS), strict=False):
        pass
    resumed = reopened(state, config)
    list(epochs(resumed, config, variants=VARIANTS))
    assert same_bits(resumed, whole)


def batches(monkeypatch: pytest.MonkeyPatch, config: TrialConfig, **changes: Any) -> list[np.ndarray]:
    """The indices (B, 3) of the training's batches."""
    seen: list[np.ndarray] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            audiotag.training.fit,
            "gather_variants",
            lambda features, variants, index, cut: seen.append(index) or gather(features, index[:, :2], cut),
        )
        trained(config, variants=VARIANTS, **changes)
    return seen


def test_variants_change_in_each_epoch_and_are_those_of_all_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    first = batches(monkeypatch, CONFIG)
    by_epoch = np.concatenate(first).reshape(4, 10, 3)
    assert all(sorted(epoch[:, 0].tolist()) == TRAIN.tolist() for epoch in by_epoch)
    drawn = [dict(epoch[:, [0, 2]].tolist()) for epoch in by_epoch]
    assert all(one != other for place, one in enumerate(drawn) for other in drawn[:place])
    for change in (
        {"augmentation": "pitch_shift+mixup", "alpha": 1.5},
        {"augmentation": "compression"},
        {"dropout": 0.5},
    ):
        changed = {"augmenting": {}, "augmentation": "pitch_shift"} | change
        other = batches(monkeypatch, TrialConfig.from_dict({**TINY.to_dict(), **changed}))
        assert all(map(np.array_equal, first, other))


def test_the_first_of_a_chain_that_mixes_draws_what_it_draws_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for name in ("mixup", "pitch_shift+mixup"):
        with monkeypatch.context() as patch:
            patch.setattr(
                audiotag.training.fit,
                "build_augmentations",
                lambda *_: [lambda x, y, rng: drawn.append(rng.random()) or (x, y)],
            )
            trained(TrialConfig.from_dict({**TINY.to_dict(), "augmentation": name}), variants=VARIANTS)
    assert drawn[: len(drawn) // 2] == drawn[len(drawn) // 2 :]


def test_a_schedule_says_in_which_epochs_clips_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, schedule="intermittent", max_epochs=10, variant_probability=1.0)
    by_epoch = np.concatenate(batches(monkeypatch, config)).reshape(10, 10, 3)
    assert [(epoch[:, 2] != ORIGINAL).all() for epoch in by_epoch] == [False, *[True] * 7, False, False]
    assert (by_epoch[[0, 8, 9], :, 2] == ORIGINAL).all()


def test_each_draw_of_a_balanced_epoch_has_a_variant_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, sampling="balanced", max_epochs=20, patience=20)
    index = np.concatenate(batches(monkeypatch, config)).reshape(20, 10, 3)
    twice = [
        set(epoch[epoch[:, 0] == clip, 2].tolist())
        for epoch in index
        for clip in TRAIN
        if (epoch[:, 0] == clip).sum() > 1
    ]
    assert max(map(len, twice)) > 1


def test_validation_and_standardisation_are_those_of_the_clips_themselves() -> None:
    still = replace(CONFIG, learning_rate=1e-30, variant_probability=1.0, max_epochs=1)
    state, plain = trained(still, variants=VARIANTS), trained(replace(TINY, learning_rate=1e-30, max_epochs=1))
    np.testing.assert_array_equal(state.model.mean, plain.model.mean)
    np.testing.assert_array_equal(state.model.scale, plain.model.scale)
    held_out = replace(VARIANTS, values=VARIANTS.values.copy())
    held_out.values[10:] = np.nan
    again = trained(replace(CONFIG, max_epochs=3), variants=held_out)
    assert same_bits(again, trained(replace(CONFIG, max_epochs=3), variants=VARIANTS))


@pytest.mark.parametrize("model", ["dae_dnn", "cgrnn"])
def test_networks_on_segments_train_on_segments_of_variants(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"pretrain_epochs": 1} if model == "dae_dnn" else {"gru_units": 2}
    values = {"model": model, "batch_size": 8, "max_epochs": 1, "augmentation": "time_stretch", **own}
    config = TrialConfig.from_dict(values)
    features = np.random.default_rng(0).normal(size=(16, 110, config.front_end.columns)).astype(np.float32)
    variants = make_variants(features)
    state = start(config, features=features)
    weights = [value.clone() for value in state.model.parameters()]
    list(pretrain(state, features, TRAIN, seed=0, fold=0, device="cpu"))
    untouched = start(config, features=features)
    list(pretrain(untouched, features, TRAIN, seed=0, fold=0, device="cpu"))
    assert same_tensors(state.model.state_dict(), untouched.model.state_dict())
    seen: list[np.ndarray] = []
    cut = audiotag.training.fit.gather_variants
    monkeypatch.setattr(audiotag.training.fit, "gather_variants", lambda *given: seen.append(given[2]) or cut(*given))
    list(epochs(state, config, features=features, variants=variants))
    index = np.concatenate(seen)
    assert len(index) == 10 * len(state.model.segments.starts(110))
    of_clips = [set(index[index[:, 0] == clip, 2].tolist()) for clip in TRAIN]
    assert all(len(numbers) == 1 for numbers in of_clips)  # all segments of a clip are of the same variant
    assert len({next(iter(numbers)) for numbers in of_clips}) > 1
    assert any(not torch.equal(a, b) for a, b in zip(weights, state.model.parameters(), strict=True))


# malformed


def test_without_variants_there_is_nothing_to_train_on() -> None:
    with pytest.raises(ValueError, match="of `variants` is None, but `pitch_shift` needs those of the clips"):
        trained(CONFIG)


def test_targets_are_those_of_the_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    loss = audiotag.training.fit.tagging_loss
    monkeypatch.setattr(
        audiotag.training.fit, "tagging_loss", lambda m, x, y, d: seen.append((x, y)) or loss(m, x, y, d)
    )
    trained(replace(CONFIG, max_epochs=1, variant_probability=1.0), variants=VARIANTS)
    for x, y in ((x, y) for batch in seen for x, y in zip(*batch, strict=True)):
        clip = int(np.abs(VARIANTS.values - x.numpy()).max(axis=(2, 3)).min(axis=1).argmin())
        assert y.tolist() == TARGETS[clip].tolist()
