"""DAE-DNN: frames coded by an auto-encoder that was pretrained, segments of codes tagged by a dense network.

Source: "Unsupervised feature learning based on deep models for environmental audio tagging" (Xu et al. 2017) and the
authors' public code. Its front end: 40 log-mel bands, windows of 20 ms every 10 ms (4 s give 399 frames).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.features.log_mel import LogMel
from audiotag.models.precision import FullLinear
from audiotag.models.segments import Pretraining, Segmentation, pad_frames, segment_curves

CONTEXT = 7  # frames that the auto-encoder takes at once; it gives back the middle one
HIDDEN, CODE = 500, 50
CODES = 91  # frames of codes in a segment
NOISE_FRAMES = 6  # the first ones, whose mean stands for the background
DENSE = 1000, 500
INPUT_DROPOUT = 0.1  # the noise of the auto-encoder, and on the codes


class AutoEncoder(nn.Module):
    """The asymmetric denoising auto-encoder: it gives back the middle one of seven frames with gaps.

    Args:
        n_mels: Bands M of a frame.
    """

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(CONTEXT * n_mels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CODE), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(CODE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_mels))
        self.gaps = nn.Dropout(INPUT_DROPOUT)

    def codes(self, x: Tensor) -> Tensor:
        """The code of each frame that has its neighbours: (B, T, M) to (B, T - 6, 50)."""
        return self.encoder(x.unfold(1, CONTEXT, 1).transpose(2, 3).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        """Seven frames (B, 7, M) to the middle one (B, M)."""
        return self.decoder(self.encoder(self.gaps(x.flatten(1))))


class DAEDNN(nn.Module):
    """Features of segments (B, L, M), L = 91 + 6 frames, to the probabilities of their clips' tags (B, K).

    The auto-encoder is trained before, without tags (`pretraining_loss`); the training with tags leaves it alone.

    Args:
        n_columns: Bands M.
        n_tags: Tags K, from 1 up.
        dropout: After both hidden layers of the dense network.
        pretrain_epochs: Epochs of the auto-encoder's pretraining.
    """

    front_end = LogMel(n_fft=320, hop_length=160, n_mels=40)
    training_defaults = {"optimizer": "sgd", "learning_rate": 5e-3, "batch_size": 100}
    mixing_layers = ("classifier.1", "classifier.4")
    quick = {"max_epochs": 3, "patience": 3, "pretrain_epochs": 3}  # 44 segments per clip: as many times more steps
    segments = Segmentation(CODES + CONTEXT - 1, hop=7)

    def __init__(self, n_columns: int, n_tags: int, *, dropout: float = 0.2, pretrain_epochs: int = 100) -> None:
        super().__init__()
        self.pretraining = Pretraining(
            pretrain_epochs, Segmentation(CONTEXT, hop=1), batch_size=100, learning_rate=0.01, momentum=0.9
        )
        self.autoencoder = AutoEncoder(n_columns)
        self.classifier = nn.Sequential(
            nn.Dropout(INPUT_DROPOUT),
            nn.Linear((CODES + 1) * CODE, DENSE[0]),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(*DENSE),
            nn.ReLU(),
            nn.Dropout(dropout),
            FullLinear(DENSE[1], n_tags),
        )

    def pretraining_loss(self, x: Tensor) -> Tensor:
        """Mean square error of the middle frames that the auto-encoder gives back, from seven frames each (B, 7, M)."""
        x = pad_frames(x, CONTEXT)
        return F.mse_loss(self.autoencoder(x), x[:, CONTEXT // 2])

    def forward(self, x: Tensor) -> Tensor:
        """Segments (B, L, M) to (B, K)."""
        return self.classify(self.encode(x))

    def score(self, x: Tensor) -> Tensor:
        """Whole clips (N, T, M) to (N, K): the mean over all segments, one starting at every frame."""
        return self.frame_curves(x).mean(dim=1)

    def frame_curves(self, x: Tensor) -> Tensor:
        """When each tag sounds, the probability of each segment in turn: (N, T, M) to (N, segments, K)."""
        return segment_curves(self.encode(x), CODES, self.classify)

    def encode(self, x: Tensor) -> Tensor:
        """The codes of the frames, which the training with tags does not change: (B, T, M) to (B, T - 6, 50)."""
        with torch.no_grad():
            return self.autoencoder.codes(pad_frames(x, self.segments.frames))

    def classify(self, codes: Tensor) -> Tensor:
        """Codes of segments (B, 91, 50), and the mean of their first six as one more, to (B, K)."""
        background = codes[:, :NOISE_FRAMES].mean(dim=1, keepdim=True)
        return torch.sigmoid(self.classifier(torch.cat([codes, background], dim=1).flatten(1)))
