"""Layers that networks share, in plain torch, and the seam to their compiled forms in cpu/.

Where the loops are not compiled (`audiotag.models.backend`), on other devices and in double precision torch's own
operations serve. Both ways draw the same random numbers, so that they differ by rounding only.
Shapes: B batch, C channels, M bands, T frames, I features, H units.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.models import backend

if backend.COMPILED:
    from audiotag.models import cpu


def conv3x3(x: Tensor, weight: Tensor, convolution: str) -> Tensor:
    """Convolve an image, zeros around it: x (B, C, M, T), weight (C', C, 3, 3) to (B, C', M, T), channels last.

    With "winograd" layers whose shape it fits are computed so; autocast and other devices than a CPU are torch's.
    """
    if convolution == "winograd" and backend.LANES and cpu.winograd_fits(x, weight):
        return cpu.winograd(x, weight)
    return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), padding=1)


def norm_pool_elu_dropout(x: Tensor, norm: nn.BatchNorm2d, probability: float) -> Tensor:
    """Dropout(ELU(max-pool(norm(x)))): (B, C, M, T) to (B, C, M / 2, T), in float32 or bfloat16 as x.

    In training the norm's running statistics are updated. Dropout's probability is rounded to 1/256 (255/256 at most);
    it draws one random byte per value, in channels-last order.
    """
    dropped = min(round(256 * probability), 255) if norm.training else 0
    keep = _random_bytes(x.numel() // 2, dropped, x.device)
    if _is_compiled_for(x) and (norm.training or not torch.is_grad_enabled()):
        return cpu.norm_pool_elu_dropout(x, norm, keep, dropped)
    x = F.elu(F.max_pool2d(norm(x), (2, 1)))
    if not dropped:
        return x
    batch, channels, bands, frames = x.shape
    kept = keep.view(batch, bands, frames, channels).permute(0, 3, 1, 2) >= dropped
    return torch.where(kept, x * (256 / (256 - dropped)), 0.0)


def _random_bytes(count: int, dropped: int, device: torch.device) -> Tensor:
    """One random byte per value; none where nothing is dropped."""
    if not dropped:
        return torch.empty(0, dtype=torch.uint8, device=device)
    words = torch.empty(count // 8 + 1, dtype=torch.int64, device=device).random_(-(2**63), None)  # the whole range
    return words.view(torch.uint8)[:count]


def _is_compiled_for(x: Tensor) -> bool:
    return backend.COMPILED and x.device.type == "cpu" and x.dtype != torch.float64


class BidirectionalGRU(nn.Module):
    """Features (B, T, I) to states (B, T, 2 H), as `torch.nn.GRU(batch_first=True, bidirectional=True)` gives them.

    It holds such a GRU, whose parameters the compiled form uses, too.
    """

    def __init__(self, features: int, units: int, layers: int) -> None:
        super().__init__()
        self.cells = nn.GRU(features, units, layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, I) to (B, T, 2 H); under autocast, too, in the precision of the weights."""
        if _is_compiled_for(x):
            return cpu.bidirectional_gru(self.cells, x)
        with torch.autocast(x.device.type, enabled=False):  # which would keep states, and pass them on, in bf16
            return self.cells(x.to(next(self.cells.parameters()).dtype))[0]


class FrequencyConv(nn.Module):
    """Frames (B, T, F) to (B, T, C): convolution "valid" over F, ReLU, maximum over the positions.

    The maximum is taken before the ReLU, which is monotone: they commute.

    Raises:
        ValueError: When a frame has fewer frequencies than a filter.
    """

    def __init__(self, frequencies: int, filters: int, width: int) -> None:
        super().__init__()
        if frequencies < width:
            raise ValueError(f"The number of frequencies is {frequencies}, but must be at least {width}, a filter's.")
        self.conv = nn.Conv1d(1, filters, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F) to (B, T, C)."""
        batch, frames, frequencies = x.shape
        rows = x.reshape(batch * frames, frequencies)
        if x.device.type == "cpu" and not x.requires_grad:
            highest = HighestResponse.apply(rows, self.conv.weight[:, 0], self.conv.bias)
        else:
            highest = self.conv(rows.unsqueeze(1)).amax(dim=2)
        return F.relu(highest).view(batch, frames, -1)


class FrameConvolutions(nn.Module):
    """What CGRNN and ATT-LOC, its subclasses, begin with: frames (B, T, M + D) to features (B, T, C).

    A convolution over the M mel bands of a frame, and where there are D bins of the inter-channel difference, another
    over those. Source: see `audiotag.models.cgrnn`.
    """

    FILTERS = 128
    MEL_WIDTH, IMD_WIDTH = 30, 200  # frequencies under a filter

    def __init__(self, n_mels: int, n_differences: int) -> None:
        super().__init__()
        self.n_mels, self.n_features = n_mels, self.FILTERS * (2 if n_differences else 1)
        self.mel = FrequencyConv(n_mels, self.FILTERS, self.MEL_WIDTH)
        self.imd = FrequencyConv(n_differences, self.FILTERS, self.IMD_WIDTH) if n_differences else None

    def features(self, x: Tensor) -> Tensor:
        """(B, T, M + D) to (B, T, C), of which 128 from the bands, 128 from the differences."""
        bands = self.mel(x[..., : self.n_mels])
        return bands if self.imd is None else torch.cat([bands, self.imd(x[..., self.n_mels :])], dim=2)


class HighestResponse(torch.autograd.Function):
    """The largest of a filter's responses: rows (R, F), weight (C, W), bias (C,) to (R, C).

    On a CPU torch would write out filters x positions for each frame (of the inter-channel differences 128 x 58 values)
    and go through them several times. Here positions are taken one after the other and only the maximum and its place
    are kept: the same numbers in less time and a fiftieth of the memory. There is no gradient for the rows: they are
    the network's input.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(context: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute the responses position by position and keep the place of the largest."""
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
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of weight and bias."""
        rows, place = context.saved_tensors
        gradient, width = gradients[0], context.width
        d_weight = gradient.new_zeros(gradient.shape[1], width)
        for position in range(rows.shape[1] - width + 1):
            d_weight.addmm_((gradient * (place == position)).t(), rows[:, position : position + width])
        return None, d_weight, gradient.sum(dim=0)
