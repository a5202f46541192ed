"""The losses of outputs, by hand and against torch on logits."""

import math

import numpy as np
import pytest
import torch
from helpers.tiny_fit import TINY, trained
from torch.nn import functional as F

from audiotag.training.fit import predict
from audiotag.training.loss import apply_loss, final_probabilities, log_odds, masked_bce, mean_loss


def test_losses_by_hand() -> None:
    p, y = torch.tensor([[0.8, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert apply_loss("bce", p, y)[0].item() == pytest.approx(-(math.log(0.8) + math.log(0.5)) / 2)
    odds = 4.0, 1.0  # of .8 and .5: their softmax is .8, .2
    mean, decided = apply_loss("cross_entropy", p, y)
    assert mean.item() == pytest.approx(-math.log(odds[0] / sum(odds)))
    assert decided.tolist()[0] == pytest.approx([0.8, 0.2])
    assert torch.equal(final_probabilities("bce", p), p)


def test_cross_entropy_is_torchs_of_what_stands_before_the_sigmoid() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(6, 4, generator=rng)).requires_grad_()
    y = F.one_hot(torch.arange(6) % 4, 4).float()
    mixed = 0.3 * y + 0.7 * y.roll(1, 0)
    for targets in (y, mixed):
        ours, decided = apply_loss("cross_entropy", torch.sigmoid(logits), targets)
        wanted = F.cross_entropy(logits, targets)
        assert ours.item() == pytest.approx(wanted.item(), rel=1e-4)
        (gradient,) = torch.autograd.grad(ours, logits)
        torch.testing.assert_close(gradient, torch.autograd.grad(wanted, logits)[0], rtol=1e-2, atol=1e-4)
        torch.testing.assert_close(decided, torch.softmax(logits, dim=1), rtol=1e-2, atol=1e-4)
        assert mean_loss("cross_entropy", decided.detach(), targets) == pytest.approx(wanted.item(), rel=1e-4)


def test_certain_outputs_have_a_finite_loss() -> None:
    p, y = torch.tensor([[0.0, 1.0]], requires_grad=True), torch.tensor([[1.0, 0.0]])
    mean, decided = apply_loss("cross_entropy", p, y)
    assert mean.item() == pytest.approx(2 * math.log(1e7), rel=1e-2)
    assert torch.isfinite(decided).all()
    assert math.isfinite(mean_loss("cross_entropy", torch.tensor([[0.0, 1.0]]), y))
    assert log_odds(torch.tensor([[0.5]], dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("loss", ["bce", "cross_entropy"])
def test_what_is_not_finite_has_no_loss(loss: str) -> None:
    assert math.isnan(mean_loss(loss, torch.tensor([[math.nan, 0.5]]), torch.ones(1, 2)))


def test_a_network_trained_with_cross_entropy_gives_one_distribution_per_clip() -> None:
    features = np.random.default_rng(0).standard_normal((5, 24, 8)).astype(np.float32)
    state = trained(TINY)
    assert not np.allclose(predict(state.model, features, np.arange(5)).sum(axis=1), 1)
    state.model.loss = "cross_entropy"  # type: ignore[assignment]
    assert predict(state.model, features, np.arange(5)).sum(axis=1) == pytest.approx(np.ones(5), abs=1e-6)


# --- unknown labels ---


def test_the_loss_is_a_mean_over_known_labels() -> None:
    p, y = torch.tensor([[0.8, 0.5], [0.1, 0.3]]), torch.tensor([[1.0, math.nan], [math.nan, 0.0]])
    wanted = -(math.log(0.8) + math.log(0.7)) / 2
    assert masked_bce(p, y).item() == pytest.approx(wanted)
    assert mean_loss("bce", p, y) == pytest.approx(wanted)
    whole = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert masked_bce(p, whole).item() == pytest.approx(apply_loss("bce", p, whole)[0].item())


def test_outputs_of_unknown_labels_change_neither_loss_nor_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    y = (torch.rand(6, 4, generator=rng) < 0.5).float()
    unknown = torch.rand(6, 4, generator=rng) < 0.4
    y[unknown] = torch.nan
    found = []
    for _ in range(2):
        p = torch.where(unknown, torch.rand(6, 4, generator=rng), 0.3).requires_grad_()
        loss = masked_bce(p, y)
        loss.backward()
        assert p.grad is not None
        assert not p.grad[unknown].any()
        found.append((loss.item(), p.grad[~unknown].tolist()))
    assert found[0] == found[1]


def test_without_a_known_label_the_loss_is_0() -> None:
    p = torch.full((2, 3), 0.4, requires_grad=True)
    loss = masked_bce(p, torch.full((2, 3), torch.nan))
    loss.backward()
    assert loss.item() == 0
    assert p.grad is not None
    assert not p.grad.any()
