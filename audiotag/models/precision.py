"""The precision in which a network computes: fp32, or bf16 for its convolutions and matrix products.

With bf16 these take and give bfloat16, as torch's autocast has it; weights, norms, losses, the optimiser, the states of
GRUs and the layers that end in a probability stay in fp32, since eight bits would tie the scores that the equal error
rate ranks. Of GRUs the compiled loops alone tell products from states; elsewhere, as on a GPU, all of them is fp32.
Whether that is faster depends on the machine, even among CPUs that have the arithmetic;
`benchmarks/step.py` measures it.
"""

import torch
from torch import Tensor, nn


def computing(network: nn.Module, device: str) -> torch.autocast:
    """Give the context in which a network runs: in its own `precision`, fp32 where it has none."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=getattr(network, "precision", "fp32") == "bf16")


class FullLinear(nn.Linear):
    """A dense layer that computes in the precision of its weights under any autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))
