"""Segments of clips: their first frames, how they are cut, and that a clip's score is the mean over its segments."""

import numpy as np
import pytest
import torch
from torch import Tensor

from audiotag.models import segments
from audiotag.models.segments import Segmentation, pad_frames, segment_curves
from audiotag.training.batches import gather, segment_index

FEATURES = np.arange(3 * 10 * 2, dtype=np.float32).reshape(3, 10, 2)  # (N, T, F)


def last_and_sum(part: Tensor) -> Tensor:
    """A stand-in for a network: of segments (B, L, C) the last frame's first value and the sum of all."""
    return torch.stack([part[:, -1, 0], part.sum(dim=(1, 2))], dim=1)


# --- reference ---


@pytest.mark.parametrize(
    ("frames", "length", "hop", "starts"),
    [
        (249, 33, 10, [*range(0, 217, 10)]),  # CGRNN in training: 22 segments
        (249, 33, 1, [*range(217)]),  # in scoring
        (399, 97, 7, [*range(0, 303, 7)]),  # DAE-DNN in training: 44 segments of 91 codes
        (399, 97, 1, [*range(303)]),
        (5, 5, 3, [0]),
        (4, 5, 3, [0]),  # a clip shorter than a segment is one
    ],
)
def test_first_frames(frames: int, length: int, hop: int, starts: list[int]) -> None:
    assert list(Segmentation(length, hop).starts(frames)) == starts


def test_segments_by_hand() -> None:
    clips = np.array([2, 0])
    assert segment_index(clips, 10, Segmentation(4, 3)).tolist() == [[2, 0], [2, 3], [2, 6], [0, 0], [0, 3], [0, 6]]
    assert segment_index(clips, 10, None).tolist() == [[2, 0], [0, 0]]
    cut = gather(FEATURES, np.array([[2, 3], [0, 6]]), Segmentation(4, 3))
    np.testing.assert_array_equal(cut, [FEATURES[2, 3:7], FEATURES[0, 6:10]])
    np.testing.assert_array_equal(gather(FEATURES, np.array([[1, 0], [0, 0]]), None), FEATURES[[1, 0]])


def test_each_segment_of_a_clip_is_scored() -> None:
    encoded = torch.from_numpy(FEATURES).square()
    expected = [torch.stack([last_and_sum(encoded[n : n + 1, t : t + 4])[0] for t in range(7)]) for n in range(3)]
    torch.testing.assert_close(segment_curves(encoded, 4, last_and_sum), torch.stack(expected))


# --- property ---


@pytest.mark.parametrize("together", [1, 7, 15, 1000])
def test_the_segments_of_a_clip_are_scored_together_in_any_number(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = segment_curves(torch.from_numpy(FEATURES), 4, last_and_sum)
    monkeypatch.setattr(segments, "TOGETHER", together)
    seen = []

    def spy(part: Tensor) -> Tensor:
        seen.append(len(part))
        return last_and_sum(part)

    torch.testing.assert_close(segment_curves(torch.from_numpy(FEATURES), 4, spy), expected)
    assert sum(seen) == 21
    assert max(seen) <= max(together, 7)


# --- degenerate ---


def test_short_clips_are_padded_behind() -> None:
    x = torch.ones(2, 3, 4)
    assert pad_frames(x, 5)[:, 3:].abs().sum() == 0
    assert torch.equal(pad_frames(x, 5)[:, :3], x)
    assert torch.equal(pad_frames(x, 2), x)
    assert gather(FEATURES, np.array([[1, 0]]), Segmentation(12, 3)).shape == (1, 10, 2)
