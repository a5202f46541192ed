"""A corpus with a single tag: the smallest number of tags there is."""

import json

import numpy as np
import torch
from helpers.tiny_fit import FEATURES, SPLIT, TARGETS, TINY, epochs, start

from audiotag.metrics import tag_eers
from audiotag.training.fit import predict
from study.ledger.results import fold_eers, summarise

ONE = TARGETS[:, :1]


def test_a_network_with_one_tag_learns_and_scores() -> None:
    state = start(n_tags=1)
    history = list(epochs(state, targets=ONE))
    assert len(history) == TINY.max_epochs
    assert history[-1].train_loss < history[0].train_loss
    scores = predict(state.model, FEATURES, SPLIT.held_out)
    assert scores.shape == (len(SPLIT.held_out), 1)
    assert 0 <= tag_eers(ONE[SPLIT.held_out], scores)[0] <= 1


def test_its_pooling_is_the_mean_over_frames() -> None:
    model = start(n_tags=1).model.eval()
    features = torch.from_numpy(FEATURES)
    with torch.inference_mode():
        curves = model.frame_curves(features)  # (B, T, 1)
        torch.testing.assert_close(model(features), curves.mean(dim=1))
    assert not np.allclose(curves, curves.mean())


def test_its_results_have_no_variance_over_tags() -> None:
    records = [fold_eers(ONE[:10], np.linspace(0, 1, 10)[:, None], ("x",)) for _ in range(2)]
    result = summarise(records, ["x"])
    assert result["eer_mean"] == result["eer"]["x"]
    assert result["eer_var_classes"] is None
    assert json.loads(json.dumps(result, allow_nan=False)) == result
