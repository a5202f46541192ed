"""ATT-LOC: attention and localisation, each frame weighed by how much it matters and to which tag.

Source: "Attention and localization based on a deep convolutional recurrent model for weakly supervised audio tagging"
(Xu et al. 2017) and the authors' public code. The front end is CGRNN's; the sequence is the whole clip.
"""

import torch
from torch import Tensor, nn

from audiotag.models.cpu.frequency_conv import FrequencyConv
from audiotag.models.cpu.gru import BidirectionalGRU
from audiotag.models.precision import FullLinear

FILTERS = 128
MEL_WIDTH, IMD_WIDTH = 30, 200  # frequencies under a filter
DENSE = 500
SMALLEST_WEIGHT = 1e-9  # of a frame's localisation: no division by zero


class ATTLOC(nn.Module):
    """Features of clips (B, T, M + D) to clip probabilities (B, K).

    Args:
        n_mels: mel bands M, the first columns of the features.
        n_imd: bins D of the inter-channel difference behind them; 0: none, and no branch for it.
        n_tags: tags K, from 1 up. (With one tag the softmax over tags is 1 and the pooling a plain mean over frames.)
        dropout: after the dense layer.
        gru_units, gru_layers: of the bidirectional GRU.
        mean, scale: (M + D,) what the features are standardised with.
    """

    mean: Tensor
    scale: Tensor

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
        features = FILTERS * (2 if n_imd else 1)
        self.mel = FrequencyConv(n_mels, FILTERS, MEL_WIDTH)
        self.imd = FrequencyConv(n_imd, FILTERS, IMD_WIDTH) if n_imd else None
        self.localisation = FullLinear(features, n_tags)
        self.attention = nn.Linear(features, 1)
        self.gru = BidirectionalGRU(features, gru_units, gru_layers)
        self.dense = nn.Linear(2 * gru_units, DENSE)
        self.dropout = nn.Dropout(dropout)
        self.tagging = FullLinear(DENSE, n_tags)

    def forward(self, x: Tensor) -> Tensor:
        """Clips (B, T, M + D) to (B, K): sum over frames of o_t d_t over that of d_t."""
        tagging, localisation = self._frames(x)
        return (tagging * localisation).sum(dim=1) / localisation.clamp(min=SMALLEST_WEIGHT).sum(dim=1)

    def frame_curves(self, x: Tensor) -> Tensor:
        """Where in the clip each tag is heard, o_t d_t: (B, T, M + D) to (B, T, K) in [0, 1]."""
        tagging, localisation = self._frames(x)
        return tagging * localisation

    def _frames(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of each frame the probability of each tag o_t and its localisation d_t: (B, T, K) each."""
        x = (x - self.mean) / self.scale
        features = self.mel(x[..., : self.n_mels])  # f_t: (B, T, 128)
        if self.imd is not None:
            features = torch.cat([features, self.imd(x[..., self.n_mels :])], dim=2)  # (B, T, 256)
        localisation = torch.softmax(self.localisation(features), dim=2)  # d_t
        attention = torch.sigmoid(self.attention(features))  # a_t: (B, T, 1)
        heard = attention * self.gru(features)  # h_t = a_t g_t: (B, T, 2 * units)
        hidden = self.dropout(torch.relu(self.dense(heard)))  # (B, T, 500)
        return torch.sigmoid(self.tagging(hidden)), localisation
