"""torch's own optimisers, without the four seconds that their first call costs.

torch decorates their methods for torch.compile, and the decorators import torch._dynamo, with SymPy and 850 other
modules, at the first call: 4 s of CPU and 120 MB in every worker, more than all the rest of a trial's start but torch
itself. Nothing is compiled here, so the methods are used undecorated: same code, same bits.
"""

from collections.abc import Iterable
from inspect import unwrap
from typing import Any

import torch

from audiotag.config import TrialConfig

MOMENTUM = 0.9  # of sgd
OF_DEVICE = ("foreach", "fused", "capturable")  # how a device takes a step, not what the step is
DECORATED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")  # and `step`, which needs `no_grad`


def undecorate(kind: type[torch.optim.Optimizer]) -> Any:
    """Make a class of optimisers that does what `kind` does, differentiable steps aside."""
    methods = {name: unwrap(getattr(kind, name)) for name in DECORATED}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(unwrap(kind.step))})


Adam = undecorate(torch.optim.Adam)
SGD = undecorate(torch.optim.SGD)


def build_optimizer(config: TrialConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimiser of a configuration; on a GPU Adam's steps are one kernel."""
    weights = list(parameters)
    if config.optimizer == "sgd":
        return SGD(weights, lr=config.learning_rate, momentum=MOMENTUM)
    on_gpu = weights[0].is_cuda
    return Adam(weights, lr=config.learning_rate, fused=on_gpu or None, capturable=on_gpu and config.cuda_graphs)


def load_optimizer_state(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load what `state_dict` gave, maybe on another device; how this device takes its steps stays as it was built.

    torch would take that over as well: on a GPU from a CPU one kernel per operation, on a CPU from a GPU fused steps.
    """
    own = [{name: group[name] for name in OF_DEVICE if name in group} for group in optimizer.param_groups]
    groups = [{**group, **kept} for group, kept in zip(saved["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**saved, "param_groups": groups})
