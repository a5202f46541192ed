"""Windows of clips: training takes a random one of each clip per epoch, scoring all that cover it. Imports no torch.

Shapes: N clips of a corpus, n clips, W windows of these, T frames of a clip, L frames of a window, F values per frame,
K tags.
"""

from dataclasses import dataclass

import numpy as np

from audiotag.config import TrialConfig
from audiotag.corpus.corpus import Corpus


@dataclass(frozen=True, eq=False)
class Windows:
    """How the clips of a corpus are cropped.

    Attributes:
        frames: L.
        spans: (N,) the first frames of each clip in which its windows lie, from L to T: those of its sound.
        scores: What of its windows a clip scores, one of WINDOW_SCORES.
    """

    frames: int
    spans: np.ndarray
    scores: str = "mean"

    def of(self, clips: np.ndarray) -> "Windows":
        """Give those of some clips, indices (n,), as if they were a corpus."""
        return Windows(self.frames, self.spans[clips], self.scores)

    def draw(self, clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the first frame of a window of each clip, indices (n,): to (n,). Any that fits is as likely."""
        return rng.integers(self.spans[clips] - self.frames + 1)

    def cover(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """List windows that cover some clips, indices (n,): clips and first frames (W, 2), and of each clip the first.

        They follow each other without a gap; the last one ends with the clip, over the one before where need be. The
        second array (n,) has the place of each clip's first window in the list.
        """
        counts = -(-self.spans[clips] // self.frames)
        firsts = np.cumsum(counts) - counts
        number = np.arange(counts.sum()) - np.repeat(firsts, counts)
        last = np.repeat(self.spans[clips] - self.frames, counts)
        return np.stack([np.repeat(clips, counts), np.minimum(number * self.frames, last)], axis=1), firsts

    def combine(self, scores: np.ndarray, levels: np.ndarray, firsts: np.ndarray) -> np.ndarray:
        """Combine the scores (W, K) of windows to those of their clips (n, K), given their levels (W,).

        "mean": their mean. "loudest": those of the window with the highest level, the first of equals.
        """
        if self.scores == "mean":
            counts = np.diff(firsts, append=len(scores))
            total: np.ndarray = np.add.reduceat(scores.astype(np.float64), firsts, axis=0)
            return (total / counts[:, None]).astype(np.float32)
        parts = np.split(levels, firsts[1:])
        return scores[firsts + [int(part.argmax()) for part in parts]]


def make_windows(config: TrialConfig, corpus: Corpus) -> Windows | None:
    """Make the windows of a corpus's clips that a configuration asks for; None where it takes whole clips.

    Raises:
        ValueError: For `crop_seconds` of less than a window of the front end, or of more than the clips have.
    """
    if not config.crop_seconds:
        return None
    if config.crop_seconds > corpus.clip_seconds:
        raise ValueError(
            f"The value of `crop_seconds` is {config.crop_seconds:g}, but the clips of the corpus `{corpus.name}` are "
            f"cut or padded to {corpus.clip_seconds:g} s: choose less, or longer clips (--clip-seconds)."
        )
    front_end = config.front_end
    frames = crop_frames(config)
    total = front_end.frames(front_end.samples(corpus.clip_seconds))
    if not len(corpus.seconds):
        return Windows(frames, np.full(len(corpus.clips), total), config.window_scores)
    samples = np.round(corpus.seconds * front_end.sample_rate).astype(np.int64)
    own = 1 + (samples - front_end.n_fft) // front_end.hop_length
    return Windows(frames, np.clip(own, frames, total), config.window_scores)


def crop_frames(config: TrialConfig) -> int:
    """Give the frames L of the windows that a configuration asks for.

    Raises:
        ValueError: For less than a window of the front end.
    """
    try:
        return config.front_end.frames(config.front_end.samples(config.crop_seconds))
    except ValueError:
        least = config.front_end.n_fft / config.front_end.sample_rate
        raise ValueError(
            f"The value of `crop_seconds` is {config.crop_seconds:g}, but must be 0 for whole clips, or at least the "
            f"{least:.3f} s of a window of the front end."
        ) from None
