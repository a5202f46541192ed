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
DECORATED = (
    "add_param_group",
    "zero_grad",
    "state_dict",
    "load_state_dict",
)  # the fifth, `step`, is under `no_grad` too


def undecorated(kind: type[torch.optim.Optimizer]) -> Any:
    """A class of optimisers that does what `kind` does, differentiable steps aside."""
    methods = {name: unwrap(getattr(kind, name)) for name in DECORATED}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(unwrap(kind.step))})


Adam = undecorated(torch.optim.Adam)
SGD = undecorated(torch.optim.SGD)


def build_optimizer(config: TrialConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a configuration; for parameters on a GPU one that a CUDA graph can hold."""
    weights = list(parameters)
    if config.optimizer == "sgd":
        return SGD(weights, lr=config.learning_rate, momentum=MOMENTUM)
    on_gpu = weights[0].is_cuda
    return Adam(weights, lr=config.learning_rate, fused=on_gpu or None, capturable=on_gpu)
