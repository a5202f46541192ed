"""A bidirectional GRU whose steps cost a CPU less: both directions at once, and a backward pass written out.

torch's CPU kernel runs some twenty small operations per frame and direction, and autograd as many again; at the paper's
sizes their overhead outweighs the arithmetic. Here a frame costs a matrix product and a compiled loop, forwards and
backwards, for both directions together. Shapes: B batch, T frames, D directions (2), H units, G = 3 H gates in torch's
order: reset, update, new.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from audiotag.models.cpu import kernels


def bidirectional_gru(cells: nn.GRU, x: Tensor) -> Tensor:
    """Run torch's bidirectional GRU with its own parameters: features (B, T, I) to states (B, T, 2 H) in float32."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    for layer in range(cells.num_layers):
        names = (f"weight_ih_l{layer}", f"weight_hh_l{layer}", f"bias_ih_l{layer}", f"bias_hh_l{layer}")
        both = [torch.stack([getattr(cells, name + end) for end in ("", "_reverse")]) for name in names]
        x = GRULayer.apply(x.to(dtype), *(part.to(dtype) for part in both))
    return x


class GRULayer(torch.autograd.Function):
    """One layer: x (B, T, I), weight_ih (D, G, I), weight_hh (D, G, H), biases (D, G) to (B, T, 2 H) in float32.

    Products are computed in the inputs' precision, float32 or bfloat16; the loop is float32 throughout.
    The backward pass overwrites what the forward pass kept: torch raises if it is run a second time.
    """

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
    ) -> Tensor:
        """Run all steps; the gates' values are kept."""
        (batch, frames, _), units = x.shape, weight_hh.shape[2]
        by_step = _order_by_step(x)
        switches = 2 * units  # the reset and the update gate, to which the state gives what the input does: a sum
        bias = torch.cat([bias_ih[:, :switches] + bias_hh[:, :switches], bias_ih[:, switches:]], dim=1)
        gates = torch.baddbmm(bias.unsqueeze(1), by_step, weight_ih.transpose(1, 2))
        gates = gates.unflatten(1, (frames, batch))  # (D, T, B, G)
        recurrent = weight_hh.transpose(1, 2).contiguous()
        inner, inner_new = x.new_empty(2, batch, 3 * units), x.new_empty(2, frames, batch, units)
        state, hidden = torch.zeros(2, batch, units), x.new_empty(2, frames + 1, batch, units)
        hidden[:, 0] = 0
        out = torch.empty(batch, frames, 2 * units)
        bias_new = bias_hh[:, switches:].float().contiguous()
        for step in range(frames):
            torch.bmm(hidden[:, step], recurrent, out=inner)
            kernels.gru_step_forward(step, gates, inner, bias_new, inner_new, state, hidden, out)
        context.save_for_backward(by_step, weight_ih, weight_hh, gates, inner_new, hidden)
        return out

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Run all steps backwards, in place of the kept values."""
        by_step, weight_ih, weight_hh, gates, inner_new, hidden = context.saved_tensors
        increment_version((gates, inner_new))
        _, frames, batch, width = gates.shape
        units = width // 3
        carried, product = torch.zeros(2, batch, units), gates.new_zeros(2, batch, units)
        inner = gates.new_empty(2, batch, width)
        gradient = gradients[0].contiguous()
        for step in range(frames - 1, -1, -1):
            kernels.gru_step_backward(step, gradient, carried, product, gates, inner_new, hidden, inner)
            torch.bmm(inner, weight_hh, out=product)
        d_gates, d_new, before = gates.flatten(1, 2), inner_new.flatten(1, 2), hidden[:, :-1].flatten(1, 2)
        d_switches = d_gates[..., : 2 * units]
        d_weight_hh = torch.cat([part.transpose(1, 2) @ before for part in (d_switches, d_new)], dim=1)
        d_bias = d_gates.sum(dim=1)
        d_bias_hh = torch.cat([d_bias[:, : 2 * units], d_new.sum(dim=1)], dim=1)
        forwards, backwards = (d_gates @ weight_ih).unflatten(1, (frames, batch))
        d_x = (forwards + backwards.flip(0)).transpose(0, 1)
        return d_x, d_gates.transpose(1, 2) @ by_step, d_weight_hh, d_bias, d_bias_hh


def _order_by_step(x: Tensor) -> Tensor:
    """Frames in the order of each direction's steps: (B, T, I) to (D, T * B, I)."""
    by_frame = x.transpose(0, 1)
    return torch.stack([by_frame, by_frame.flip(0)]).flatten(1, 2)
