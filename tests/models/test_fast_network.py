"""The network that trains against the same one written plainly: outputs and gradients, its loops compiled and not."""

import numpy as np
import pytest
import torch
from step import BANDS, TAGS, Plain
from torch.testing import assert_close

from audiotag.models.cpu import compiled
from audiotag.models.crnn import CRNN

CLIPS, FRAMES = 6, 20


@pytest.fixture(params=[True, False], autouse=True)
def loops_compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled.COMPILED
    monkeypatch.setattr(compiled, "COMPILED", request.param)


def both() -> tuple[CRNN, Plain]:
    """The two with the same weights, without dropout, whose bits they draw differently."""
    torch.manual_seed(0)
    fast, plain = CRNN(BANDS, TAGS, dropout=0.0, gru_units=128, gru_layers=1), Plain()
    theirs = list(plain.blocks)
    for number, block in enumerate(fast.blocks):
        conv, norm, _, _, dropout = theirs[5 * number : 5 * number + 5]
        conv.weight.data = block.conv.weight.data.clone()
        conv.bias.data.zero_()  # ours has none: the norm takes it away again
        norm.load_state_dict(block.norm.state_dict())
        dropout.p = 0.0
    plain.gru.load_state_dict(fast.gru.cells.state_dict())
    plain.tagging.load_state_dict(fast.tagging.state_dict())
    plain.localisation.load_state_dict(fast.localisation.state_dict())
    return fast.to(memory_format=torch.channels_last), plain  # type: ignore[call-overload]


def named(fast: CRNN, plain: Plain) -> dict[str, tuple[torch.nn.Parameter, torch.nn.Parameter]]:
    """Each parameter of the one with its twin."""
    theirs = list(plain.blocks)
    pairs = {}
    for number, block in enumerate(fast.blocks):
        pairs[f"conv {number}"] = block.conv.weight, theirs[5 * number].weight
        pairs[f"norm weight {number}"] = block.norm.weight, theirs[5 * number + 1].weight
        pairs[f"norm bias {number}"] = block.norm.bias, theirs[5 * number + 1].bias
    for ours, other in ((fast.gru.cells, plain.gru), (fast.tagging, plain.tagging)):
        pairs |= {name: (value, other.get_parameter(name)) for name, value in ours.named_parameters()}
    return pairs


def test_outputs_and_gradients_are_those_of_the_plain_network() -> None:
    fast, plain = both()
    torch.manual_seed(1)  # with others two neighbours may tie, and rounding chooses who gets the gradient
    x, y = torch.randn(CLIPS, FRAMES, BANDS), (torch.rand(CLIPS, TAGS) < 0.4).float()
    outputs = []
    for model in (fast, plain):
        outputs.append(model(x))
        torch.nn.functional.binary_cross_entropy(outputs[-1], y).backward()
    assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    pairs = named(fast, plain)
    assert len(pairs) == 7 * 3 + 8 + 2
    for name, (ours, theirs) in pairs.items():
        assert ours.grad is not None
        assert theirs.grad is not None
        size = theirs.grad.abs().max()
        assert size > 0, name
        assert_close(ours.grad / size, theirs.grad / size, rtol=0, atol=2e-5, msg=name)


def test_in_evaluation_they_agree_too() -> None:
    fast, plain = both()
    x = torch.randn(CLIPS, FRAMES, BANDS)
    for model in (fast, plain):
        model(x)  # moves the running statistics
        model.eval()
    with torch.inference_mode():
        assert_close(fast(x), plain(x), rtol=1e-4, atol=1e-5)
        assert np.ptp(fast(x).numpy()) > 1e-4
