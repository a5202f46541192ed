"""fit(): the figures of an epoch, early stopping, and that randomness comes from seed, fold and epoch alone."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_fit import (
    FEATURES,
    SPLIT,
    STILL,
    TARGETS,
    TINY,
    epochs,
    history,
    reopened,
    same_bits,
    same_tensors,
    start,
    trained,
    with_losses,
)
from torch import Tensor, nn
from torch.nn import functional as F

import audiotag.training.fit
from audiotag.augment import Augment, build_augmentations
from audiotag.config import TrialConfig, augmentation, augmentation_names, bare
from audiotag.features.standardise import band_statistics
from audiotag.models.build import standardise
from audiotag.training.fit import predict


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The training batches, before mixing."""
    seen: list[Tensor] = []

    def look(x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        seen.append(x.clone())
        return x, y

    def spy(config: TrialConfig, network: nn.Module) -> list[Augment]:
        steps = build_augmentations(config, network)
        return [lambda x, y, rng: steps[0](*look(x, y, rng), rng), *steps[1:]] if steps else [look]

    monkeypatch.setattr(audiotag.training.fit, "build_augmentations", spy)
    return seen


# --- reference ---


def test_one_batch_can_be_overfitted() -> None:
    config = TrialConfig(learning_rate=1e-2, batch_size=10, max_epochs=40, patience=40, dropout=0.0, gru_units=16)
    results = trained(config).history
    assert results[0].train_loss > 0.6
    assert results[-1].train_loss < 0.03
    assert results[-1].train_accuracy == 1.0


def test_the_training_loss_and_accuracy_are_means_over_clips_of_batches_of_any_size() -> None:
    config = replace(TINY, learning_rate=STILL, dropout=0.0, max_epochs=1)  # batches of 4, 4 and 2 clips
    targets = np.zeros((16, 3), dtype=np.float32)
    targets[7] = 1  # in one batch: if batches weighed alike, the loss would be another
    state = start(config)
    for parameter in (state.model.tagging.weight, state.model.tagging.bias):
        nn.init.zeros_(parameter)
    nn.init.constant_(state.model.tagging.bias, -1.0)
    (result,) = epochs(state, config, targets=targets)
    probability = 1 / (1 + math.e)
    assert result.train_loss == pytest.approx(-(0.9 * math.log(1 - probability) + 0.1 * math.log(probability)))
    assert result.train_accuracy == pytest.approx(0.9)
    assert result.val_loss == pytest.approx(-math.log(1 - probability))
    assert result.val_accuracy == 1.0
    assert math.isnan(result.val_means["eer"])  # no positive in the validation set


def test_validation_is_that_of_the_plain_network() -> None:
    config = replace(TINY, augmentation="mixup", alpha=1.0, dropout=0.5)
    state = start(config)
    for result in epochs(state, config):
        state.model.eval()
        with torch.no_grad():
            scores = state.model(standardise(state.model, torch.from_numpy(FEATURES[10:])))
        truth = torch.from_numpy(TARGETS[10:])
        assert result.val_loss == pytest.approx(float(F.binary_cross_entropy(scores, truth)), rel=1e-5)
        assert result.val_accuracy == pytest.approx(float(((scores > 0.5) == (truth > 0.5)).float().mean()))
        np.testing.assert_allclose(predict(state.model, FEATURES, SPLIT.validation), scores, rtol=1e-4)
    assert [result.epoch for result in state.history] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("losses", "patience", "max_epochs", "stopped"),
    [
        ((), 1, 1, False),
        ((0.5,), 1, 9, False),
        ((0.5,), 1, 1, True),
        ((0.5, 0.6), 1, 9, True),
        ((0.5, 0.4), 1, 9, False),
        ((0.5, 0.5), 1, 9, True),  # as low is not lower
        ((0.5, 0.6, 0.7), 3, 9, False),
        ((0.5, 0.6, 0.7, 0.55), 3, 9, True),
        ((0.5, 0.6, 0.7, 0.4), 3, 9, False),
        ((0.5, 0.6, 0.7, 0.4, 0.5, 0.5), 3, 9, False),
        ((0.5, 0.6, 0.7, 0.4, 0.5, 0.5, 0.5), 3, 9, True),
        ((0.5, 0.4, 0.3, 0.2), 1, 4, True),
        ((0.5, 0.4, 0.3, 0.2), 1, 5, False),
    ],
)
def test_when_training_stops(losses: tuple[float, ...], patience: int, max_epochs: int, stopped: bool) -> None:
    state = with_losses(*losses)
    assert state.stopped(replace(TINY, patience=patience, max_epochs=max_epochs)) is stopped


def test_the_best_epoch_is_the_first_with_the_lowest_validation_loss() -> None:
    assert with_losses().best_epoch == -1
    assert with_losses(0.5, 0.3, 0.4, 0.3).best_epoch == 1


def test_with_a_schedule_only_the_last_stretch_is_chosen_from_and_waited_in() -> None:
    config = replace(TINY, augmentation="sample_pairing", schedule="intermittent", patience=1, max_epochs=10)
    assert start(config).first_choice == 8
    losses = [0.1, *[0.5 + epoch / 10 for epoch in range(9)]]  # ever worse: patience would end it after an epoch
    for done in range(1, 10):
        state = with_losses(*losses[:done])
        state.first_choice = 8
        assert state.best_epoch == (8 if done == 9 else -1)
        assert not state.stopped(config)
    state = with_losses(*losses)
    state.first_choice = 8
    assert (state.best_epoch, state.stopped(config)) == (8, True)


def test_a_schedule_mixes_in_its_epochs_and_ends_with_the_weights_of_the_last_stretch(batches: list[Tensor]) -> None:
    """Of 10 epochs the first is plain, 7 are mixed, and the last two are plain; the mixed ones share partners."""
    plain = replace(TINY, learning_rate=STILL, max_epochs=10, patience=10, batch_size=16, dropout=0.0)
    pairing = replace(plain, augmentation="sample_pairing")
    losses = [
        [result.train_loss for result in trained(config).history]
        for config in (plain, pairing, replace(pairing, schedule="intermittent"))
    ]
    assert losses[2] == [losses[0][0], *losses[1][1:8], *losses[0][8:]]
    assert all(first != second for first, second in zip(losses[0], losses[1], strict=True))
    state = trained(replace(pairing, schedule="intermittent", learning_rate=1e-2))
    assert len(state.history) == 10
    assert state.best_epoch >= 8


def test_the_best_weights_are_those_of_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.5, 0.4, 0.6, 0.3, 0.3, 0.8])
    monkeypatch.setattr(audiotag.training.fit, "mean_loss", lambda *_: next(losses))
    config = replace(TINY, max_epochs=30, patience=2)
    state = start(config)
    weights = []
    for _ in epochs(state, config):
        weights.append({name: value.clone() for name, value in state.model.state_dict().items()})
        assert same_tensors(state.best, weights[state.best_epoch])
    assert (len(state.history), state.best_epoch) == (6, 3)
    assert [same_tensors(state.best, each) for each in weights] == [False, False, False, True, False, False]


def test_standardisation_is_that_of_the_training_clips() -> None:
    mean, scale = band_statistics(FEATURES, SPLIT.train)
    model = start().model
    np.testing.assert_array_equal(model.mean, mean)
    np.testing.assert_array_equal(model.scale, scale)
    others = FEATURES.copy()
    others[10:] += 100
    assert same_tensors(start(features=others).model.state_dict(), model.state_dict())


# --- property ---


@pytest.mark.parametrize("augmentation", ["none", "mixup"])
def test_the_same_seed_gives_the_same_bits(augmentation: str) -> None:
    config = replace(TINY, augmentation=augmentation, alpha=1.0 if augmentation == "mixup" else 0.0, dropout=0.3)
    first = trained(config, seed=3, fold=1)
    assert same_bits(first, trained(config, seed=3, fold=1))
    for seed, fold in ((4, 1), (3, 2), (1, 3)):
        other = trained(config, seed, fold)
        assert not same_tensors(other.best, first.best)
        assert history(other) != history(first)


@pytest.mark.parametrize(("stop", "precision"), [(1, "fp32"), (3, "fp32"), (2, "bf16")])
def test_a_resumed_fold_equals_an_unbroken_one(stop: int, precision: str) -> None:
    config = replace(TINY, precision=precision, augmentation="mixup", alpha=1.0, dropout=0.3, max_epochs=6)
    state = start(config)
    for _, _ in zip(range(stop), epochs(state, config), strict=False):
        pass
    resumed = reopened(state, config)
    assert len(resumed.history) == stop
    assert same_bits(resumed, state)
    list(epochs(resumed, config))
    assert same_bits(resumed, trained(config))


def test_interleaved_folds_equal_separate_ones() -> None:
    config = replace(TINY, augmentation="mixup", alpha=1.0, dropout=0.3)
    states = [start(config, seed, fold) for seed, fold in ((0, 0), (0, 1))]
    for _ in zip(*(epochs(state, config, 0, fold) for fold, state in enumerate(states)), strict=True):
        torch.rand(3)
    for fold, state in enumerate(states):
        assert same_bits(state, trained(config, 0, fold))


def test_the_random_numbers_of_the_caller_are_left_alone() -> None:
    torch.manual_seed(11)
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    state = start()
    for _ in epochs(state):
        assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002
    expected = trained()
    torch.manual_seed(12)
    assert same_bits(trained(), expected)


@pytest.mark.parametrize(
    "change",
    [
        {"augmentation": "mixup", "alpha": 1.5},
        {"augmentation": "sample_pairing"},
        {"dropout": 0.5},
        {"learning_rate": 1e-4},
        {"batch_size": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_trials_share_initial_weights_and_the_order_of_clips(change: dict[str, Any], batches: list[Tensor]) -> None:
    orders = []
    for config in (TINY, replace(TINY, **change)):
        assert same_tensors(start(config).model.state_dict(), start().model.state_dict())
        trained(config)
        orders.append(torch.cat(batches)[:, 0, 0].tolist())
        batches.clear()
    assert orders[0] == orders[1]
    by_epoch = [orders[0][begin : begin + 10] for begin in range(0, 40, 10)]
    assert all(sorted(order) == sorted(FEATURES[:10, 0, 0].tolist()) for order in by_epoch)
    assert len({tuple(order) for order in by_epoch}) == 4


def test_only_training_batches_are_mixed(batches: list[Tensor]) -> None:
    state = trained(replace(TINY, augmentation="sample_pairing", max_epochs=2))
    assert [len(batch) for batch in batches] == [4, 4, 2] * 2
    trained_on = {float(clip) for batch in batches for clip in batch[:, 0, 0]}
    assert trained_on == set(FEATURES[:10, 0, 0].tolist())
    batches.clear()
    predict(state.model, FEATURES, SPLIT.validation)
    assert batches == []


def test_predictions_depend_neither_on_dropout_nor_on_other_clips() -> None:
    state = trained(replace(TINY, dropout=0.9))
    state.model.train()
    scores = predict(state.model, FEATURES, np.arange(16))
    assert (scores.shape, scores.dtype) == ((16, 3), np.float32)
    np.testing.assert_array_equal(predict(state.model, FEATURES, np.arange(16)), scores)
    np.testing.assert_allclose(predict(state.model, FEATURES, np.array([9, 2])), scores[[9, 2]], rtol=1e-5)


def test_clips_beyond_one_scoring_batch_keep_their_places() -> None:
    model = start().model
    many = np.arange(2 * audiotag.training.fit.SCORING_BATCH + 3) % 16
    np.testing.assert_allclose(predict(model, FEATURES, many), predict(model, FEATURES, np.arange(16))[many], rtol=1e-4)


def test_held_out_and_validation_clips_do_not_train() -> None:
    features, targets = FEATURES.copy(), TARGETS.copy()
    features[10:], targets[10:] = 0, 1
    config = replace(TINY, max_epochs=2)
    last = trained(config, features=features, targets=targets).model.state_dict()
    assert same_tensors(last, trained(config).model.state_dict())


def test_the_first_of_a_chain_draws_what_it_draws_alone_and_the_next_other_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[list[tuple[int, float]]] = []

    def spy(config: TrialConfig, network: nn.Module) -> list[Augment]:
        def draw(place: int, x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            drawn[-1].append((place, rng.random()))
            return x, y

        return [partial(draw, place) for place in range(len(config.augmentation.split("+")))]

    monkeypatch.setattr(audiotag.training.fit, "build_augmentations", spy)
    for name in ("mixup", "mixup+spec_augment", "mixup+spec_augment+gain"):
        drawn.append([])
        trained(replace(TINY, augmentation=name, max_epochs=1))
    alone, two, three = ([[drawn for at, drawn in found if at == place] for place in range(3)] for found in drawn)
    assert alone[0] == two[0] == three[0]
    assert two[1] == three[1]
    assert len({*three[0], *three[1], *three[2]}) == 3 * len(three[0]) > 3


OF_BATCHES = [name for name in augmentation_names()[1:] if not augmentation(name).of_waveforms]


@pytest.mark.parametrize("name", [*OF_BATCHES, "mixup+spec_augment", "mix+manifold_mixup+noise"])
def test_a_fold_resumes_to_the_same_bits_with_each_augmentation(name: str) -> None:
    own = augmentation(name).parameters
    strengths = {
        key: value for key in own for word, value in (("alpha", 0.7), ("probability", 0.8)) if bare(key) == word
    }
    config = TrialConfig.from_dict({**TINY.to_dict(), "max_epochs": 2, "augmentation": name, **strengths})
    features = np.random.default_rng(0).normal(-9, 3, (16, 12, config.front_end.columns)).astype(np.float32)
    begin = partial(start, features=features)
    whole = begin(config)
    list(epochs(whole, config, features=features))
    half = begin(config)
    next(epochs(half, config, features=features))
    resumed = reopened(half, config, begin)
    list(epochs(resumed, config, features=features))
    assert same_bits(resumed, whole)
    plain = begin(replace(TINY, max_epochs=2))
    list(epochs(plain, replace(TINY, max_epochs=2), features=features))
    assert not same_tensors(whole.model.state_dict(), plain.model.state_dict())


# --- unknown labels ---


def test_a_tag_that_is_unknown_in_training_is_not_learnt() -> None:
    config = replace(TINY, max_epochs=2)
    targets = TARGETS.copy()
    targets[SPLIT.train, 1] = np.nan
    before = start(config).model.state_dict()
    after = trained(config, targets=targets).model.state_dict()
    moved = {
        name: (after[name] != before[name]).reshape(3, -1).any(dim=1) for name in after if name.startswith("tagging.")
    }
    assert moved
    for rows in moved.values():
        assert rows.tolist() == [True, False, True]


def test_figures_of_an_epoch_are_those_of_known_labels() -> None:
    config = replace(TINY, learning_rate=STILL, dropout=0.0, max_epochs=1)
    targets = np.zeros((16, 3), dtype=np.float32)
    targets[[7, 12]] = 1
    targets[[0, 1, 2, 11, 12], 0] = np.nan
    state = start(config)
    nn.init.zeros_(state.model.tagging.weight)
    nn.init.constant_(state.model.tagging.bias, -1.0)
    (result,) = epochs(state, config, targets=targets)
    probability = 1 / (1 + math.e)
    present, absent = -math.log(probability), -math.log(1 - probability)
    assert result.train_loss == pytest.approx((3 * present + 24 * absent) / 27)
    assert result.train_accuracy == pytest.approx(24 / 27)
    assert result.val_loss == pytest.approx((2 * present + 14 * absent) / 16)
    assert result.val_accuracy == pytest.approx(14 / 16)


def test_mixing_with_unknown_labels_stays_finite_and_resumes_to_the_same_bits() -> None:
    config = replace(TINY, augmentation="mixup", alpha=0.2, max_epochs=3)
    targets = TARGETS.copy()
    targets[np.random.default_rng(3).random(targets.shape) < 0.4] = np.nan
    whole, half = trained(config, targets=targets), start(config)
    next(epochs(half, config, targets=targets))
    half = reopened(half, config)
    list(epochs(half, config, targets=targets))
    assert same_bits(whole, half)
    assert all(math.isfinite(result.train_loss) for result in whole.history)
