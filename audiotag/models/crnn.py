"""The paper's CRNN with attention and localisation.

Source: Wei et al. 2018; its head is the one of "Attention and localization based on a deep
convolutional recurrent model for weakly supervised audio tagging" (Xu et al. 2017), on the features of the GRU.
"""

import torch
from torch import Tensor, nn

from audiotag.models.cpu.gru import BidirectionalGRU
from audiotag.models.cpu.norm_pool import norm_pool_elu_dropout
from audiotag.models.cpu.winograd import convolve
from audiotag.models.precision import FullLinear

FIRST_FILTERS, MOST_FILTERS = 8, 64  # 8, 16, 32, 64, 64, 64, 64 for 128 bands
SMALLEST_WEIGHT = 1e-9  # below the localisation's sum over frames: no division by zero


class ConvBlock(nn.Module):
    """Convolution 3 x 3, batch norm, max-pool over two bands, ELU, dropout: (B, C, M, T) -> (B, C', M / 2, T).

    The paper lists ELU before the pooling; ELU is monotone, so they commute, and half the values are left to compute.
    Frames lie along the rows of the image: a CPU's convolutions want long rows, and of bands the last blocks have two.
    Weights (C', C, time, frequency) are turned for it.
    """

    def __init__(self, channels: int, filters: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel_size=3, padding=1, bias=False)  # the norm has a bias
        self.norm = nn.BatchNorm2d(filters)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = convolve(x, self.conv.weight.transpose(2, 3))
        return norm_pool_elu_dropout(x, self.norm, self.dropout)


class CRNN(nn.Module):
    """Log-mel features (B, T, M) to clip probabilities (B, K).

    Args:
        n_mels: bands M; a power of two, for log2(M) blocks halve them down to one.
        n_tags: tags K, from 1 up. (With one tag the softmax over tags is 1 and the pooling a plain mean over frames.)
        dropout: after each block, and nowhere else.
        gru_units, gru_layers: of the bidirectional GRU; open in the paper.
        mean, scale: (M,) what the features are standardised with; kept in the state dict, so that weights and
            standardisation cannot part.

    Raises:
        ValueError: when n_mels is no power of two.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        n_mels: int,
        n_tags: int,
        *,
        dropout: float,
        gru_units: int,
        gru_layers: int,
        mean: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> None:
        super().__init__()
        blocks = n_mels.bit_length() - 1
        if n_mels < 2 or n_mels != 1 << blocks:
            raise ValueError(
                f"The value of `n_mels` is {n_mels}, but must be a power of two: each block halves the bands."
            )
        self.register_buffer("mean", torch.zeros(n_mels) if mean is None else mean)
        self.register_buffer("scale", torch.ones(n_mels) if scale is None else scale)
        filters = [min(FIRST_FILTERS << block, MOST_FILTERS) for block in range(blocks)]
        self.blocks = nn.Sequential(*map(lambda c, f: ConvBlock(c, f, dropout), [1, *filters], filters))
        self.gru = BidirectionalGRU(filters[-1], gru_units, gru_layers)
        self.tagging = FullLinear(2 * gru_units, n_tags)
        self.localisation = FullLinear(2 * gru_units, n_tags)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Probability of each tag in each clip: (B, T, M) -> (B, K)."""
        tagging, localisation = self._frames(log_mel)
        weight = localisation.sum(dim=1).clamp(min=SMALLEST_WEIGHT)
        return (tagging * localisation).sum(dim=1) / weight

    def frame_curves(self, log_mel: Tensor) -> Tensor:
        """Where in the clip each tag is heard: (B, T, M) -> (B, T, K) in [0, 1].

        The product of the tag's probability in a frame and of its localisation there (Xu et al. 2017).
        """
        tagging, localisation = self._frames(log_mel)
        return tagging * localisation

    def _frames(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        x = ((log_mel - self.mean) / self.scale).transpose(1, 2).unsqueeze(1)  # (B, 1, M, T)
        x = self.blocks(x)  # (B, C, 1, T)
        x = x.squeeze(2).transpose(1, 2)  # (B, T, C)
        x = self.gru(x)  # (B, T, 2 * units)
        return torch.sigmoid(self.tagging(x)), torch.softmax(self.localisation(x), dim=2)  # (B, T, K) each
