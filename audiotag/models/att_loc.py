"""ATT-LOC: attention and localisation, each frame weighed by how much it matters and to which tag.

Source: "Attention and localization based on a deep convolutional recurrent model for weakly supervised audio tagging"
(Xu et al. 2017) and the authors' public code. The front end is CGRNN's; the sequence is the whole clip.
"""

import torch
from torch import Tensor, nn

from audiotag.features.log_mel import LogMel
from audiotag.models.layers import BidirectionalGRU, FrameConvolutions
from audiotag.models.precision import FullLinear

DENSE = 500
SMALLEST_WEIGHT = 1e-9  # of a frame's localisation: no division by zero


class ATTLOC(FrameConvolutions):
    """Features of clips (B, T, M + D) to clip probabilities (B, K); the arguments are those of CGRNN.

    With one tag the softmax over tags is 1 and the pooling a plain mean over frames.
    """

    front_end = LogMel(n_fft=512, hop_length=256, n_mels=40, power=1.0, unit_peaks=True)
    training_defaults = {"batch_size": 100}
    quick = {"max_epochs": 5, "patience": 5, "batch_size": 22, "learning_rate": 2e-3}

    def __init__(
        self,
        n_columns: int,
        n_tags: int,
        *,
        imd: bool = False,
        dropout: float = 0.2,
        gru_units: int = 128,
        gru_layers: int = 3,
    ) -> None:
        n_mels = self.front_end.n_mels if imd else n_columns
        super().__init__(n_mels, n_columns - n_mels)
        self.localisation = FullLinear(self.n_features, n_tags)
        self.attention = nn.Linear(self.n_features, 1)
        self.gru = BidirectionalGRU(self.n_features, gru_units, gru_layers)
        self.dense = nn.Linear(2 * gru_units, DENSE)
        self.dropout = nn.Dropout(dropout)
        self.tagging = FullLinear(DENSE, n_tags)

    def forward(self, x: Tensor) -> Tensor:
        """Clips (B, T, M + D) to (B, K): sum over frames of o_t d_t over that of d_t."""
        tagging, localisation = self.frames(x)
        return (tagging * localisation).sum(dim=1) / localisation.clamp(min=SMALLEST_WEIGHT).sum(dim=1)

    def frame_curves(self, x: Tensor) -> Tensor:
        """Where in the clip each tag sounds, o_t d_t: (B, T, M + D) to (B, T, K) in [0, 1]."""
        tagging, localisation = self.frames(x)
        return tagging * localisation

    def frames(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Per frame the probability of each tag o_t and its localisation d_t: (B, T, M + D) to (B, T, K) each."""
        features = self.features(x)  # f_t
        localisation = torch.softmax(self.localisation(features), dim=2)  # d_t
        attention = torch.sigmoid(self.attention(features))  # a_t: (B, T, 1)
        states = attention * self.gru(features)  # h_t = a_t g_t: (B, T, 2 * units)
        hidden = self.dropout(torch.relu(self.dense(states)))  # (B, T, 500)
        return torch.sigmoid(self.tagging(hidden)), localisation
