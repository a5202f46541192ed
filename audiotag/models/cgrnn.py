"""CGRNN: a convolution over the frequencies of each frame, then a recurrent network over a block of frames.

Source: "Convolutional gated recurrent neural network incorporating spatial features for audio tagging" (Xu et al. 2017)
and the authors' public code. Its front end: stereo resampled to 16 kHz, Hamming window of 512 every 256 (4 s give 249
frames), magnitudes; 40 mel bands of the mean channel, and of each FFT bin the inter-channel magnitude difference (IMD,
257 values) where it is used.
"""

import torch
from torch import Tensor, nn

from audiotag.models.cpu.frequency_conv import FrequencyConv
from audiotag.models.cpu.gru import BidirectionalGRU
from audiotag.models.precision import FullLinear
from audiotag.models.segments import Framing, block_curves, mean_over_blocks, padded

FILTERS = 128
MEL_WIDTH, IMD_WIDTH = 30, 200  # frequencies under a filter
DENSE = 500
BLOCK = 33  # frames


class CGRNN(nn.Module):
    """Features of blocks (B, L, M + D) to the probabilities of their clips' tags (B, K).

    Args:
        n_mels: mel bands M, the first columns of the features.
        n_imd: bins D of the inter-channel difference behind them; 0: none, and no branch for it.
        n_tags: tags K, from 1 up.
        dropout: after the dense layer.
        gru_units, gru_layers: of the bidirectional GRU.
        mean, scale: (M + D,) what the features are standardised with.
    """

    mean: Tensor
    scale: Tensor
    framing = Framing(BLOCK, hop=10)  # of training

    def __init__(
        self,
        n_mels: int,
        n_imd: int,
        n_tags: int,
        *,
        dropout: float,
        gru_units: int,
        gru_layers: int,
        mean: Tensor,
        scale: Tensor,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.n_mels = n_mels
        self.mel = FrequencyConv(n_mels, FILTERS, MEL_WIDTH)
        self.imd = FrequencyConv(n_imd, FILTERS, IMD_WIDTH) if n_imd else None
        self.gru = BidirectionalGRU(FILTERS * (2 if n_imd else 1), gru_units, gru_layers)
        self.dense = nn.Linear(2 * gru_units, DENSE)
        self.dropout = nn.Dropout(dropout)
        self.tags = FullLinear(DENSE, n_tags)

    def forward(self, x: Tensor) -> Tensor:
        """Blocks (B, L, M + D) to (B, K)."""
        return self.classify(self.encode(x))

    def score(self, x: Tensor) -> Tensor:
        """Whole clips (N, T, M + D) to (N, K): the mean over all blocks, one begun at every frame."""
        return mean_over_blocks(self.encode(x), BLOCK, self.classify)

    def frame_curves(self, x: Tensor) -> Tensor:
        """When each tag is heard, the probability of each block in turn: (N, T, M + D) to (N, blocks, K)."""
        return block_curves(self.encode(x), BLOCK, self.classify)

    def encode(self, x: Tensor) -> Tensor:
        """What the convolutions make of each frame: (B, T, M + D) to (B, T, C)."""
        x = padded((x - self.mean) / self.scale, BLOCK)
        mel = self.mel(x[..., : self.n_mels])  # (B, T, 128): 11 positions, the highest of them
        if self.imd is None:
            return mel
        return torch.cat([mel, self.imd(x[..., self.n_mels :])], dim=2)  # (B, T, 256): 58 positions for the IMD

    def classify(self, frames: Tensor) -> Tensor:
        """The convolutions' view of blocks (B, L, C) to (B, K)."""
        states = self.gru(frames)  # (B, L, 2 * units)
        forwards, backwards = states.chunk(2, dim=2)
        x = torch.cat([forwards[:, -1], backwards[:, 0]], dim=1)  # (B, 2 * units), the last state of each direction
        x = self.dropout(torch.relu(self.dense(x)))  # (B, 500)
        return torch.sigmoid(self.tags(x))
