"""The optimisers: torch's own steps, and none of what only torch.compile needs."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from audiotag.training import optim as optimizers

KINDS: list[tuple[str, dict[str, Any]]] = [("Adam", {"lr": 0.01}), ("SGD", {"lr": 0.1, "momentum": 0.9})]


def take_steps(kind: Any, settings: dict[str, Any], network: torch.nn.Module) -> tuple[list[torch.Tensor], Any]:
    network = copy.deepcopy(network)
    optimizer = kind(network.parameters(), **settings)
    for seed in range(4):
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        F.mse_loss(network(x), x[:, :2]).backward()
        optimizer.step()
        if seed == 1:  # saved and taken up again
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer = kind(network.parameters(), **settings)
            optimizer.load_state_dict(saved)
    return [weights.detach() for weights in network.parameters()], optimizer.state_dict()


@pytest.mark.parametrize(("name", "settings"), KINDS)
def test_steps_and_saved_state_are_torchs_own(name: str, settings: dict[str, Any]) -> None:
    network = torch.nn.Linear(3, 2)
    ours = take_steps(getattr(optimizers, name), settings, network)
    torchs = take_steps(getattr(torch.optim, name), settings, network)
    torch.testing.assert_close(ours, torchs, rtol=0, atol=0)
    assert not torch.equal(ours[0][0], network.weight)


@pytest.mark.parametrize(("name", "settings"), KINDS)
@pytest.mark.parametrize(("there", "here"), [(True, False), (False, True)], ids=["from a GPU", "to a GPU"])
def test_a_state_of_another_device_leaves_this_ones_way_of_taking_steps(
    there: bool, here: bool, name: str, settings: dict[str, Any]
) -> None:
    """A GPU's Adam is fused, which CPUs can do as well; `capturable` they cannot."""
    kind, network = getattr(optimizers, name), torch.nn.Linear(3, 2)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

    def step(optimizer: torch.optim.Optimizer) -> None:
        F.mse_loss(network(x), x[:, :2]).backward()
        optimizer.step()

    def way(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return {flag: optimizer.param_groups[0].get(flag) for flag in optimizers.OF_DEVICE}

    step(first := kind(network.parameters(), **settings, fused=there))
    saved = copy.deepcopy(first.state_dict())
    saved["param_groups"][0] |= {"capturable": there} if name == "Adam" else {}
    second = kind(network.parameters(), **settings, fused=here)
    built = way(second)
    optimizers.load_optimizer_state(second, saved)
    assert way(second) == built != way(first)
    assert second.param_groups[0]["lr"] == settings["lr"]
    torch.testing.assert_close(second.state_dict()["state"], saved["state"], rtol=0, atol=0)
    step(second)
    if name == "Adam":
        assert [state["step"] for state in second.state.values()] == [2.0, 2.0]


def test_the_steps_leave_no_graph_behind() -> None:
    weights, _ = take_steps(optimizers.Adam, {"lr": 0.01}, torch.nn.Linear(3, 2))
    assert all(part.grad_fn is None for part in weights)


@pytest.mark.slow
def test_training_imports_nothing_that_only_compiling_needs() -> None:
    """An epoch with each optimiser, saved and taken up again."""
    script = (
        "import sys\n"
        "from tiny_fit import TINY, epochs, start\n"
        "from dataclasses import replace\n"
        "for config in (TINY, replace(TINY, optimizer='sgd')):\n"
        "    state = start(config)\n"
        "    next(epochs(state, config))\n"
        "    saved = state.state_dict()\n"
        "    state = start(config)\n"
        "    state.load_state_dict(saved)\n"
        "    next(epochs(state, config))\n"
        "print('compiler:', 'torch._dynamo' in sys.modules)\n"
    )
    here = Path(__file__).parents[1] / "helpers"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=here, check=False)
    assert done.stdout.splitlines()[-1:] == ["compiler: False"], done.stdout + done.stderr
