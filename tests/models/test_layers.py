"""The networks with and without compiled loops: the same but for rounding, random numbers and all."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.loops import BOTH_WAYS, compute, needs_loops
from step import BANDS, TAGS, Plain
from torch import Tensor
from torch.testing import assert_close

import audiotag
from audiotag.config import TrialConfig, network, network_names
from audiotag.models.crnn import CRNN
from audiotag.training.fit import start_fit, tagging_loss

CLIPS, FRAMES = 6, 20
SCRIPT = """
from helpers.tiny_fit import trained
from audiotag.models import backend
assert not backend.COMPILED
assert backend.__file__.startswith("%s"), backend.__file__
print([result.train_loss for result in trained().history])
"""


@pytest.fixture(params=BOTH_WAYS)
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    compute(request.param, monkeypatch)


def both() -> tuple[CRNN, Plain]:
    """The CRNN and the same network written plainly, with the same weights and without dropout."""
    torch.manual_seed(0)
    fast, plain = CRNN(BANDS, TAGS, dropout=0.0, convolution="winograd"), Plain()
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


@pytest.mark.usefixtures("compiled")
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


@pytest.mark.usefixtures("compiled")
def test_in_evaluation_they_agree_too() -> None:
    fast, plain = both()
    x = torch.randn(CLIPS, FRAMES, BANDS)
    for model in (fast, plain):
        model(x)  # moves the running statistics
        model.eval()
    with torch.inference_mode():
        assert_close(fast(x), plain(x), rtol=1e-4, atol=1e-5)
        assert np.ptp(fast(x).numpy()) > 1e-4


def gradients(name: str) -> tuple[float, dict[str, Tensor]]:
    """The loss of a training step of a network, with its dropout, and all gradients."""
    small = {"gru_units": 6} if "gru_units" in network(name).parameters else {}
    config = TrialConfig(model=name, **small)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 97, config.front_end.columns)).astype(np.float32)
    y = torch.from_numpy(rng.integers(0, 2, (8, 3)).astype(np.float32))
    model = start_fit(config, x, 3, np.arange(8), seed=0, fold=0, device="cpu").model
    torch.manual_seed(5)
    loss, _ = tagging_loss(model, torch.from_numpy(x), y, "cpu")
    loss.backward()
    return loss.item(), {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


@needs_loops
@pytest.mark.parametrize("name", network_names())
def test_a_training_step_differs_by_rounding_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, compiled = gradients(name)
    compute(False, monkeypatch)
    torch_loss, plain = gradients(name)
    assert loss == pytest.approx(torch_loss, rel=1e-6)
    assert compiled.keys() == plain.keys() != set()
    for key, gradient in compiled.items():
        size = plain[key].abs().max()
        # of two bands that nearly tie in a pooling, rounding chooses the one that gets the gradient: .014 was seen
        assert_close(gradient / size, plain[key] / size, rtol=0, atol=0.05, msg=key)


@pytest.mark.slow
def test_without_the_folder_cpu_all_still_runs(tmp_path: Path) -> None:
    package = Path(audiotag.__file__).parent
    shutil.copytree(package, tmp_path / "audiotag", ignore=shutil.ignore_patterns("cpu", "__pycache__"))
    assert not (tmp_path / "audiotag" / "models" / "cpu").exists()
    paths = f"{tmp_path}:{Path(__file__).parents[1]}"
    command = [sys.executable, "-c", SCRIPT % tmp_path]
    environment = {"PYTHONPATH": paths, "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split(",")) == 4
