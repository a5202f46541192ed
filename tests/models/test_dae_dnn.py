"""DAE-DNN layer by layer, and its auto-encoder's pretraining."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.networks import output_shapes
from helpers.tiny_fit import SPLIT, reopened, same_bits, same_tensors

from audiotag.config import TrialConfig
from audiotag.models.build import build_network
from audiotag.models.dae_dnn import CODE, CODES, DAEDNN
from audiotag.models.segments import Pretraining, Segmentation
from audiotag.training.fit import Diverged, FitState, fit, pretrain, start_fit

SHORT = TrialConfig(model="dae_dnn", batch_size=8, max_epochs=2, pretrain_epochs=2)
FEATURES = np.random.default_rng(0).normal(size=(16, 20, 4)).astype(np.float32).cumsum(axis=1)  # (N, T, M), smooth
TARGETS = np.random.default_rng(1).integers(0, 2, (16, 3)).astype(np.float32)


def network(n_mels: int = 40, n_tags: int = 7) -> Any:
    torch.manual_seed(0)
    return build_network(TrialConfig(model="dae_dnn"), n_mels, n_tags)


def start(config: TrialConfig = SHORT, seed: int = 0, fold: int = 0, features: np.ndarray = FEATURES) -> FitState:
    return start_fit(config, features, 3, SPLIT.train, seed=seed, fold=fold, device="cpu")


def pretrained(state: FitState, seed: int = 0, fold: int = 0, features: np.ndarray = FEATURES) -> list[float]:
    """The losses of the pretraining, run to its end."""
    results = pretrain(state, features, SPLIT.train, seed=seed, fold=fold, device="cpu")
    return [result.loss for result in results]


def supervised(state: FitState, config: TrialConfig = SHORT) -> FitState:
    list(fit(state, config, FEATURES, TARGETS, SPLIT, seed=0, fold=0, device="cpu"))
    return state


# --- reference ---


def test_shapes_layer_by_layer() -> None:
    model = network()
    x = torch.randn(2, 399, 40)  # 4 s
    assert model.encode(x).shape == (2, 393, 50)
    expected = {"autoencoder.encoder.0": (2, 91, 500), "autoencoder.encoder.2": (2, 91, 50), "": (2, 7)}
    expected |= {"classifier.0": (2, 4600), "classifier.1": (2, 1000), "classifier.4": (2, 500), "classifier.7": (2, 7)}
    assert output_shapes(model, x[:, :97]).items() >= expected.items()
    shapes = output_shapes(model.autoencoder, x[:, :7])
    assert (shapes["decoder.0"], shapes["decoder.2"]) == ((2, 500), (2, 40))
    assert [model.classifier[place].p for place in (0, 3, 6)] == [0.1, 0.2, 0.2]
    assert model.autoencoder.gaps.p == 0.1


def test_the_pretraining_and_the_segments() -> None:
    pretraining = network().pretraining
    assert pretraining == Pretraining(100, Segmentation(7, 1), batch_size=100, learning_rate=0.01, momentum=0.9)
    assert DAEDNN.segments == Segmentation(97, 7)


def test_codes_by_hand() -> None:
    model = network().eval()
    x = torch.randn(1, 97, 40)
    codes = model.encode(x)[0]
    first, second = model.autoencoder.encoder[0], model.autoencoder.encoder[2]
    for frame in (0, 50, 90):  # the code of a frame sees three frames on each side
        seen = x[0, frame : frame + 7].flatten()
        expected = torch.relu(second(torch.relu(first(seen))))
        torch.testing.assert_close(codes[frame], expected, rtol=1e-4, atol=1e-5)


def test_the_background_is_the_mean_of_the_first_six_codes() -> None:
    model = network().eval()
    codes = torch.rand(1, CODES, CODE)
    background = codes[:, :6].mean(dim=1)
    by_hand = torch.sigmoid(model.classifier(torch.cat([codes.flatten(1), background], dim=1)))
    torch.testing.assert_close(model.classify(codes), by_hand)


def test_the_loss_is_the_square_error_of_the_middle_frame() -> None:
    model = network().eval()
    x = torch.randn(3, 7, 40)
    expected = (model.autoencoder(x) - x[:, 3]).square().mean()
    torch.testing.assert_close(model.pretraining_loss(x), expected)


# --- property ---


def test_the_auto_encoder_learns_without_tags() -> None:
    config = replace(SHORT, pretrain_epochs=8)
    state = start(config)
    losses = pretrained(state)
    assert losses[-1] < 0.7 * losses[0]
    assert [result.epoch for result in state.pretraining] == list(range(8))
    assert state.seconds == sum(result.seconds for result in state.pretraining) > 0


def test_only_the_auto_encoder_changes_and_then_only_the_rest() -> None:
    before = start().model.state_dict()
    state = start()
    pretrained(state)
    coded = {name: value.clone() for name, value in state.model.state_dict().items()}
    changed = {name for name in before if not torch.equal(before[name], coded[name])}
    assert changed == {name for name in before if name.startswith("autoencoder.")}
    after = supervised(state).model.state_dict()
    changed = {name for name in before if not torch.equal(coded[name], after[name])}
    assert changed == {name for name in before if name.startswith("classifier.")}


def test_only_training_clips_pretrain() -> None:
    others = FEATURES.copy()
    others[SPLIT.validation] += 9
    first, second = start(), start(features=others)
    assert pretrained(first) == pretrained(second, features=others)
    assert same_tensors(first.model.state_dict(), second.model.state_dict())


def test_randomness_comes_from_seed_fold_and_epoch() -> None:
    torch.manual_seed(7)
    first = pretrained(start())
    torch.manual_seed(8)
    assert pretrained(start()) == first
    assert first[0] != first[1]
    for seed, fold in ((1, 0), (0, 1)):
        assert pretrained(start(seed=seed, fold=fold), seed=seed, fold=fold) != first


@pytest.mark.parametrize("done", [1, 2])
def test_fit_does_the_rest_of_the_pretraining(done: int) -> None:
    whole, begun = supervised(start()), start()
    for _ in zip(range(done), pretrain(begun, FEATURES, SPLIT.train, seed=0, fold=0, device="cpu"), strict=False):
        pass
    resumed = reopened(begun, SHORT, start)  # through a file, as after a kill
    assert len(resumed.pretraining) == done
    assert same_bits(supervised(resumed), whole)
    assert [result.loss for result in resumed.pretraining] == [result.loss for result in whole.pretraining]


# --- malformed ---


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_loss_that_is_not_finite() -> None:
    features = FEATURES.copy()
    features[3, 5, 1] = math.nan
    with pytest.raises(Diverged, match="the loss of pretraining is not finite in epoch 0 of fold 0"):
        pretrained(start(features=features), features=features)
