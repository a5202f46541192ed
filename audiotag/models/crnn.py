"""The paper's CRNN with attention and localisation.

Source: Wei et al. 2018; its head is the one of "Attention and localization based on a deep
convolutional recurrent model for weakly supervised audio tagging" (Xu et al. 2017), on the features of the GRU.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from audiotag.models.layers import BidirectionalGRU, conv3x3, norm_pool_elu_dropout
from audiotag.models.precision import FullLinear

FIRST_FILTERS, MOST_FILTERS = 8, 64  # 8, 16, 32, 64, 64, 64, 64 for 128 bands
SMALLEST_WEIGHT = 1e-9  # below the localisation's sum over frames: no division by zero


class ConvBlock(nn.Module):
    """Convolution 3 x 3, batch norm, max-pool over two bands, ELU, dropout: (B, C, M, T) to (B, C', M / 2, T).

    The paper lists ELU before the pooling; ELU is monotone, so they commute, and half the values are left to compute.
    Frames lie along the rows of the image: a CPU's convolutions want long rows, and of bands the last blocks have two.
    Weights (C', C, time, frequency) are turned for it.
    """

    def __init__(self, channels: int, filters: int, dropout: float, convolution: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel_size=3, padding=1, bias=False)  # the norm has a bias
        self.norm = nn.BatchNorm2d(filters)
        self.dropout, self.convolution = dropout, convolution

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, M, T) to (B, C', M / 2, T)."""
        x = conv3x3(x, self.conv.weight.transpose(2, 3), self.convolution)
        return norm_pool_elu_dropout(x, self.norm, self.dropout)


class CRNN(nn.Module):
    """Log-mel features (B, T, M) to clip probabilities (B, K).

    Args:
        n_columns: Bands M; a power of two, for log2(M) blocks halve them down to one.
        n_tags: Tags K, from 1 up. (With one tag the softmax over tags is 1 and the pooling a plain mean over frames.)
        dropout: After each block, and nowhere else.
        gru_units: Per direction; open in the paper.
        gru_layers: Of the bidirectional GRU; open in the paper.
        convolution: How those of 3 x 3 are computed, "direct" or "winograd": the same to rounding (`conv3x3`).

    Raises:
        ValueError: If n_columns is not a power of two.
    """

    mixing_layers = ("blocks.0", "blocks.1", "blocks.2")
    quick = {"max_epochs": 4, "patience": 4, "batch_size": 22, "learning_rate": 2e-3}

    def __init__(
        self,
        n_columns: int,
        n_tags: int,
        *,
        dropout: float = 0.1,
        gru_units: int = 128,
        gru_layers: int = 1,
        convolution: Literal["direct", "winograd"] = "direct",
    ) -> None:
        super().__init__()
        blocks = n_columns.bit_length() - 1
        if n_columns < 2 or n_columns != 1 << blocks:
            raise ValueError(
                f"The value of `n_columns` is {n_columns}, but must be a power of two: each block halves the bands."
            )
        filters = [min(FIRST_FILTERS << block, MOST_FILTERS) for block in range(blocks)]
        pairs = zip([1, *filters[:-1]], filters, strict=True)
        self.blocks = nn.Sequential(*(ConvBlock(before, after, dropout, convolution) for before, after in pairs))
        self.gru = BidirectionalGRU(filters[-1], gru_units, gru_layers)
        self.tagging = FullLinear(2 * gru_units, n_tags)
        self.localisation = FullLinear(2 * gru_units, n_tags)

    def forward(self, x: Tensor) -> Tensor:
        """Probability of each tag in each clip: (B, T, M) to (B, K)."""
        tagging, localisation = self.frames(x)
        weight = localisation.sum(dim=1).clamp(min=SMALLEST_WEIGHT)
        return (tagging * localisation).sum(dim=1) / weight

    def frame_curves(self, x: Tensor) -> Tensor:
        """Where in the clip each tag sounds: (B, T, M) to (B, T, K) in [0, 1].

        The product of the tag's probability in a frame and of its localisation there (Xu et al. 2017).
        """
        tagging, localisation = self.frames(x)
        return tagging * localisation

    def frames(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Per frame the probability of each tag and its localisation: (B, T, M) to (B, T, K) each."""
        x = self.blocks(x.transpose(1, 2).unsqueeze(1))  # (B, 1, M, T) to (B, C, 1, T)
        x = self.gru(x.squeeze(2).transpose(1, 2))  # (B, T, C) to (B, T, 2 * units)
        return torch.sigmoid(self.tagging(x)), torch.softmax(self.localisation(x), dim=2)
