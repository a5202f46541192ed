"""A convolution over the frequencies of one frame, and its maximum over them: the eyes of CGRNN and ATT-LOC.

On a CPU torch would write out filters x positions for each frame (of the inter-channel differences 128 x 58 values)
and go through them several times. Here positions are taken one after the other and only the maximum and its place are
kept: the same numbers in less time and a fiftieth of the memory.
Shapes: R rows (frames of all clips), F frequencies, W width of a filter, C filters, P = F - W + 1 positions.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrequencyConv(nn.Module):
    """Frames (B, T, F) to (B, T, C): convolution "valid" over F, ReLU, maximum over the positions.

    The maximum is taken before the ReLU, which is monotone: they commute.

    Raises:
        ValueError: when a frame has fewer frequencies than a filter.
    """

    def __init__(self, frequencies: int, filters: int, width: int) -> None:
        super().__init__()
        if frequencies < width:
            raise ValueError(f"The number of frequencies is {frequencies}, but must be at least {width}, a filter's.")
        self.conv = nn.Conv1d(1, filters, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, frequencies = x.shape
        rows = x.reshape(batch * frames, frequencies)
        if x.device.type == "cpu" and not x.requires_grad:
            highest = HighestResponse.apply(rows, self.conv.weight[:, 0], self.conv.bias)
        else:
            highest = self.conv(rows.unsqueeze(1)).amax(dim=2)
        return F.relu(highest).view(batch, frames, -1)


class HighestResponse(torch.autograd.Function):
    """The largest of a filter's responses: rows (R, F), weight (C, W), bias (C,) to (R, C).

    There is no gradient for the rows: they are the network's input.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(context: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        width = weight.shape[1]
        filters = weight.t().contiguous()
        highest = rows[:, :width] @ filters
        place = torch.zeros(highest.shape, dtype=torch.int16)
        response = torch.empty_like(highest)
        for position in range(1, rows.shape[1] - width + 1):
            torch.mm(rows[:, position : position + width], filters, out=response)
            place.masked_fill_(response > highest, position)
            torch.maximum(highest, response, out=highest)
        context.save_for_backward(rows, place)
        context.width = width
        return highest + bias

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, place = context.saved_tensors
        gradient, width = gradients[0], context.width
        d_weight = gradient.new_zeros(gradient.shape[1], width)
        for position in range(rows.shape[1] - width + 1):
            d_weight.addmm_((gradient * (place == position)).t(), rows[:, position : position + width])
        return None, d_weight, gradient.sum(dim=0)
