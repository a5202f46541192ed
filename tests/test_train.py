import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import audiotag.train
from audiotag.augment import mix
from audiotag.config import TrialConfig
from audiotag.features import band_statistics
from audiotag.folds import FoldSplit
from audiotag.train import Diverged, EpochResult, FitState, fit, predict, start_fit

TINY = TrialConfig(learning_rate=1e-2, batch_size=4, max_epochs=4, gru_units=4)
STILL = 1e-30  # a learning rate that moves no weight
FEATURES = np.random.default_rng(0).normal(size=(16, 12, 8)).astype(np.float32)  # (N, T, M)
TARGETS = np.random.default_rng(1).integers(0, 2, (16, 3)).astype(np.float32)  # (N, K)
SPLIT = FoldSplit(np.arange(10), np.arange(10, 16), np.arange(10, 16))


def start(config: TrialConfig = TINY, seed: int = 0, fold: int = 0, **changes: Any) -> FitState:
    arguments: dict[str, Any] = {"features": FEATURES, "n_tags": 3, "train": SPLIT.train, **changes}
    return start_fit(config, **arguments, seed=seed, fold=fold, device="cpu")


def epochs(
    state: FitState, config: TrialConfig = TINY, seed: int = 0, fold: int = 0, **changes: Any
) -> Iterator[EpochResult]:
    arguments: dict[str, Any] = {"features": FEATURES, "targets": TARGETS, "split": SPLIT, **changes}
    return fit(state, config, **arguments, seed=seed, fold=fold, device="cpu")


def trained(config: TrialConfig = TINY, seed: int = 0, fold: int = 0, **changes: Any) -> FitState:
    state = start(config, seed, fold)
    list(epochs(state, config, seed, fold, **changes))
    return state


def history(state: FitState) -> list[dict[str, Any]]:
    """The epochs without their durations."""
    return [asdict(replace(result, seconds=0.0)) for result in state.history]


def same_tensors(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def same_bits(first: FitState, second: FitState) -> bool:
    moments = [
        {f"{k} {name}": v for k, values in state.optimizer.state_dict()["state"].items() for name, v in values.items()}
        for state in (first, second)
    ]
    return (
        same_tensors(first.model.state_dict(), second.model.state_dict())
        and same_tensors(first.best, second.best)
        and same_tensors(*moments)
        and history(first) == history(second)
    )


def with_losses(*losses: float) -> FitState:
    """A state whose epochs had these validation losses."""
    model = nn.Linear(1, 1)
    results = [EpochResult(epoch, 0.5, 0.5, loss, 0.5, 0.5, 0.0) for epoch, loss in enumerate(losses)]
    return FitState(model, torch.optim.Adam(model.parameters()), history=results)


def reopened(state: FitState, config: TrialConfig) -> FitState:
    """The state after a journey through a file."""
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    fresh = start(config)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The batches that were mixed, as they came in."""
    seen: list[Tensor] = []

    def spy(x: Tensor, y: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
        seen.append(x.clone())
        return mix(x, y, *arguments)

    monkeypatch.setattr(audiotag.train, "mix", spy)
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
    assert math.isnan(result.val_eer_mean)  # no positive in the validation set


def test_validation_is_that_of_the_plain_network() -> None:
    config = replace(TINY, augmentation="mixup", alpha=1.0, dropout=0.5)
    state = start(config)
    for result in epochs(state, config):
        state.model.eval()
        with torch.no_grad():
            scores = state.model(torch.from_numpy(FEATURES[10:]))
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


def test_the_best_weights_are_those_of_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.5, 0.4, 0.6, 0.3, 0.3, 0.8])
    monkeypatch.setattr(audiotag.train, "_mean_loss", lambda scores, truth: next(losses))
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


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_fold_equals_an_unbroken_one(stop: int) -> None:
    config = replace(TINY, augmentation="mixup", alpha=1.0, dropout=0.3, max_epochs=6)
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


def test_predictions_know_neither_dropout_nor_the_other_clips() -> None:
    state = trained(replace(TINY, dropout=0.9))
    state.model.train()
    scores = predict(state.model, FEATURES, np.arange(16))
    assert (scores.shape, scores.dtype) == ((16, 3), np.float32)
    np.testing.assert_array_equal(predict(state.model, FEATURES, np.arange(16)), scores)
    np.testing.assert_allclose(predict(state.model, FEATURES, np.array([9, 2])), scores[[9, 2]], rtol=1e-5)


def test_clips_beyond_one_scoring_batch_keep_their_places() -> None:
    model = start().model
    many = np.arange(2 * audiotag.train.SCORING_BATCH + 3) % 16
    np.testing.assert_allclose(predict(model, FEATURES, many), predict(model, FEATURES, np.arange(16))[many], rtol=1e-4)


def test_held_out_and_validation_clips_do_not_train() -> None:
    features, targets = FEATURES.copy(), TARGETS.copy()
    features[10:], targets[10:] = 0, 1
    config = replace(TINY, max_epochs=2)
    last = trained(config, features=features, targets=targets).model.state_dict()
    assert same_tensors(last, trained(config).model.state_dict())


# --- degenerate ---


def test_a_fold_that_has_stopped_trains_no_more() -> None:
    state = trained()
    expected = {name: value.clone() for name, value in state.model.state_dict().items()}
    assert list(epochs(state)) == []
    assert same_tensors(state.model.state_dict(), expected)
    assert len(list(epochs(state, replace(TINY, max_epochs=5)))) == 1


def test_features_mapped_from_a_file_serve_without_a_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", FEATURES)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = trained(features=mapped)
    assert same_bits(state, trained())


def test_a_last_batch_of_one_clip() -> None:
    config = replace(TINY, batch_size=9, augmentation="extrapolation", alpha=1.0, max_epochs=2)
    assert all(math.isfinite(result.train_loss) for result in trained(config).history)


# --- malformed ---


@pytest.mark.parametrize("clip", [SPLIT.train[3], SPLIT.validation[3]])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_features_that_are_not_finite(clip: int, value: float) -> None:
    features = FEATURES.copy()
    features[clip, 2, 5] = value
    state = start(features=features)
    with pytest.raises(Diverged, match=r"not finite in epoch 0 of fold 3$"):
        list(epochs(state, fold=3, features=features))
    assert state.history == []


@pytest.mark.parametrize("epoch", [0, 2])
def test_weights_that_are_not_finite(epoch: int) -> None:
    state = start()
    results = epochs(state)
    for _ in range(epoch):
        next(results)
    nn.init.constant_(state.model.tagging.weight, math.nan)
    with pytest.raises(Diverged, match=f"not finite in epoch {epoch} of fold 0"):
        next(results)
    assert len(state.history) == epoch


def test_a_learning_rate_that_is_far_too_high() -> None:
    with pytest.raises(Diverged, match="not finite in epoch"):
        trained(replace(TINY, learning_rate=1e30))


@pytest.mark.parametrize("missing", ["model", "optimizer", "best", "history"])
def test_a_saved_state_without_a_part(missing: str) -> None:
    saved = start().state_dict()
    del saved[missing]
    with pytest.raises(KeyError, match=missing):
        start().load_state_dict(saved)


def test_a_saved_state_of_another_network() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        start().load_state_dict(start(replace(TINY, gru_units=5)).state_dict())
