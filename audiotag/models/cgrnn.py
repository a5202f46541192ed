"""CGRNN: a convolution over the frequencies of each frame, then a recurrent network over a segment of frames.

Source: "Convolutional gated recurrent neural network incorporating spatial features for audio tagging" (Xu et al. 2017)
and the authors' public code. Its front end: stereo resampled to 16 kHz, Hamming window of 512 every 256 (4 s give 249
frames), magnitudes; 40 mel bands of the mean channel, and of each FFT bin the inter-channel magnitude difference (IMD,
257 values) where it is used.
"""

import torch
from torch import Tensor, nn

from audiotag.features.log_mel import LogMel
from audiotag.models.layers import BidirectionalGRU, FrameConvolutions
from audiotag.models.precision import FullLinear
from audiotag.models.segments import Segmentation, pad_frames, segment_curves

DENSE = 500
SEGMENT = 33  # frames


class CGRNN(FrameConvolutions):
    """Features of segments (B, L, M + D) to the probabilities of their clips' tags (B, K).

    Args:
        n_columns: Columns of the features: M mel bands, then D bins of the inter-channel difference where it is used.
        n_tags: Tags K, from 1 up.
        dropout: After the dense layer.
        gru_units: Per direction.
        gru_layers: Of the bidirectional GRU.
        imd: Whether the inter-channel difference is a second input, with a branch for it; needs stereo recordings.
    """

    front_end = LogMel(n_fft=512, hop_length=256, n_mels=40, power=1.0, unit_peaks=True)
    training_defaults = {"batch_size": 100}
    mixing_layers = ("gru", "dense")
    quick = {"max_epochs": 2, "patience": 2}  # training cuts a clip into 22 segments: as many times more steps
    segments = Segmentation(SEGMENT, hop=10)

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
        self.gru = BidirectionalGRU(self.n_features, gru_units, gru_layers)
        self.dense = nn.Linear(2 * gru_units, DENSE)
        self.dropout = nn.Dropout(dropout)
        self.tags = FullLinear(DENSE, n_tags)

    def forward(self, x: Tensor) -> Tensor:
        """Segments (B, L, M + D) to (B, K)."""
        return self.classify(self.encode(x))

    def score(self, x: Tensor) -> Tensor:
        """Whole clips (N, T, M + D) to (N, K): the mean over all segments, one starting at every frame."""
        return self.frame_curves(x).mean(dim=1)

    def frame_curves(self, x: Tensor) -> Tensor:
        """When each tag sounds, the probability of each segment in turn: (N, T, M + D) to (N, segments, K)."""
        return segment_curves(self.encode(x), SEGMENT, self.classify)

    def encode(self, x: Tensor) -> Tensor:
        """The output of the convolutions for each frame: (B, T, M + D) to (B, T, C)."""
        return self.features(pad_frames(x, SEGMENT))

    def classify(self, frames: Tensor) -> Tensor:
        """Encoded segments (B, L, C) to (B, K)."""
        states = self.gru(frames)  # (B, L, 2 * units)
        forwards, backwards = states.chunk(2, dim=2)
        x = torch.cat([forwards[:, -1], backwards[:, 0]], dim=1)  # (B, 2 * units), the last state of each direction
        x = self.dropout(torch.relu(self.dense(x)))  # (B, 500)
        return torch.sigmoid(self.tags(x))
