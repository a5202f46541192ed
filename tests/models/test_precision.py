"""bf16 computes the same network a little coarser: scores can still be ranked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.loops import BOTH_WAYS, compute
from helpers.tiny_fit import epochs, start

from audiotag.config import TrialConfig, network_names
from audiotag.models.build import build_network
from audiotag.models.layers import BidirectionalGRU
from audiotag.training.fit import predict

pytestmark = pytest.mark.slow

CLIPS = 40


def network(config: TrialConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(config, config.front_end.columns, 3)


@pytest.mark.parametrize("model", network_names())
@pytest.mark.parametrize("compiled", BOTH_WAYS)
def test_bf16_scores_are_near_those_of_fp32_and_not_tied(
    compiled: bool, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(compiled, monkeypatch)
    config = TrialConfig(model=model)
    features = np.random.default_rng(0).normal(size=(CLIPS, 45, config.front_end.columns)).astype(np.float32)
    exact, coarse = (
        predict(network(replace(config, precision=precision)), features, np.arange(CLIPS))
        for precision in ("fp32", "bf16")
    )
    assert coarse.dtype == np.float32
    assert not np.array_equal(coarse, exact)
    np.testing.assert_allclose(coarse, exact, atol=0.02)
    assert all(len(np.unique(scores)) >= 0.8 * CLIPS for scores in coarse.T)  # in bf16 all would be one


@pytest.mark.parametrize("model", network_names())
def test_bf16_leaves_weights_and_gradients_in_fp32(model: str) -> None:
    config = TrialConfig(model=model, precision="bf16", pretrain_epochs=1 if model == "dae_dnn" else 0)
    features = np.random.default_rng(0).normal(size=(16, 45, config.front_end.columns)).astype(np.float32)
    config = replace(config, max_epochs=1)
    state = start(config, features=features)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    list(epochs(state, config, features=features))
    for parameter, was in zip(state.model.parameters(), before, strict=True):
        assert parameter.dtype == torch.float32
        assert parameter.isfinite().all()
        assert not torch.equal(parameter, was)


@pytest.mark.parametrize("compiled", BOTH_WAYS)
def test_a_gru_keeps_its_states_in_fp32_and_passes_them_on_so(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    compute(compiled, monkeypatch)
    torch.manual_seed(0)
    gru, x = BidirectionalGRU(5, 6, 2), torch.randn(4, 30, 5)
    exact = gru(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = gru(x.bfloat16())
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    torch.testing.assert_close(found, exact, rtol=0, atol=0.02)
