"""fit() at its limits: nothing left to do, a batch of one, one tag, numbers that are not finite, foreign states."""

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_fit import FEATURES, SPLIT, TARGETS, TINY, epochs, same_bits, same_tensors, start, trained
from torch import nn

from audiotag.metrics import tag_eers
from audiotag.training.fit import Diverged, predict

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


def test_a_network_with_one_tag_learns_and_scores() -> None:
    state = start(n_tags=1)
    results = list(epochs(state, targets=TARGETS[:, :1]))
    assert results[-1].train_loss < results[0].train_loss
    scores = predict(state.model, FEATURES, SPLIT.held_out)
    assert scores.shape == (len(SPLIT.held_out), 1)
    assert 0 <= tag_eers(TARGETS[SPLIT.held_out, :1], scores)[0] <= 1


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


@pytest.mark.parametrize("missing", ["model", "history", "unsupervised"])
def test_a_saved_state_without_a_part(missing: str) -> None:
    saved = start().state_dict()
    del saved[missing]
    with pytest.raises(KeyError, match=missing):
        start().load_state_dict(saved)


def test_a_saved_state_of_another_network() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        start().load_state_dict(start(replace(TINY, gru_units=5)).state_dict())
